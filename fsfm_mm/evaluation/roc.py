"""ROC curves, one or many at once, and what is read off them.

Everywhere: a score is P(positive class), label 1 is the positive class (real), and a sample is taken for
positive when its score is **at or above** the threshold. So FPR is the share of fakes taken for real, and
TPR the share of reals taken for real.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """Operating points of falling threshold, from (0, 0) to (1, 1).

    Attributes:
        fpr: False positive rates, (..., T).
        tpr: True positive rates, (..., T).
        thresholds: (T,); the first is infinite, for the point where nothing is taken for positive.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


def check_scores(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 (n,) and labels as int64 (n,).

    Raises:
        ValueError: Without samples, of different lengths, for scores that are not finite, or for labels
            other than 0 and 1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    found = np.asarray(labels)
    if scores.ndim != 1 or scores.shape != found.shape or not scores.size:
        raise ValueError(
            f'scores and labels must be (n,) with n > 0, found shapes {scores.shape} and {found.shape}'
        )
    if not np.isfinite(scores).all():
        bad = np.flatnonzero(~np.isfinite(scores))
        raise ValueError(
            f'scores must be finite, found {scores[bad[0]]} at index {bad[0]} ({bad.size} such in all)'
        )
    if not np.isin(found, (0, 1)).all():
        raise ValueError(f'labels must be 0 or 1, found {np.unique(found)[:5].tolist()}')
    return scores, found.astype(np.int64)


def check_both_classes(scores: np.ndarray, labels: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """:func:`check_scores`, and that both classes occur.

    Raises:
        ValueError: As :func:`check_scores`, and where one class is missing; the message names ``what``.
    """
    scores, labels = check_scores(scores, labels)
    positives = int(labels.sum())
    if positives in (0, labels.size):
        raise ValueError(
            f'{what} needs both classes, found {positives} positive (real) and '
            f'{labels.size - positives} negative (fake) samples'
        )
    return scores, labels


def roc_curve(scores: np.ndarray, labels: np.ndarray) -> Curve:
    """ROC with every distinct score as a point.

    Args:
        scores: P(positive), (n,).
        labels: 1 positive, 0 negative, (n,).

    Raises:
        ValueError: For wrong input or a missing class.
    """
    from sklearn.metrics import roc_curve as sklearn_roc_curve  # slow to import: only where it is used

    scores, labels = check_both_classes(scores, labels, 'a ROC curve')
    # points on straight stretches stay: "the last point with fpr <= x" may be one of them
    return Curve(*sklearn_roc_curve(labels, scores, drop_intermediate=False))


def weighted_counts(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of the positives and of the negatives at or above each distinct score, many weightings at once.

    Args:
        scores: (n,).
        labels: 1 positive, 0 negative, (n,).
        weights: How often each sample counts, (R, n).

    Returns:
        True and false positives, each (R, T), by falling threshold, beginning with 0.
    """
    order = np.argsort(-scores, kind='stable')
    last_of_value = np.append(np.diff(scores[order]) != 0, True)
    weights = weights[:, order]
    counts = []
    for kind in (1, 0):
        sums = np.cumsum(weights * (labels[order] == kind), axis=1, dtype=np.float64)[:, last_of_value]
        counts.append(np.concatenate([np.zeros((len(weights), 1)), sums], axis=1))
    return counts[0], counts[1]


def area(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Area under curves (..., T), trapezoids along the last axis."""
    return np.sum(np.diff(fpr) * (tpr[..., 1:] + tpr[..., :-1]) / 2, axis=-1)


def crossing(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Equal error rate of curves (..., T): the x with 1 - x - tpr(fpr=x) = 0 on the linearly joined points."""
    gap = 1 - fpr - tpr  # falls from 1 to -1 along the curve
    after = np.argmax(gap <= 0, axis=-1)[..., None]

    def at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, index, axis=-1)[..., 0]

    before = after - 1
    share = at(gap, before) / (at(gap, before) - at(gap, after))
    return at(fpr, before) + share * (at(fpr, after) - at(fpr, before))


def tpr_within(fpr: np.ndarray, tpr: np.ndarray, max_fpr: float) -> np.ndarray:
    """The last TPR of curves (..., T) whose FPR is at most ``max_fpr`` (a share, 0..1)."""
    last = np.sum(fpr <= max_fpr, axis=-1)[..., None] - 1
    return np.take_along_axis(tpr, last, axis=-1)[..., 0]
