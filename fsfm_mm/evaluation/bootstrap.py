"""Confidence intervals by resampling videos.

Frames of one video resemble each other, so resampling frames would make intervals far too narrow: whole videos
are drawn, with replacement, and a drawn video brings all of its frames.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fsfm_mm.evaluation.functional import Metric, check_scores

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
    classes is defined on them. A metric that takes ``weights``, as those of this package do (also within
    ``functools.partial``), is computed for many resamples at once; any other is called once a resample.

    Args:
        metric: Function of scores (m,) and labels (m,), with ``weights`` (R, m) for R values at once.
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
        metric: As in :func:`bootstrap_interval`.
        scores: (n,).
        labels: (n,).
        units: Index of each score's video (n,).
        counts: From :func:`draw_counts`.

    Returns:
        (at most num_resamples,)
    """
    complete = np.ones(len(counts), bool)
    for label in np.unique(labels):
        complete &= counts @ np.bincount(units, weights=labels == label) > 0
    counts = counts[complete]
    if not _takes_weights(metric):
        repeated = (np.repeat(np.arange(scores.size), row[units]) for row in counts)
        return np.array([metric(scores[index], labels[index]) for index in repeated], dtype=np.float64)
    step = max(1, _CHUNK // scores.size)
    values = np.zeros(len(counts))
    for start in range(0, len(counts), step):
        weights = counts[start : start + step, units]
        values[start : start + step] = metric(scores, labels, weights=weights)
    return values


def _takes_weights(metric: Metric) -> bool:
    try:
        return 'weights' in inspect.signature(metric).parameters
    except (TypeError, ValueError):  # some functions written in C do not say
        return False
