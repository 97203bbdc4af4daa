"""Which metrics a test set is reported with, and their names: those that its classes define."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from fsfm_mm.evaluation.functional import (
    Metric,
    accuracy,
    acer,
    apcer,
    auc,
    average_precision,
    balanced_accuracy,
    bpcer,
    check_scores,
    eer,
    fpr_on_reals,
    hter,
    hter_at_target_eer,
    tpr_at_fpr,
)


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning the first time that this process says it."""
    print_log(message, 'current', logging.WARNING)


#: Name, function of (scores, labels, threshold), and the labels that it needs.
Rule = tuple[str, Metric, set[int]]
_AUC: Rule = ('AUC', lambda s, y, _: auc(s, y), {0, 1})
_FORGERY_RANKING: list[Rule] = [
    _AUC,
    ('EER', lambda s, y, _: eer(s, y), {0, 1}),
    ('AP', lambda s, y, _: average_precision(s, y), {0, 1}),
]
_FORGERY_ERRORS: list[Rule] = [
    ('ACC', accuracy, set()),
    ('BACC', balanced_accuracy, {0, 1}),
    ('FPR-on-reals', fpr_on_reals, {1}),
]
_SPOOF_RANKING: list[Rule] = [
    _AUC,
    ('HTER@target-EER', lambda s, y, _: hter_at_target_eer(s, y).hter, {0, 1}),
    ('threshold@target-EER', lambda s, y, _: hter_at_target_eer(s, y).threshold, {0, 1}),
    ('TPR@FPR=1%', lambda s, y, _: tpr_at_fpr(s, y), {0, 1}),
]
_SPOOF_ERRORS: list[Rule] = [('APCER', apcer, {0}), ('BPCER', bpcer, {1})]


def _apply(
    rules: Sequence[Rule],
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: float,
    name: str,
    suffix: str = '',
) -> dict[str, float]:
    """Every metric whose classes occur; one warning names those that are left out."""
    scores, labels = check_scores(scores, labels)
    present = set(labels.tolist())
    values = {
        k + suffix: float(rule(scores, labels, threshold)) for k, rule, needs in rules if needs <= present
    }
    missing = [key + suffix for key, _, needs in rules if not needs <= present]
    if missing:
        only = 'real' if present == {1} else 'fake'
        warn_once(
            f'{name}: all {labels.size} are {only}, so {", ".join(missing)} '
            f'{"is" if len(missing) == 1 else "are"} undefined and left out'
        )
    return values


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
    values = _apply([*_FORGERY_RANKING, *_FORGERY_ERRORS], scores, labels, threshold, name)
    if source_threshold is not None:
        values |= _apply(_FORGERY_ERRORS, scores, labels, source_threshold, name, '@source')
    return values


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
    values = _apply(
        [*_SPOOF_RANKING, *_SPOOF_ERRORS, ('ACER', acer, {0, 1})], scores, labels, threshold, name
    )
    if source_threshold is not None:
        frozen: list[Rule] = [('HTER', hter, {0, 1}), *_SPOOF_ERRORS]
        values |= _apply(frozen, scores, labels, source_threshold, name, '@source')
    return values
