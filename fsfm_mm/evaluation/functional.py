"""Metrics of forgery detection and face anti-spoofing: pure functions of scores and labels, each defined once.

A score is P(real), label 1 is real (bona fide, the positive class) and 0 fake (a spoof), and a sample is taken
for real, or accepted, when its score is **at or above** the threshold. FPR (FAR, APCER) is the share of fakes
accepted, TPR the share of reals accepted, FRR (BPCER) the share of reals rejected. All values are shares, 0..1.
Definitions: the protocols of the papers (FSFM, FS-VFM; leave one domain out), docs/evaluation.md.

Every metric takes ``weights``: how much each sample counts, finite and not negative. Weights (n,) that are whole
numbers give what repeating the samples so often would give. Many weightings at once (R, n) give an array (R,)
instead of a float, which is how a bootstrap resamples. Without weights every sample counts once. A class that a
metric needs is missing also where one of the weightings leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: A float, or float64 (R,) for weights (R, n).
Values = float | np.ndarray
Metric = Callable[..., Values]
#: The published grid of thresholds: 0..1 in steps of 1e-4.
GRID = np.arange(10001) / 10000


class Curve(NamedTuple):
    """Operating points of falling threshold, from (0, 0) to (1, 1).

    Attributes:
        fpr: False positive rates (T,), or (R, T) for weights (R, n).
        tpr: True positive rates, of the same shape.
        thresholds: (T,); the first is infinite, for the point where nothing is taken for positive.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


class ThresholdedHTER(NamedTuple):
    """An HTER and the threshold that it was taken at; both (R,) for weights (R, n)."""

    hter: Values
    threshold: Values


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


def check_weights(weights: np.ndarray | None, num_samples: int) -> np.ndarray:
    """Weights as float64 (n,) or (R, n); ones (n,) for None.

    Raises:
        ValueError: For another shape, weights that are negative or not finite, or a weighting of zeros only.
    """
    if weights is None:
        return np.ones(num_samples)
    found = np.asarray(weights, dtype=np.float64)
    if found.ndim not in (1, 2) or found.shape[-1] != num_samples or not found.size:
        raise ValueError(
            f'weights must be (n,) or (R, n) with R > 0 for n = {num_samples} samples, found {found.shape}'
        )
    if not (found.min() >= 0 and found.max() < np.inf and (found.sum(axis=-1) > 0).all()):  # nor NaN
        raise ValueError('weights must be finite and not negative, and some of each weighting positive')
    return found


