"""State dicts of other projects to ours and back: the source is named, and every key is accounted for."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from fsfm_mm.checkpoints.name_maps import (
    EMA_FIRST,
    NAME_MAPS,
    PRETRAINING_PARTS,
    SOURCES,
    TARGETS,
    WRAPPERS,
    Rule,
    backwards,
    from_reference,
)
from fsfm_mm.files.checkpoint_matching import LISTED, differences
from fsfm_mm.files.checkpoint_weights import bare_names, choose_weights
from fsfm_mm.text import few, shortened

State = dict[str, torch.Tensor]
#: Kinds with a head that was trained on one of the two pooled features.
WITH_POOLED_HEAD = ('fsfm-finetuned', 'fsfm-fas', 'fs-adapter', 'fs-adapter-fas')


@dataclasses.dataclass
class ConversionReport:
    """What became of every key.

    Args:
        source: Kind that was converted.
        target: 'fsfm_mm' or 'timm'.
        renamed: Source key -> new key.
        dropped: Source key -> why it has no place.
        made: New key -> what it was made from.
        notes: Lines about a file: what was taken for granted, how to load it.
    """

    source: str
    target: str
    renamed: dict[str, str] = dataclasses.field(default_factory=dict)
    dropped: dict[str, str] = dataclasses.field(default_factory=dict)
    made: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def summary(self) -> str:
        """Some lines for a terminal."""
        lines = [f'{self.source} -> {self.target}: {len(self.renamed)} tensors renamed']
        for what, entries in (('left out', self.dropped), ('made', self.made)):
            for reason in dict.fromkeys(entries.values()):
                keys = [key for key, why in entries.items() if why == reason]
                lines.append(f'  {len(keys)} {what}: {few(keys, 4)}: {reason}')
        return '\n'.join([*lines, *(f'  {note}' for note in self.notes)])


def convert(
    state_or_checkpoint: Mapping[str, Any],
    source: str,
    target: str = 'fsfm_mm',
    target_network: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    weights: str | None = None,
) -> tuple[State, ConversionReport]:
    """Rename a state dict.

    Tensors are shared with the input, not copied, except for what the report lists under ``made``.

    Args:
        state_or_checkpoint: A state dict, or a checkpoint of the source's form around one.
        source: One of :data:`SOURCES`, or 'fsfm_mm' (with ``target='timm'``). It is not guessed.
        target: 'fsfm_mm' or 'timm'. Our self-supervised models lose their decoders on the way to timm.
        target_network: For 'fsfm-pretrain': the second file, of the target network (``checkpoint-te-*``).
        drop: Prefixes of source keys to leave out, for a file with parts that nothing here knows.
        weights: See :func:`read_state`.

    Returns:
        The new state dict, and a report of what became of every key.

    Raises:
        ValueError: For unknown kinds; when a key is unknown or missing, listing all of them; when values
            contradict what the format says.
    """
    if source not in (*SOURCES, 'fsfm_mm') or target not in TARGETS or source == target:
        raise ValueError(
            f'cannot convert from {source!r} to {target!r}: the source is one of {SOURCES} (or fsfm_mm, to timm), '
            f'the target one of {TARGETS}.'
        )
    if target_network is not None and source != 'fsfm-pretrain':
        raise ValueError(f"only 'fsfm-pretrain' has a second file with the target network, not {source!r}.")
    report = ConversionReport(source, target)
    state, dropped, report.notes = read_state(state_or_checkpoint, source, weights, drop)
    report.dropped.update(dict.fromkeys(dropped, 'as the caller asked'))
    if source != 'fsfm_mm':
        state = _to_ours(state, source, target_network, report)
    return (_to_timm(state, report) if target == 'timm' else state), report


def state_dict_of(checkpoint: Mapping[str, Any], source: str) -> State:
    """The state dict in a checkpoint of a kind, see :func:`read_state`."""
    return read_state(checkpoint, source)[0]


def read_state(
    checkpoint: Mapping[str, Any], source: str, weights: str | None = None, drop: Sequence[str] = ()
) -> tuple[State, list[str], list[str]]:
    """The weights in a checkpoint of a kind, or the checkpoint itself where it is nothing but tensors.

    What wrappers and containers put before its names (``module.``, ``_orig_mod.``, ``model.``, ``backbone.``,
    ``encoder.``) is taken off as far as the kind's names begin otherwise.

    Args:
        checkpoint: The file's content.
        source: One of :data:`SOURCES`, or 'fsfm_mm'.
        weights: 'ema' or 'raw' where a file has both; None takes what the kind's own tools load.
        drop: Prefixes of names to leave out, as they are in the file or without its prefixes.

    Returns:
        The state dict, the names that were left out, and lines on what was chosen and taken off.

    Raises:
        ValueError: When it is neither; when the weights that are wanted, or a prefix to leave out, are not there.
    """
    found, chosen = choose_weights(checkpoint, WRAPPERS[source], weights, source in EMA_FIRST)
    strangers = [
        shortened(str(key), 80) for key, value in found.items() if not isinstance(value, torch.Tensor)
    ]
    if strangers or not found:
        names = ' or '.join(repr(wrapper) for wrapper in WRAPPERS[source])
        raise ValueError(
            f'a checkpoint of kind {source!r} has tensors by name, by themselves or under {names}; '
            + (
                f'found entries that are no tensors: {few(strangers, LISTED)}.'
                if strangers
                else 'found none.'
            )
        )
    early = [prefix for prefix in drop if any(key.startswith(prefix) for key in found)]
    state, dropped = _without(dict(found), early)
    state, taken = bare_names(state, _known_names(source))
    state, more = _without(state, [prefix for prefix in drop if prefix not in early])
    return state, [*dropped, *more], [note for note in (chosen, taken) if note]


def _known_names(source: str) -> Callable[[str], bool]:
    """Whether a name is one of a kind's."""
    if source == 'fsfm_mm':
        return lambda name: name.startswith(('backbone.', 'head.', *PRETRAINING_PARTS))
    names = {rule.theirs for rule in NAME_MAPS[source]}
    return lambda name: name in names or _numbered(name) in names


