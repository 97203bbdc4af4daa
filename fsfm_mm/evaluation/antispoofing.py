"""Metrics of face anti-spoofing: HTER both ways, APCER, BPCER, ACER, TPR at a fixed FPR.

A score is P(real), label 1 is real (bona fide), and a sample is accepted when its score is at or above the
threshold. FAR is the share of spoofs accepted, FRR the share of reals rejected. Definitions: the
leave-one-domain-out protocol of the papers, docs/evaluation.md. All values are shares, 0..1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fsfm_mm.evaluation.functional import Rule, apply_rules, auc
from fsfm_mm.evaluation.roc import check_both_classes, check_scores, roc_curve, tpr_within

#: The published grid of thresholds: 0..1 in steps of 1e-4.
GRID = np.arange(10001) / 10000


class ThresholdedHTER(NamedTuple):
    """An HTER and the threshold that it was taken at."""

    hter: float
    threshold: float


def apcer(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """Attack presentation classification error rate = FAR: share of spoofs accepted, over all attack types.

    Raises:
        ValueError: For wrong input or without any spoof.
    """
    scores, labels = check_scores(scores, labels)
    if labels.all():
        raise ValueError(f'APCER needs spoofs (label 0), found none among {labels.size} samples')
    return float(np.mean(scores[labels == 0] >= threshold))


def bpcer(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """Bona fide presentation classification error rate = FRR: share of reals rejected.

    Raises:
        ValueError: For wrong input or without any real.
    """
    scores, labels = check_scores(scores, labels)
    if not labels.any():
        raise ValueError(f'BPCER needs reals (label 1), found none among {labels.size} samples')
    return float(np.mean(scores[labels == 1] < threshold))


def acer(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> float:
    """Average classification error rate: (APCER + BPCER) / 2.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    return (apcer(scores, labels, threshold) + bpcer(scores, labels, threshold)) / 2


def hter(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """Half total error rate at a given threshold: (FAR + FRR) / 2.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    return acer(scores, labels, threshold)


def hter_at_target_eer(scores: np.ndarray, labels: np.ndarray) -> ThresholdedHTER:
    """HTER as published: its threshold is chosen on the very scores that it is reported on.

    Over the grid 0..1 of step 1e-4 the threshold of the least |FRR - FAR|, the last of ties. It says how well
    the classes could be separated by someone who knows the answers, not how well a fielded threshold does:
    that is :func:`hter` at a threshold from source data.

    Args:
        scores: P(real) (n,), 0..1.
        labels: 1 real, 0 spoof (n,).

    Raises:
        ValueError: For wrong input, scores outside 0..1 or a missing class.
    """
    scores, labels = check_both_classes(scores, labels, 'HTER')
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            f'HTER@target-EER needs scores within 0..1, found {scores.min():g}..{scores.max():g}'
        )
    reals, spoofs = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    frr = np.searchsorted(reals, GRID, side='left') / reals.size
    far = (spoofs.size - np.searchsorted(spoofs, GRID, side='left')) / spoofs.size
    distance = np.abs(frr - far)  # in float64 as published: rounding decides some ties
    best = GRID.size - 1 - int(np.argmin(distance[::-1]))
    return ThresholdedHTER(float((far[best] + frr[best]) / 2), float(GRID[best]))


def tpr_at_fpr(scores: np.ndarray, labels: np.ndarray, max_fpr: float = 0.01) -> float:
    """Share of reals accepted where at most ``max_fpr`` of the spoofs are: the last ROC point within it.

    Raises:
        ValueError: For wrong input or a missing class.
    """
    curve = roc_curve(scores, labels)
    return float(tpr_within(curve.fpr, curve.tpr, max_fpr))


_ERRORS: list[Rule] = [('APCER', apcer, {0}), ('BPCER', bpcer, {1})]
_RANKING: list[Rule] = [
    ('AUC', lambda s, y, _: auc(s, y), {0, 1}),
    ('HTER@target-EER', lambda s, y, _: hter_at_target_eer(s, y).hter, {0, 1}),
    ('threshold@target-EER', lambda s, y, _: hter_at_target_eer(s, y).threshold, {0, 1}),
    ('TPR@FPR=1%', lambda s, y, _: tpr_at_fpr(s, y), {0, 1}),
]


def antispoof_metrics(
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: float = 0.5,
    source_threshold: float | None = None,
    name: str = 'samples',
) -> dict[str, float]:
    """Every metric of face anti-spoofing that the samples (usually videos) define.

    Args:
        scores: P(real) (n,).
        labels: 1 real, 0 spoof (n,).
        threshold: Of APCER, BPCER and ACER.
        source_threshold: One chosen on held-out source videos; adds ``HTER@source``, ``APCER@source`` and
            ``BPCER@source``.
        name: What the samples are, for the warning about a missing class.

    Returns:
        AUC, HTER@target-EER with its threshold, TPR@FPR=1%, APCER, BPCER, ACER, and those at the source
        threshold; absent where a class is missing.
    """
    rules = [*_RANKING, *_ERRORS, ('ACER', acer, {0, 1})]
    values = apply_rules(rules, scores, labels, threshold, name)
    if source_threshold is not None:
        frozen: list[Rule] = [('HTER@source', hter, {0, 1})]
        frozen += [(f'{key}@source', rule, needs) for key, rule, needs in _ERRORS]
        values |= apply_rules(frozen, scores, labels, source_threshold, name)
    return values
