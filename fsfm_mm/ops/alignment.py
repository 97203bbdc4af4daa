"""Laying points over other points."""

from __future__ import annotations

import numpy as np


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turn, scale and shift that bring points to others with the least squares (Umeyama), without a reflection.

    Args:
        source: float (N, 2), not all the same point.
        target: float (N, 2), where each of them is to come.

    Returns:
        float64 (2, 3), for column vectors (x, y, 1).
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    before, after = source - source.mean(0), target - target.mean(0)
    power = (before**2).sum()
    cos = (before * after).sum() / power
    sin = (before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]).sum() / power
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.c_[turn, target.mean(0) - turn @ source.mean(0)]
