"""The card inside a checkpoint: what its weights expect, and what their outputs mean."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mmengine
import mmpretrain
import timm
import torch

from fsfm_mm.files.broken import reading
from fsfm_mm.files.checkpoint_files import load_checkpoint_file
from fsfm_mm.text import brief, few
from fsfm_mm.version import __version__

#: Means and deviations (0..1) that differ by less are the same: configs round them, on a scale of 0..255.
STATS_TOLERANCE = 1e-3
#: Fields in which a card can contradict its user.
COMPARED = (
    'classes',
    'positive_class',
    'mean',
    'std',
    'input_size',
    'patch_size',
    'num_heads',
    'crop_margin',
    'detector',
    'view',
    'aggregation',
)
#: Entries of a card, those of its model's settings included.
MOST_ENTRIES = 100_000
#: Pixels of a side of a model's input: one picture of floats takes 200 MB.
MOST_SIDE = 4096
REACTIONS = ('warn', 'error', 'return')


def installed_versions() -> dict[str, str]:
    """Versions of what trains and runs the weights."""
    return {
        'fsfm_mm': __version__,
        'python': platform.python_version(),
        'torch': str(torch.__version__),
        'timm': timm.__version__,
        'mmengine': mmengine.__version__,
        'mmpretrain': mmpretrain.__version__,
    }


def text_hash(text: str) -> str:
    """SHA-256 of a config's text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def card_hash(card: ModelCard) -> str:
    """SHA-256 of what a card says, hexadecimal."""
    return text_hash(json.dumps(card.to_dict(), sort_keys=True, default=repr))


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Facts without which weights are used wrongly; stored in a checkpoint under ``card`` as a plain dict.

    Everything may be None where it is not known, or has no meaning (classes of a pretraining checkpoint).

    Args:
        classes: Class names; the index is the label.
        positive_class: The class whose probability is the score, one of ``classes`` ('real').
        mean: Pixel mean of R, G, B on the 0..1 scale.
        std: Pixel standard deviation of R, G, B on the 0..1 scale.
        input_size: Side of the square input in pixels, or (height, width) of another.
        patch_size: Side of a ViT's patch in pixels.
        num_heads: Heads of a ViT's attention, which the shapes of its weights do not show.
        model: Settings that build the model anywhere: those of the config's ``model`` as plain values, statistics as
            numbers, without files to start from.
        crop_margin: Side of the face crop over that of the detected box (1.3 for the papers' deepfake crops).
        detector: Name of the face detector that made the crops.
        view: What of a crop tests show the model: 'whole', or 'centre' (see ``ResizeFace``).
        aggregation: How frame scores become a video's score.
        threshold: Score in 0..1 from which on the positive class is decided; None until calibrated.
        threshold_meaning: What it does: false alarms and misses with intervals, and where they were measured.
        task: What the weights were trained for ('pretrain', 'classify', ...).
        source: Where the weights come from.
        config: Text of the config that trained them.
        config_hash: SHA-256 of that text; filled in when left out.
        versions: Package -> version.

    Raises:
        ValueError: When a value is not what its field holds, naming the field.
    """

    classes: tuple[str, ...] | None = None
    positive_class: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_size: int | tuple[int, ...] | None = None
    patch_size: int | None = None
    num_heads: int | None = None
    model: dict[str, Any] | None = None
    crop_margin: float | None = None
    detector: str | None = None
    view: str | None = None
    aggregation: str | None = 'mean'
    threshold: float | None = None
    threshold_meaning: str | None = None
    task: str | None = None
    source: str | None = None
    config: str | None = None
    config_hash: str | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ('classes', 'mean', 'std', 'input_size'):
            value = getattr(self, name)
            if isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        self._check_classes()
        self._check_statistics()
        self._check_numbers()
        self._check_texts()
        if self.config is not None and self.config_hash is None:
            object.__setattr__(self, 'config_hash', text_hash(self.config))

    def _check_classes(self) -> None:
        if self.classes is not None:
            names = self.classes
            texts = isinstance(names, tuple) and all(isinstance(name, str) and name for name in names)
            _require(texts and len(set(names)) == len(names) > 0, 'classes', 'different class names', names)
        if self.positive_class is not None and self.positive_class not in (self.classes or ()):
            _require(
                False, 'positive_class', f'one of the classes {brief(self.classes)}', self.positive_class
            )

    def _check_statistics(self) -> None:
        if (self.mean is None) != (self.std is None):
            _require(False, 'mean and std', 'both or neither', (self.mean, self.std))
        for name in ('mean', 'std'):
            values = getattr(self, name)
            if values is not None:
                is_three = isinstance(values, tuple) and len(values) == 3 and all(map(_is_number, values))
                _require(
                    is_three and all(0 <= v <= 1 for v in values),
                    name,
                    'three numbers in 0..1 (RGB; divide by 255 what belongs to pixels of 0..255)',
                    values,
                )
        _require(self.std is None or min(self.std) > 0, 'std', 'positive numbers', self.std)

    def _check_numbers(self) -> None:
        sides = self.input_size if isinstance(self.input_size, tuple) else (self.input_size,)
        whole = self.input_size is None or all(type(side) is int and 0 < side <= MOST_SIDE for side in sides)
        side = f'a side in pixels up to {MOST_SIDE}, or two'
        _require(whole and len(sides) in (1, 2), 'input_size', side, self.input_size)
        for name, wanted in (('patch_size', 'pixels'), ('num_heads', 'a number of heads')):
            value = getattr(self, name)
            _require(value is None or (type(value) is int and value > 0), name, wanted, value)
        for name, high in (('crop_margin', float('inf')), ('threshold', 1.0)):
            value = getattr(self, name)
            wanted = f'a number from 0 to {high:g}'
            _require(value is None or (_is_number(value) and 0 <= value <= high), name, wanted, value)

    def _check_texts(self) -> None:
        model = self.model
        _require(
            model is None or isinstance(model, dict), 'model', "a model's settings", type(model).__name__
        )
        for name in (
            'detector',
            'view',
            'aggregation',
            'threshold_meaning',
            'task',
            'source',
            'config',
            'config_hash',
        ):
            value = getattr(self, name)
            _require(value is None or isinstance(value, str), name, 'a text', value)
        both = (*self.versions, *self.versions.values()) if isinstance(self.versions, Mapping) else (None,)
        _require(all(isinstance(t, str) for t in both), 'versions', 'package names and texts', self.versions)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and texts, as stored in a checkpoint and as JSON takes them."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        return {**plain, 'versions': dict(self.versions)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelCard:
        """Card of a stored dict; what a later version of fsfm_mm added is left out with a warning.

        Raises:
            ValueError: When it is not a dict, or a value is not what its field holds.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"a checkpoint's card must be a dict, found a {type(content).__name__}.")
        _check_extent(content)
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(brief(name) for name in set(content) - known)
        if unknown:
            names = few(unknown, 8)
            warnings.warn(f'the card has entries that this version does not know: [{names}]', stacklevel=2)
        return cls(**{key: value for key, value in content.items() if key in known})

    def check_against(
        self,
        *,
        reaction: str = 'warn',
        where: str = 'here',
        **facts: Any,
    ) -> list[str]:
        """Compare the card with what a caller is about to use; None on either side is no contradiction.

        Args:
            reaction: 'warn' warns of each contradiction, 'error' raises, 'return' only returns them.
            where: What contradicts, for the sentences, e.g. 'the test set'.
            **facts: What the caller uses, by the names of :data:`COMPARED` and as the class describes them.

        Returns:
            One sentence per contradiction.

        Raises:
            TypeError: For a fact that is not compared.
            ValueError: For another ``reaction``; with 'error' when there is a contradiction.
        """
        if reaction not in REACTIONS:
            raise ValueError(f'reaction must be one of {REACTIONS}, found {reaction!r}')
        unknown = sorted(set(facts) - set(COMPARED))
        if unknown:
            raise TypeError(f'a card is compared by {", ".join(COMPARED)}, found {", ".join(unknown)}')
        pairs = {
            name: (_plain(name, getattr(self, name)), _plain(name, facts.get(name))) for name in COMPARED
        }
        found = [
            f"the checkpoint's card says {name} {_show(card)}, but {where} it is {_show(theirs)}."
            for name, (card, theirs) in pairs.items()
            if card is not None and theirs is not None and not _same(card, theirs)
        ]
        if found and reaction == 'error':
            raise ValueError(' '.join(found))
        for sentence in found if reaction == 'warn' else ():
            warnings.warn(sentence, stacklevel=2)
        return found