def _numbered(name: str) -> str:
    return re.sub(r'\.\d+\.', '.{i}.', name, count=1)


def match_rules(keys: Collection[str], rules: Sequence[Rule], what: str) -> dict[str, str]:
    """New name of every key.

    Args:
        keys: Names in a state dict.
        rules: The format's rules.
        what: Name of the format, for the error.

    Raises:
        ValueError: Listing all keys that no rule knows and all that are missing.
    """
    table = {rule.theirs: rule for rule in rules}
    renamed, unexpected, groups = {}, [], set()
    for key in keys:
        rule = table.get(key) or table.get(_numbered(key))
        if rule is None:
            unexpected.append(key)
            continue
        number = re.search(r'\.(\d+)\.', key)
        renamed[key] = rule.ours.replace('{i}', number.group(1) if number else '')
        groups.add(rule.group)
    missing = [name for name in _needed(keys, rules, groups) if name not in renamed]
    if unexpected or missing:
        raise ValueError(
            f'the keys are not those of {what}: {differences({"unexpected": unexpected, "missing": missing})}. '
            'Name the right source, or leave parts out by their prefix (drop).'
        )
    if len(set(renamed.values())) < len(renamed):
        doubled = [k for k, v in renamed.items() if list(renamed.values()).count(v) > 1]
        raise ValueError(
            f'the keys are not those of {what}: several stand for the same: {few(doubled, LISTED)}.'
        )
    return renamed


def _needed(keys: Collection[str], rules: Sequence[Rule], groups: set[str | None]) -> list[str]:
    """Names that must be there, given the groups of which something is there."""
    needed = []
    depths: dict[str, int] = {}
    for rule in rules:
        if rule.group is not None and rule.group not in groups:
            continue
        stack, numbered, rest = rule.theirs.partition('{i}')
        if numbered and stack not in depths:
            found = [re.match(r'\d+', key[len(stack) :]) for key in keys if key.startswith(stack)]
            depths[stack] = 1 + max((int(number.group()) for number in found if number), default=0)
        count = depths[stack] if numbered else 1
        needed += [f'{stack}{i}{rest}' if numbered else stack for i in range(count)]
    return needed


def _without(state: State, drop: Sequence[str]) -> tuple[State, list[str]]:
    """A state dict without the names that begin so, and these; raises ValueError where none does."""
    dropped: list[str] = []
    for prefix in drop:
        found = [key for key in state if key.startswith(prefix)]
        if not found:
            raise ValueError(f'no key starts with {prefix!r}, which was to be left out.')
        dropped += found
        state = {key: value for key, value in state.items() if not key.startswith(prefix)}
    return state, dropped


def _to_ours(
    state: State, source: str, target_network: Mapping[str, Any] | None, report: ConversionReport
) -> State:
    report.renamed = match_rules(state, NAME_MAPS[source], f'a {source!r} checkpoint')
    if source in WITH_POOLED_HEAD and not {'backbone.norm.weight', 'backbone.fc_norm.weight'} & set(
        report.renamed.values()
    ):
        raise ValueError(f'a {source!r} checkpoint has a norm or fc_norm after the blocks, found neither.')
    _check_embedding({report.renamed[key]: value for key, value in state.items()}, source)
    if source == 'fsfm-pretrain':
        return _pretraining(state, target_network, report)
    ours = {report.renamed[key]: value for key, value in state.items()}
    if source in ('fsfm-fas', 'fs-adapter-fas'):
        _mend_antispoof(ours, report)
    if source == 'mae' and 'mask_token' in ours:
        _mend_mask_token(ours, report)
    return ours