def check_both_classes(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:func:`check_scores` and :func:`check_weights`, and that both classes occur in every weighting.

    Raises:
        ValueError: As those two, and where one class is missing; the message names ``what``.
    """
    scores, labels = check_scores(scores, labels)
    weights = check_weights(weights, labels.size)
    reals, fakes = np.ravel(weights @ labels), np.ravel(weights @ (1 - labels))
    missing = np.flatnonzero((reals == 0) | (fakes == 0))[:1]
    if missing.size:
        raise ValueError(
            f'{what} needs both classes, found {reals[missing[0]]:.10g} positive (real) and '
            f'{fakes[missing[0]]:.10g} negative (fake) samples'
        )
    return scores, labels, weights


def accepted_counts(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight of the reals and of the fakes that are accepted at every threshold that tells scores apart.

    Args:
        scores: (n,).
        labels: (n,).
        weights: (n,) or (R, n).

    Returns:
        Reals and fakes, each (T,) or (R, T), and the thresholds (T,), falling: infinity, where nothing is
        accepted, and every distinct score.
    """
    order = np.argsort(-scores, kind='stable')
    falling = scores[order]
    last_of_value = np.append(np.diff(falling) != 0, True)
    counts = []
    for label in (1, 0):
        of_class = labels[order] == label
        sums = np.zeros((*weights.shape[:-1], np.count_nonzero(of_class) + 1))
        np.cumsum(weights[..., order[of_class]], axis=-1, out=sums[..., 1:])
        counts.append(sums[..., np.append(0, np.cumsum(of_class)[last_of_value])])
    return counts[0], counts[1], np.append(np.inf, falling[last_of_value])


def _at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``values`` (..., T) at one index a row (...,)."""
    return np.take_along_axis(values, np.expand_dims(index, -1), axis=-1)[..., 0]


def _values(found: np.ndarray) -> Values:
    return found if np.ndim(found) else float(found)


def _share(of: np.ndarray, among: np.ndarray, weights: np.ndarray | None, needs: str = '') -> Values:
    """Weighted share of the samples ``of`` (n,) among the samples ``among`` (n,); ``needs`` is the error."""
    weights = check_weights(weights, of.size)
    total = weights @ among
    if not np.all(total):
        raise ValueError(f'{needs}, found none among {of.size} samples')
    return _values((weights @ (of & among)) / total)


def roc_curve(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Curve:
    """ROC with every distinct score as a point.

    Args:
        scores: P(positive), (n,).
        labels: 1 positive, 0 negative, (n,).
        weights: (n,) or (R, n).

    Raises:
        ValueError: For wrong input or a missing class.
    """
    reals, fakes, thresholds = accepted_counts(*check_both_classes(scores, labels, weights, 'a ROC curve'))
    # points on straight stretches stay: "the last point with fpr <= x" may be one of them
    return Curve(fakes / fakes[..., -1:], reals / reals[..., -1:], thresholds)


def auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Values:
    """Area under the ROC (trapezoids); a tie between a real and a fake counts half.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    fpr, tpr, _ = roc_curve(scores, labels, weights)
    return _values(np.sum(np.diff(fpr) * (tpr[..., 1:] + tpr[..., :-1]) / 2, axis=-1))


def eer(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Values:
    """Equal error rate: the root of 1 - x - tpr(fpr=x), the ROC's points joined linearly.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    fpr, tpr, _ = roc_curve(scores, labels, weights)
    gap = 1 - fpr - tpr  # falls from 1 to -1 along the curve
    after = np.argmax(gap <= 0, axis=-1)
    before = after - 1
    share = _at(gap, before) / (_at(gap, before) - _at(gap, after))
    return _values(_at(fpr, before) + share * (_at(fpr, after) - _at(fpr, before)))


def tpr_at_fpr(
    scores: np.ndarray, labels: np.ndarray, max_fpr: float = 0.01, weights: np.ndarray | None = None
) -> Values:
    """Share of reals accepted where at most ``max_fpr`` of the fakes are: the last ROC point within it.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    fpr, tpr, _ = roc_curve(scores, labels, weights)
    return _values(_at(tpr, np.sum(fpr <= max_fpr, axis=-1) - 1))


def average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Values:
    """Average precision with real as the positive class: sum of precision times step of recall, no interpolation.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    reals, fakes, _ = accepted_counts(*check_both_classes(scores, labels, weights, 'average precision'))
    accepted = (reals + fakes)[..., 1:]
    precision = np.divide(reals[..., 1:], accepted, out=np.zeros_like(accepted), where=accepted > 0)
    return _values(np.sum(np.diff(reals / reals[..., -1:]) * precision, axis=-1))


def accuracy(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None
) -> Values:
    """Share of samples on the right side of the threshold.

    Raises:
        ValueError: For wrong input.
    """
    scores, labels = check_scores(scores, labels)
    return _share((scores >= threshold) == labels, np.ones(labels.size, bool), weights)


def balanced_accuracy(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None
) -> Values:
    """Mean of the two classes' accuracies at the threshold.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    scores, labels, weights = check_both_classes(scores, labels, weights, 'balanced accuracy')
    right = (scores >= threshold) == labels
    return (_share(right, labels == 1, weights) + _share(right, labels == 0, weights)) / 2


def apcer(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None
) -> Values:
    """Attack presentation classification error rate = FAR: share of spoofs accepted, over all attack types.

    Raises:
        ValueError: For wrong input or without any spoof.
    """
    return _accepted_fakes(scores, labels, threshold, weights, 'APCER needs spoofs (label 0)')


def bpcer(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None
) -> Values:
    """Bona fide presentation classification error rate = FRR: share of reals rejected.

    Raises:
        ValueError: For wrong input or without any real.
    """
    return _rejected_reals(scores, labels, threshold, weights, 'BPCER')


def fpr_on_reals(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None
) -> Values:
    """Share of reals that are taken for fakes: the false alarms that a user of a frozen threshold sees.

    Raises:
        ValueError: For wrong input or without any real.
    """
    return _rejected_reals(scores, labels, threshold, weights, 'FPR on reals')


def fnr_on_fakes(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None
) -> Values:
    """Share of fakes that are taken for real: the misses of a detector at a frozen threshold.

    Raises:
        ValueError: For wrong input or without any fake.
    """
    return _accepted_fakes(scores, labels, threshold, weights, 'FNR on fakes needs fakes (label 0)')


def _accepted_fakes(
    scores: np.ndarray, labels: np.ndarray, threshold: float, weights: np.ndarray | None, needs: str
) -> Values:
    scores, labels = check_scores(scores, labels)
    return _share(scores >= threshold, labels == 0, weights, needs)


def _rejected_reals(
    scores: np.ndarray, labels: np.ndarray, threshold: float, weights: np.ndarray | None, name: str
) -> Values:
    scores, labels = check_scores(scores, labels)
    return _share(scores < threshold, labels == 1, weights, f'{name} needs reals (label 1)')


def acer(
    scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5, weights: np.ndarray | None = None
) -> Values:
    """Average classification error rate: (APCER + BPCER) / 2.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    return (apcer(scores, labels, threshold, weights) + bpcer(scores, labels, threshold, weights)) / 2


def hter(
    scores: np.ndarray, labels: np.ndarray, threshold: float, weights: np.ndarray | None = None
) -> Values:
    """Half total error rate at a given threshold: (FAR + FRR) / 2.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    return acer(scores, labels, threshold, weights)


def hter_at_target_eer(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> ThresholdedHTER:
    """HTER as published: its threshold is chosen on the very scores that it is reported on.

    Over the grid 0..1 of step 1e-4 the threshold of the least |FRR - FAR|, the last of ties. It says how well
    the classes could be separated by someone who knows the answers, not how well a fielded threshold does:
    that is :func:`hter` at a threshold from source data.

    Args:
        scores: P(real) (n,), 0..1.
        labels: 1 real, 0 spoof (n,).
        weights: (n,) or (R, n).

    Raises:
        ValueError: For wrong input, scores outside 0..1 or a missing class.
    """
    scores, labels, weights = check_both_classes(scores, labels, weights, 'HTER')
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            f'HTER@target-EER needs scores within 0..1, found {scores.min():g}..{scores.max():g}'
        )
    reals, spoofs, thresholds = accepted_counts(scores, labels, weights)
    point = np.searchsorted(-thresholds, -GRID, side='right') - 1
    last = np.append(np.diff(point) != 0, True)  # between the same two scores the errors are the same
    point, grid = point[last], GRID[last]
    frr = (reals[..., -1:] - reals[..., point]) / reals[..., -1:]
    far = spoofs[..., point] / spoofs[..., -1:]
    distance = np.abs(frr - far)  # in float64 as published: rounding decides some ties
    best = grid.size - 1 - np.argmin(distance[..., ::-1], axis=-1)
    return ThresholdedHTER(_values((_at(far, best) + _at(frr, best)) / 2), _values(grid[best]))


def cross_entropy(true_class_probabilities: np.ndarray, weights: np.ndarray | None = None) -> Values:
    """Mean of -log P(true class), the quantity by which the published runs chose their checkpoints.

    Args:
        true_class_probabilities: (n,), 0..1. Zeros count as float32's smallest normal number (87.3 nats),
            so that one underflow does not make the mean infinite.
        weights: (n,) or (R, n).

    Raises:
        ValueError: Without samples, or for values outside 0..1.
    """
    p = np.asarray(true_class_probabilities, dtype=np.float64)
    if not p.size or not ((p >= 0) & (p <= 1 + 1e-6)).all():  # not of NaN either
        raise ValueError(f'expected probabilities within 0..1, found {p.size} values: {p[:3].tolist()} ...')
    weights = check_weights(weights, p.size)
    losses = -np.log(np.clip(p, np.finfo(np.float32).tiny, 1))
    return _values(np.sum(weights * losses, axis=-1) / np.sum(weights, axis=-1))
