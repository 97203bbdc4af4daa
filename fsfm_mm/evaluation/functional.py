"""Metrics of forgery detection: pure functions of scores and labels.

A score is P(positive class) = P(real), label 1 is real, and a sample is taken for real when its score is at
or above the threshold. Definitions: papers' protocol for deepfake detection (FSFM, FS-VFM), docs/evaluation.md.
All values are shares, 0..1.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log

from fsfm_mm.evaluation.roc import area, check_both_classes, check_scores, crossing, roc_curve


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC; a tie between a real and a fake counts half.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    curve = roc_curve(scores, labels)
    return float(area(curve.fpr, curve.tpr))


def eer(scores: np.ndarray, labels: np.ndarray) -> float:
    """Equal error rate: the root of 1 - x - tpr(fpr=x), the ROC's points joined linearly.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    curve = roc_curve(scores, labels)
    return float(crossing(curve.fpr, curve.tpr))


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Average precision with real as the positive class: sum of precision times step of recall, no interpolation.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    from sklearn.metrics import average_precision_score  # slow to import: only where it is used

    scores, labels = check_both_classes(scores, labels, 'average precision')
    return float(average_precision_score(labels, scores))


def accuracy(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """Share of samples on the right side of the threshold.

    Raises:
        ValueError: For wrong input.
    """
    scores, labels = check_scores(scores, labels)
    return float(np.mean((scores >= threshold) == labels))


def balanced_accuracy(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """Mean of the two classes' accuracies at the threshold.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    scores, labels = check_both_classes(scores, labels, 'balanced accuracy')
    right = (scores >= threshold) == labels
    return float((right[labels == 1].mean() + right[labels == 0].mean()) / 2)


def fpr_on_reals(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """Share of reals that are taken for fakes: the false alarms that a user of a frozen threshold sees.

    Raises:
        ValueError: For wrong input or without any real.
    """
    scores, labels = check_scores(scores, labels)
    if not labels.any():
        raise ValueError(f'FPR on reals needs reals (label 1), found none among {labels.size} samples')
    return float(np.mean(scores[labels == 1] < threshold))


def cross_entropy(true_class_probabilities: np.ndarray) -> float:
    """Mean of -log P(true class), the quantity by which the published runs chose their checkpoints.

    Args:
        true_class_probabilities: (n,), 0..1. Zeros count as float32's smallest normal number (87.3 nats),
            so that one underflow does not make the mean infinite.

    Raises:
        ValueError: Without samples, or for values outside 0..1.
    """
    p = np.asarray(true_class_probabilities, dtype=np.float64)
    if not p.size or not ((p >= 0) & (p <= 1 + 1e-6)).all():  # not of NaN either
        raise ValueError(f'expected probabilities within 0..1, found {p.size} values: {p[:3].tolist()} ...')
    return float(-np.log(np.clip(p, np.finfo(np.float32).tiny, 1)).mean())


class VideoScores(NamedTuple):
    """One row a video, sorted by id.

    Attributes:
        ids: Video ids (V,).
        scores: Mean score of the frames (V,).
        labels: 1 real, 0 fake (V,).
        num_frames: Frames that the mean is over (V,).
    """

    ids: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    num_frames: np.ndarray


def video_scores(scores: np.ndarray, labels: np.ndarray, videos: Sequence[str]) -> VideoScores:
    """Average the frames' scores within each video.

    Args:
        scores: P(real) per frame (n,).
        labels: 1 real, 0 fake, per frame (n,).
        videos: Video id per frame (n,); unique across classes and domains.

    Raises:
        ValueError: For wrong input, or frames of both classes under one id (the message names it).
    """
    scores, labels = check_scores(scores, labels)
    if len(videos) != scores.size:
        raise ValueError(f'expected one video id per frame, found {len(videos)} ids and {scores.size} frames')
    ids, inverse = np.unique(np.asarray(videos, dtype=str), return_inverse=True)
    num_frames = np.bincount(inverse)
    positives = np.bincount(inverse, weights=labels).astype(np.int64)
    mixed = np.flatnonzero((positives > 0) & (positives < num_frames))
    if mixed.size:
        raise ValueError(
            f'all frames of a video must have one label, but video {str(ids[mixed[0]])!r} has '
            f'{positives[mixed[0]]} real and {(num_frames - positives)[mixed[0]]} fake frames '
            f'({mixed.size} such videos): make the id unique, for example with its class folder'
        )
    means = np.bincount(inverse, weights=scores) / num_frames
    return VideoScores(ids, means, (positives > 0).astype(np.int64), num_frames)


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning the first time that this process says it."""
    print_log(message, 'current', logging.WARNING)


#: Name, function of (scores, labels, threshold), and the labels that it needs.
Rule = tuple[str, Callable[..., float], set[int]]


def apply_rules(
    rules: Sequence[Rule], scores: np.ndarray, labels: np.ndarray, threshold: float, name: str
) -> dict[str, float]:
    """Every metric whose classes occur; one warning names those that are left out.

    Args:
        rules: The metrics.
        scores: P(real) (n,).
        labels: 1 real, 0 fake (n,).
        threshold: Passed to every metric.
        name: What the samples are, for the warning.

    Returns:
        Metric to value; metrics that the data does not define are absent.
    """
    scores, labels = check_scores(scores, labels)
    present = set(labels.tolist())
    values = {key: rule(scores, labels, threshold) for key, rule, needs in rules if needs <= present}
    missing = [key for key, _, needs in rules if not needs <= present]
    if missing:
        only = 'real' if present == {1} else 'fake'
        warn_once(
            f'{name}: all {labels.size} are {only}, so {", ".join(missing)} '
            f'{"is" if len(missing) == 1 else "are"} undefined and left out'
        )
    return values


_AT_THRESHOLD: list[Rule] = [
    ('ACC', accuracy, set()),
    ('BACC', balanced_accuracy, {0, 1}),
    ('FPR-on-reals', fpr_on_reals, {1}),
]
_RANKING: list[Rule] = [
    ('AUC', lambda s, y, _: auc(s, y), {0, 1}),
    ('EER', lambda s, y, _: eer(s, y), {0, 1}),
    ('AP', lambda s, y, _: average_precision(s, y), {0, 1}),
]


def forgery_metrics(
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: float = 0.5,
    source_threshold: float | None = None,
    name: str = 'samples',
) -> dict[str, float]:
    """Every metric of forgery detection that the samples (frames or videos) define.

    Args:
        scores: P(real) (n,).
        labels: 1 real, 0 fake (n,).
        threshold: Of ACC, BACC and FPR-on-reals.
        source_threshold: One that was chosen on source data; adds the same three as ``...@source``.
        name: What the samples are, for the warning about a missing class.

    Returns:
        AUC, EER, AP, ACC, BACC, FPR-on-reals, and ``ACC@source`` ...; absent where a class is missing.
    """
    values = apply_rules(_RANKING + _AT_THRESHOLD, scores, labels, threshold, name)
    if source_threshold is not None:
        frozen: list[Rule] = [(f'{key}@source', rule, needs) for key, rule, needs in _AT_THRESHOLD]
        values |= apply_rules(frozen, scores, labels, source_threshold, name)
    return values
