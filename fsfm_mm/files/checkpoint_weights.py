"""Which weights of a checkpoint are meant, and their names without what training wrapped around the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fsfm_mm.text import few

#: What wrappers (DDP, FSDP, torch.compile, checkpointing) and containers put before the names of a network.
PREFIXES = (
    'module',
    '_orig_mod',
    '_fsdp_wrapped_module',
    '_checkpoint_wrapped_module',
    'model',
    'backbone',
    'encoder',
)
#: Those of them that also stand within a name, and never are part of one.
_WITHIN = re.compile(r'(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')
_STACK = re.compile(rf'(?:(?:{"|".join(PREFIXES)})\.)*')
#: Where training programs keep averaged weights (timm; DeiT; others).
EMA_KEYS = ('state_dict_ema', 'model_ema', 'ema_state_dict')
WEIGHTS = ('ema', 'raw')


def choose_weights(
    checkpoint: Mapping[str, Any],
    wrappers: Sequence[str],
    weights: str | None = None,
    ema_first: bool = False,
) -> tuple[Mapping[str, Any], str | None]:
    """The state dict that is meant where a file has averaged (EMA) weights beside the raw ones.

    mmengine's EMAHook swaps them: its files have the averaged ones under ``state_dict`` and the raw ones under
    ``ema_state_dict``.

    Args:
        checkpoint: The file's content.
        wrappers: Where its kind keeps the raw weights.
        weights: 'ema', 'raw', or None for what the kind's own tools load.
        ema_first: Whether that are the averaged ones.

    Returns:
        The state dict, by default the checkpoint itself; and, where there are both, a line on which it is.

    Raises:
        ValueError: For another word, or when the file does not have what is wanted.
    """
    if weights not in (None, *WEIGHTS):
        raise ValueError(f"weights must be 'ema' or 'raw', found {weights!r}.")
    found = {'raw': _first(checkpoint, wrappers), 'ema': _first(checkpoint, EMA_KEYS)}
    swapped = checkpoint.get('ema_state_dict')
    if isinstance(swapped, Mapping) and 'steps' in swapped and found['raw'] is not None:
        without = {key: value for key, value in swapped.items() if key != 'steps'}
        found = {'raw': ('ema_state_dict', without), 'ema': found['raw']}
        ema_first = True
    if weights is not None and found[weights] is None and (weights == 'ema' or found['ema'] is not None):
        what = {
            'ema': f'averaged weights ({", ".join(EMA_KEYS)})',
            'raw': f'raw weights ({", ".join(wrappers)})',
        }
        raise ValueError(f'weights={weights!r} were asked for, but the file has no {what[weights]}.')
    taken = weights or ('ema' if found['ema'] is not None and (ema_first or found['raw'] is None) else 'raw')
    other = 'raw' if taken == 'ema' else 'ema'
    mine, theirs = found[taken], found[other]
    if mine is None:
        return checkpoint, None
    names = {'ema': 'averaged (EMA)', 'raw': 'raw'}
    if theirs is None:
        return (
            mine[1],
            None
            if taken == 'raw'
            else f'these are averaged (EMA) weights ({mine[0]}); the file has no raw ones',
        )
    return mine[1], (
        f'the {names[taken]} weights ({mine[0]}) are taken, the {names[other]} ones ({theirs[0]}) are left; '
        f'--weights {other} (weights={other!r}) takes those'
    )


def _first(checkpoint: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Mapping[str, Any]] | None:
    return next(
        ((name, checkpoint[name]) for name in names if isinstance(checkpoint.get(name), Mapping)), None
    )


def bare_names(state: Mapping[str, Any], knows: Callable[[str], Any]) -> tuple[dict[str, Any], str | None]:
    """A state dict without the prefixes that keep its names from being known: 'module.', 'model.backbone.' ...

    Names that are known are left as they are, also where they begin with such a word.

    Args:
        state: Values by name.
        knows: Whether a name is one of the network's.

    Returns:
        The state dict, and a line on what was taken off, or None.

    Raises:
        ValueError: Two prefixes would do alike, so the file has two networks.
    """
    within = {name: _WITHIN.findall(name) for name in state if _WITHIN.search(name)}
    names = {name: _WITHIN.sub('', name) for name in state}
    counts: Counter[str] = Counter()
    for name in names.values():
        parts = _STACK.match(name).group().split('.')[:-1]  # type: ignore[union-attr]  # matches always
        for count in range(len(parts) + 1):
            stack = ''.join(f'{part}.' for part in parts[:count])
            counts[stack] += bool(knows(name[len(stack) :]))
    most = max(counts.values(), default=0)
    best = [stack for stack, count in counts.items() if count == most]
    stack = '' if '' in best else best[0]
    if not most or (not stack and not within):
        return dict(state), None
    if stack and len(best) > 1:
        raise ValueError(
            f'the file has several networks, under {few([repr(name) for name in sorted(best)], 4)}: leave all but one '
            'of them out by the prefix (--drop PREFIX).'
        )
    bare = {key.removeprefix(stack): state[name] for name, key in names.items()}
    if len(bare) < len(state):
        raise ValueError(f'names of the file are the same once the prefix {stack!r} is taken off.')
    words = dict.fromkeys(
        [*([stack] if stack else []), *(word for found in within.values() for word in found)]
    )
    touched = {name for name in state if name in within or (stack and names[name].startswith(stack))}
    return bare, f'{" and ".join(map(repr, words))} taken off {len(touched)} of {len(state)} names'
