"""Confidence intervals by resampling videos.

Frames of one video resemble each other, so resampling frames would make intervals far too narrow: whole videos
are drawn, with replacement, and a drawn video brings all of its frames.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fsfm_mm.evaluation.antispoofing import acer, apcer, bpcer, hter, tpr_at_fpr
from fsfm_mm.evaluation.functional import (
    accuracy,
    auc,
    average_precision,
    balanced_accuracy,
    eer,
    fpr_on_reals,
)
from fsfm_mm.evaluation.roc import area, check_scores, crossing, tpr_within, weighted_counts

Metric = Callable[..., float]
#: Weights that are held at once, about 80 MB with the temporaries of a curve.
_CHUNK = 2_000_000


class Interval(NamedTuple):
    """A metric with its percentile interval.

    Attributes:
        value: On the data as they are.
        low: Lower end.
        high: Upper end.
        num_resamples: Resamples that the ends are from: those with every class of the data.
    """

    value: float
    low: float
    high: float
    num_resamples: int


def bootstrap_interval(
    metric: Metric,
    scores: np.ndarray,
    labels: np.ndarray,
    videos: Sequence[str] | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over videos, for any metric.

    Resamples in which a class of the data does not occur are left out and not counted: no metric of two
    classes is defined on them. The metrics of this package are computed for many resamples at once
    (:data:`BATCHED`, also within ``functools.partial``); any other function is called once a resample.

    Args:
        metric: Function of scores (m,) and labels (m,).
        scores: P(real) (n,), of frames or of videos.
        labels: 1 real, 0 fake (n,).
        videos: Video id of each score; without, each score is a video of its own.
        num_resamples: How many.
        confidence: Share of the resamples between the ends, 0..1.
        seed: The same seed gives the same interval.

    Raises:
        ValueError: For wrong input, where ``metric`` raises it on the data, or where no resample has every class.
    """
    scores, labels = check_scores(scores, labels)
    if not 0 < confidence < 1 or num_resamples < 1:
        raise ValueError(
            f'expected 0 < confidence < 1 and num_resamples > 0, found {confidence} and {num_resamples}'
        )
    if videos is not None and len(videos) != scores.size:
        raise ValueError(f'expected one video id per score, found {len(videos)} ids and {scores.size} scores')
    value = float(metric(scores, labels))
    units = np.arange(scores.size) if videos is None else np.unique(videos, return_inverse=True)[1]
    counts = draw_counts(int(units.max()) + 1, num_resamples, seed)
    values = resampled_values(metric, scores, labels, units, counts)
    if not values.size:
        raise ValueError(
            f'none of {num_resamples} resamples of {counts.shape[1]} videos has every class: too few videos'
        )
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), values.size)


def draw_counts(num_videos: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each video is drawn: (num_resamples, num_videos), every row summing to ``num_videos``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_videos, np.full(num_videos, 1 / num_videos), size=num_resamples)


def resampled_values(
    metric: Metric, scores: np.ndarray, labels: np.ndarray, units: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """The metric of every resample that has all classes of the data.

    Args:
        metric: Function of scores and labels.
        scores: (n,).
        labels: (n,).
        units: Index of each score's video (n,).
        counts: From :func:`draw_counts`.

    Returns:
        (at most num_resamples,)
    """
    step = max(1, _CHUNK // scores.size)
    values: list[np.ndarray] = []
    for start in range(0, len(counts), step):
        weights = counts[start : start + step, units]
        complete = np.ones(len(weights), bool)
        for label in np.unique(labels):
            complete &= weights[:, labels == label].any(axis=1)
        if complete.any():
            values.append(_values(metric, scores, labels, weights[complete]))
    return np.concatenate(values) if values else np.zeros(0)


def _values(metric: Metric, scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    function, options = metric, {}
    if isinstance(metric, functools.partial) and not metric.args:
        function, options = metric.func, metric.keywords
    if function in BATCHED:
        return BATCHED[function](scores, labels, weights, **options)
    repeated = (np.repeat(np.arange(scores.size), row) for row in weights)
    return np.array([metric(scores[index], labels[index]) for index in repeated], dtype=np.float64)


def _curve(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positives, negatives = weighted_counts(scores, labels, weights)
    return negatives / negatives[:, -1:], positives / positives[:, -1:]


def _auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return area(*_curve(scores, labels, weights))


def _eer(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return crossing(*_curve(scores, labels, weights))


def _tpr_at_fpr(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, max_fpr: float = 0.01
) -> np.ndarray:
    return tpr_within(*_curve(scores, labels, weights), max_fpr)


def _average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    positives, negatives = weighted_counts(scores, labels, weights)
    precision = positives[:, 1:] / np.maximum(positives + negatives, 1)[:, 1:]
    return np.sum(np.diff(positives / positives[:, -1:]) * precision, axis=1)


def _share(of: np.ndarray, among: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of the samples ``of`` among the samples ``among``, per resample."""
    return (weights @ (of & among)) / (weights @ among.astype(np.int64))


def _accuracy(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    return _share((scores >= threshold) == labels, np.ones(labels.size, bool), weights)


def _apcer(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    return _share(scores >= threshold, labels == 0, weights)


def _bpcer(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    return _share(scores < threshold, labels == 1, weights)


def _acer(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    return (_apcer(scores, labels, weights, threshold) + _bpcer(scores, labels, weights, threshold)) / 2


def _balanced_accuracy(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    return 1 - _acer(scores, labels, weights, threshold)


#: Metric to the same for many weightings at once: (scores (n,), labels (n,), weights (R, n), options) to (R,).
BATCHED: dict[Metric, Callable[..., Any]] = {
    auc: _auc,
    eer: _eer,
    average_precision: _average_precision,
    tpr_at_fpr: _tpr_at_fpr,
    accuracy: _accuracy,
    balanced_accuracy: _balanced_accuracy,
    fpr_on_reals: _bpcer,
    apcer: _apcer,
    bpcer: _bpcer,
    acer: _acer,
    hter: _acer,
}
