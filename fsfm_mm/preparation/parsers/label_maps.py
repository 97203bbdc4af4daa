"""From the classes of any face parser to LaPa's 11 labels, and what a map consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fsfm_mm.regions import BACKGROUND, CELEBAMASK_NAMES, CELEBAMASK_TO_LAPA, LABEL_NAMES, NUM_LABELS, SKIN

#: Target of a class that is eyewear: skin, or background in a map that shows neither eye (dark glasses).
GLASSES = 'glasses'
TARGETS: tuple[str, ...] = (*LABEL_NAMES, GLASSES)
#: What tells how a face lies.
_PLACED = (
    'right_brow',
    'left_brow',
    'right_eye',
    'left_eye',
    'nose',
    'upper_lip',
    'inner_mouth',
    'lower_lip',
)
EYES = tuple(LABEL_NAMES.index(name) for name in ('right_eye', 'left_eye'))

#: LaPa's name for each class of facer's FaRL models, by the names in their ``label_names``. The first letter of
#: rb, lb, re, le, rr, lr (brow, eye, ear) is the person's side; earr is an ear-ring and neck_l a necklace.
FACER_TARGETS: dict[str, str] = {
    'background': 'background',
    'neck': 'background',
    'face': 'skin',
    'cloth': 'background',
    'rr': 'skin',
    'lr': 'skin',
    'rb': 'right_brow',
    'lb': 'left_brow',
    're': 'right_eye',
    'le': 'left_eye',
    'nose': 'nose',
    'imouth': 'inner_mouth',
    'llip': 'lower_lip',
    'ulip': 'upper_lip',
    'hair': 'hair',
    'eyeg': GLASSES,
    'hat': 'background',
    'earr': 'background',
    'neck_l': 'background',
}
#: The same for CelebAMask-HQ's own names.
CELEBAMASK_TARGETS: dict[str, str] = {
    name: GLASSES if name == 'eye_g' else LABEL_NAMES[label]
    for name, label in zip(CELEBAMASK_NAMES, CELEBAMASK_TO_LAPA, strict=True)
}
LAPA_TARGETS: dict[str, str] = {name: name for name in LABEL_NAMES}
#: Sets of names that a config can give by one word instead of a dict.
NAMED_TARGETS: dict[str, dict[str, str]] = {
    'lapa': LAPA_TARGETS,
    'celebamask': CELEBAMASK_TARGETS,
    'facer': FACER_TARGETS,
}


@dataclass(frozen=True)
class LabelTable:
    """What each class of a parser is among LaPa's labels.

    Attributes:
        targets: For each class of the parser, in its order, one of :data:`TARGETS`.
    """

    targets: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.targets) <= 256:
            raise ValueError(f'a label map must name 2 to 256 classes, but names {len(self.targets)}.')
        for number, target in enumerate(self.targets):
            if target not in TARGETS:
                raise ValueError(
                    f'label map, class {number}: expected one of {", ".join(TARGETS)}, found {target!r}.'
                )

    def __call__(self, classes: np.ndarray) -> np.ndarray:
        """Translate one map.

        Glasses become skin, or background where the map shows neither eye.

        Args:
            classes: Integers (H, W), numbers of the parser's classes.

        Returns:
            uint8 (H, W), labels 0..10.

        Raises:
            ValueError: A number that the table does not have.
        """
        if classes.size and not (classes.min() >= 0 and classes.max() < len(self.targets)):
            raise ValueError(
                f'the label map names {len(self.targets)} classes (0 to {len(self.targets) - 1}), but the '
                f'parser gave classes {int(classes.min())} to {int(classes.max())}: name all of them.'
            )
        table = np.array(
            [SKIN if name == GLASSES else LABEL_NAMES.index(name) for name in self.targets], np.uint8
        )
        labels = table[classes]
        eyewear = [number for number, name in enumerate(self.targets) if name == GLASSES]
        if eyewear and not np.isin(labels, EYES).any():
            labels[np.isin(classes, eyewear)] = BACKGROUND
        return labels


def label_table(
    label_map: str | Mapping[str | int, str], label_names: Sequence[str] | None = None
) -> LabelTable:
    """A table from a config.

    Args:
        label_map: For every class of the parser LaPa's name (:data:`TARGETS`; 'glasses' is eyewear): by the
            class's number, or by its name in ``label_names``. Or one word: 'lapa', 'celebamask' (CelebAMask-HQ's
            own names) or 'facer'.
        label_names: Names of the parser's classes in its order. Not needed for numbers, nor for 'lapa' and
            'celebamask' in their own order.

    Returns:
        The table, in the parser's order.

    Raises:
        ValueError: A class without a target, a target without a class, or an unknown name.
    """
    if isinstance(label_map, str):
        if label_map not in NAMED_TARGETS:
            raise ValueError(
                f'label_map must be one of {", ".join(NAMED_TARGETS)} or a dict, but is {label_map!r}.'
            )
        targets = NAMED_TARGETS[label_map]
        names = class_names(label_map, label_names)
        if label_names is None and label_map == 'facer':
            raise ValueError('label_map "facer" needs label_names: its models differ in their order.')
        _refuse('label_names', [name for name in names if name not in targets], f'not in "{label_map}"')
        return LabelTable(tuple(targets[name] for name in names))
    names = [] if label_names is None else list(label_names)
    _refuse('label_names', sorted({name for name in names if names.count(name) > 1}), 'given twice')
    by_number: dict[int, str] = {}
    for key, target in label_map.items():
        number = _class_number(key, names)
        if number in by_number:
            raise ValueError(f'label_map: class {number} is named twice, the second time as {key!r}.')
        by_number[number] = target
    count = len(names) if names else max(by_number, default=-1) + 1
    missing = [names[n] if names else n for n in range(count) if n not in by_number]
    _refuse('label_map', missing, 'classes without a target')
    _refuse('label_map', sorted(n for n in by_number if n >= count), f'the parser has {count} classes')
    return LabelTable(tuple(by_number[number] for number in range(count)))


def class_names(
    label_map: str | Mapping[str | int, str], label_names: Sequence[str] | None = None
) -> list[str]:
    """Names of the classes of a table, see :func:`label_table`, in their order; empty where it has numbers only."""
    if label_names is None:
        return list(NAMED_TARGETS[label_map]) if isinstance(label_map, str) else []
    return list(label_names)


def _class_number(key: str | int, names: Sequence[str]) -> int:
    """Number of a class given by its name or number."""
    if key in names:
        return list(names).index(str(key))
    if str(key).isdecimal():
        return int(key)
    known = ', '.join(names) if names else 'none: give label_names, or numbers'
    raise ValueError(f'label_map: unknown class {key!r}; names known here: {known}.')


def _refuse(field: str, wrong: Sequence, reason: str) -> None:
    """Stop where something is wrong, naming it."""
    if wrong:
        raise ValueError(f'{field}: {reason}: {", ".join(str(item) for item in wrong)}.')


def sides_exchanged(labels: np.ndarray) -> bool | None:
    """Whether right and left brows and eyes have changed places; right is the person's, on the picture's left.

    Args:
        labels: Integers (H, W), 0..10; the head may be turned in any way where nose or mouth are labelled.

    Returns:
        True or False; None where the map does not tell, since it shows one side only.
    """
    where = {name: np.argwhere(labels == LABEL_NAMES.index(name)) for name in _PLACED}
    middle = {name: points.mean(0) for name, points in where.items() if len(points)}
    across = [
        middle[f'left_{part}'] - middle[f'right_{part}']
        for part in ('eye', 'brow')
        if f'left_{part}' in middle and f'right_{part}' in middle
    ]
    if not across:
        return None
    upper = np.mean([point for name, point in middle.items() if name.endswith(('eye', 'brow'))], axis=0)
    lower = [point for name, point in middle.items() if not name.endswith(('eye', 'brow'))]
    down = np.mean(lower, axis=0) - upper if lower else np.array([1.0, 0.0])
    rows, columns = np.sum(across, axis=0)
    return bool(columns * down[0] - rows * down[1] < 0)


def label_fractions(labels: np.ndarray) -> dict[str, float]:
    """Share of the pixels with each label.

    Args:
        labels: Integers (H, W), 0..10.

    Returns:
        All 11 names of ``LABEL_NAMES`` in their order, 0..1, rounded to 6 decimals so that the same map always
        gives the same line of JSON.

    Raises:
        ValueError: The map is empty or has other labels.
    """
    if labels.size == 0 or not 0 <= labels.min() <= labels.max() < NUM_LABELS:
        raise ValueError(
            f'expected a map with labels 0 to {NUM_LABELS - 1}, found shape {labels.shape}'
            + (f' with {int(labels.min())} to {int(labels.max())}.' if labels.size else '.')
        )
    counts = np.bincount(labels.reshape(-1), minlength=NUM_LABELS)
    return {name: round(int(count) / labels.size, 6) for name, count in zip(LABEL_NAMES, counts, strict=True)}