def read_card(
    checkpoint: Mapping[str, Any] | str | os.PathLike, path: str | os.PathLike = 'the checkpoint'
) -> ModelCard | None:
    """Card of a checkpoint or of its file; None where there is none.

    Args:
        checkpoint: What is in the file, or the file.
        path: The file of a checkpoint that was read already, for messages.

    Raises:
        ValueError: The file cannot be read, or its card is none.
    """
    if isinstance(checkpoint, str | os.PathLike):
        path = checkpoint
        checkpoint = load_checkpoint_file(path)
    content = checkpoint.get('card')
    if content is None:
        return None
    with reading(path, ': its card cannot be used'):
        return ModelCard.from_dict(content)


def _check_extent(content: Any) -> None:
    """Refuse what refers to the same parts over and over: a few bytes of a pickle can mean a billion entries."""
    todo = [content]
    for _ in range(MOST_ENTRIES):
        if not todo:
            return
        value = todo.pop()
        if isinstance(value, Mapping | list | tuple):
            todo += value.values() if isinstance(value, Mapping) else value
    raise ValueError(f'it has more than {MOST_ENTRIES} entries')


def _require(condition: bool, field: str, wanted: str, found: Any) -> None:
    if not condition:
        raise ValueError(f"card: '{field}' must be {wanted}, found {brief(found)}.")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value == value


def same_fact(name: str, a: Any, b: Any) -> bool:
    """Whether two values of a card's field are the same: numbers to rounding, one side of a square or two."""
    return _same(_plain(name, a), _plain(name, b))


def show_fact(name: str, value: Any) -> str:
    """A value of a card's field in a sentence."""
    return _show(_plain(name, value))


def _plain(name: str, value: Any) -> Any:
    """A fact as it is compared: tuples for lists, two sides for one."""
    if name == 'input_size' and isinstance(value, int):
        return value, value
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _same(a: Any, b: Any) -> bool:
    numbers = isinstance(a, tuple) and isinstance(b, tuple) and all(isinstance(v, float) for v in a)
    if numbers and len(a) == len(b):
        return all(abs(x - y) < STATS_TOLERANCE for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, int | float):
        return abs(a - b) < 1e-9
    return bool(a == b)


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return '(' + ', '.join(f'{v:.4g}' if isinstance(v, float) else str(v) for v in value) + ')'
    return repr(value)
