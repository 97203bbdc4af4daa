"""Schedules as pure functions of progress; schedulers and hooks only call them.

Source: FSFM (CVPR 2025) and MAE: linear warm-up, then half a cosine, both at fractional epochs; the
target's momentum follows half a cosine over all updates.
"""

from __future__ import annotations

import math


def cosine(start: float, end: float, fraction: float) -> float:
    """Half a cosine from ``start`` (fraction 0) to ``end`` (fraction 1); no unit.

    Args:
        start: Value at fraction 0.
        end: Value at fraction 1.
        fraction: Progress in [0, 1]; values outside are clamped.
    """
    fraction = min(max(fraction, 0.0), 1.0)
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * fraction))


def warmup_cosine(progress: float, total: float, warmup: float, base: float, final: float = 0.0) -> float:
    """Learning rate after ``progress`` of ``total``, warm-up first (MAE's fractional-epoch schedule).

    Args:
        progress: How far training is, in any unit (epochs, possibly fractional, or iterations).
        total: Length of the whole schedule in the same unit.
        warmup: Length of the linear warm-up from 0, in the same unit; 0 for none.
        base: Peak learning rate, reached at ``progress == warmup``.
        final: Learning rate at ``progress == total``.

    Raises:
        ValueError: When ``warmup`` is not in [0, total).
    """
    if not 0 <= warmup < total:
        raise ValueError(f'the warm-up must be in [0, {total}) (the schedule length), found {warmup}')
    if progress < warmup:
        return base * progress / warmup
    return cosine(base, final, (progress - warmup) / (total - warmup))


def momentum_cosine(update: int, total_updates: int, base: float = 0.996, final: float = 1.0) -> float:
    """Momentum m of update number ``update`` (from 0); target = m * target + (1 - m) * online.

    Args:
        update: Number of optimiser updates done before this one.
        total_updates: Updates of the whole run.
        base: m of the first update.
        final: m that the run ends on.

    Raises:
        ValueError: When a momentum is outside [0, 1] or ``total_updates`` is not positive.
    """
    if not (0.0 <= base <= 1.0 and 0.0 <= final <= 1.0):
        raise ValueError(f'a momentum m must be in [0, 1], found base={base}, final={final}')
    if total_updates < 1:
        raise ValueError(f'a momentum schedule needs at least one update, found {total_updates}')
    return cosine(base, final, update / total_updates)