def _check_embedding(ours: State, source: str) -> None:
    """Refuse patches and positions that have our names and another meaning."""
    patches = ours['backbone.patch_embed.proj.weight']
    if patches.ndim != 4 or patches.shape[-1] != patches.shape[-2]:
        raise ValueError(
            f'the patch embedding of a {source!r} checkpoint must be (width, channels, side, side), found '
            f'{tuple(patches.shape)}.'
        )
    length = ours['backbone.pos_embed'].shape[1]
    if not _is_square(length - 1) and _is_square(length):
        raise ValueError(
            f'the position table of this {source!r} checkpoint has {length} places, a square grid without one for the '
            'class token (no_embed_class in timm), which the backbone here needs.'
        )


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _pretraining(state: State, target_network: Mapping[str, Any] | None, report: ConversionReport) -> State:
    if target_network is None:
        ours = from_reference(state)
        followers = [key for key in ours if key.startswith('target.')]
        report.made.update(
            dict.fromkeys(followers, 'copies of the online weights, as there is no target file')
        )
        return ours
    target = state_dict_of(target_network, 'fsfm-pretrain')
    names = match_rules(target, NAME_MAPS['fsfm-target'], "the target network of 'fsfm-pretrain'")
    for key, name in names.items():
        if name == 'mask_token':
            report.dropped[f'target file: {key}'] = 'the target sees whole faces and never uses it'
        else:
            report.renamed[f'target file: {key}'] = f'target.{name}'
    return from_reference(state, target)


def _mend_antispoof(ours: State, report: ConversionReport) -> None:
    """Check the doubled bottleneck, and leave out the head of the ViT that the spoof classifier replaces."""
    for end in ('weight', 'bias'):
        again = ours.pop(f'head.spoof.bottleneck_again.{end}')
        if not torch.equal(again, ours[f'head.spoof.bottleneck.{end}']):
            raise ValueError(
                f'embedder.bottleneck_layer.0.{end} and embedder.bottleneck_layer_fc.{end} are the same layer in the '
                f'reference, but in this {report.source!r} checkpoint their values differ.'
            )
        _moved(
            report, f'head.spoof.bottleneck_again.{end}', 'the same tensor as embedder.bottleneck_layer_fc'
        )
        if ours.pop(f'head.unused.{end}', None) is not None:
            _moved(report, f'head.unused.{end}', 'the anti-spoofing classifier is read in its place')
    width, weight = ours['head.spoof.bottleneck.weight'].shape[0], ours['head.spoof.fc.weight']
    if weight.ndim != 2 or weight.shape[1] != width:
        raise ValueError(
            f'classifier.classifier_layer.weight must be (classes, {width}), found {tuple(weight.shape)}.'
        )


def _mend_mask_token(ours: State, report: ConversionReport) -> None:
    """MAE adds its mask token after ``decoder_embed``, we before it: solve ``W m + b = t`` for m."""
    weight, bias = (ours[f'pixel_decoder.embed.{end}'].double() for end in ('weight', 'bias'))
    token = ours['mask_token'].double().flatten()
    solved = torch.linalg.lstsq(weight, (token - bias).unsqueeze(1), driver='gelsd').solution
    rest = (weight @ solved).squeeze(1) + bias - token
    if rest.norm() > 1e-5 * max(float(token.norm()), 1e-6):
        raise ValueError(
            'the mask token of this MAE cannot be written in front of decoder_embed (the decoder is wider than the '
            "encoder): convert the encoder alone, with drop=('mask_token', 'decoder_')."
        )
    ours['mask_token'] = solved.view(1, 1, -1).to(ours['mask_token'].dtype)
    report.made['mask_token'] = 'the solution of decoder_embed(m) = mask_token: same predictions, to rounding'


def _moved(report: ConversionReport, new_key: str, why: str) -> None:
    """Move a key of the report from renamed to dropped."""
    key = next(key for key, name in report.renamed.items() if name == new_key)
    del report.renamed[key]
    report.dropped[key] = why


def _to_timm(ours: State, report: ConversionReport) -> State:
    kept = {key: value for key, value in ours.items() if not key.startswith(PRETRAINING_PARTS)}
    if {'backbone.norm.weight', 'backbone.fc_norm.weight'} <= set(kept):
        raise ValueError(
            'a ViT of timm has one norm after its blocks, this backbone has two (final_norm=True with '
            "out_type='avg_featmap'): its features would be others there."
        )
    names = match_rules(kept, backwards('timm'), 'a ViT that timm has (backbone.*, head.fc.*)')
    origin = {new: key for key, new in report.renamed.items()} or {key: key for key in ours}
    report.renamed = {origin[key]: name for key, name in names.items()}
    gone = [origin[key] for key in ours if key not in kept and key in origin]
    report.dropped.update(dict.fromkeys(gone, 'a part of pretraining that a ViT in timm does not have'))
    report.made = {names[key]: how for key, how in report.made.items() if key in names}
    return {names[key]: value for key, value in kept.items()}
