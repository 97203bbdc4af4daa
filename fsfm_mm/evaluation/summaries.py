"""Which metrics a test set is reported with, and their names: those that its classes define."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import NamedTuple

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
    fnr_on_fakes,
    fpr_on_reals,
    hter,
    hter_at_target_eer,
    tpr_at_fpr,
)
from fsfm_mm.evaluation.report import Heading

#: What the two errors are called; in anti-spoofing APCER and BPCER, elsewhere FNR and FPR.
FALSE_ALARMS, MISSES = 'false alarms', 'misses'


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning the first time that this process says it."""
    print_log(message, 'current', logging.WARNING)


class Rule(NamedTuple):
    """A metric of a report.

    Attributes:
        name: Its column.
        metric: Function of (scores, labels, threshold).
        needs: The labels without which it is undefined.
        interval: Function of (scores, labels, weights) for its confidence interval; None for no interval.
    """

    name: str
    metric: Metric
    needs: set[int]
    interval: Metric | None = None


def _ranking(name: str, metric: Metric) -> Rule:
    """A metric of both classes that no threshold touches; it gets an interval."""
    return Rule(name, lambda scores, labels, _: metric(scores, labels), {0, 1}, metric)


_FORGERY_RANKING = [_ranking('AUC', auc), _ranking('EER', eer), _ranking('AP', average_precision)]
_FORGERY_ERRORS = [
    Rule('ACC', accuracy, set()),
    Rule('BACC', balanced_accuracy, {0, 1}),
    Rule('FPR-on-reals', fpr_on_reals, {1}),
    Rule('FNR-on-fakes', fnr_on_fakes, {0}),
]
_SPOOF_RANKING = [
    _ranking('AUC', auc),
    Rule('HTER@target-EER', lambda s, y, _: hter_at_target_eer(s, y).hter, {0, 1}),
    Rule('threshold@target-EER', lambda s, y, _: hter_at_target_eer(s, y).threshold, {0, 1}),
    _ranking('TPR@FPR=1%', tpr_at_fpr),
]
_SPOOF_ERRORS = [Rule('APCER', apcer, {0}), Rule('BPCER', bpcer, {1})]
#: Metrics that get a confidence interval: name -> function of (scores, labels, weights).
INTERVAL_METRICS = {
    rule.name: rule.interval
    for rule in (*_FORGERY_RANKING, *_FORGERY_ERRORS, *_SPOOF_RANKING, *_SPOOF_ERRORS)
    if rule.interval
}


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
        rule.name + suffix: float(rule.metric(scores, labels, threshold))
        for rule in rules
        if rule.needs <= present
    }
    missing = [rule.name + suffix for rule in rules if not rule.needs <= present]
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
        threshold: Of ACC, BACC, FPR-on-reals and FNR-on-fakes.
        source_threshold: One that was chosen on source data; adds the same four as ``...@source``.
        name: What the samples are, for the warning about a missing class.

    Returns:
        AUC, EER, AP, ACC, BACC, FPR-on-reals, FNR-on-fakes, and ``ACC@source`` ...; absent where a class is missing.
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
        [*_SPOOF_RANKING, *_SPOOF_ERRORS, Rule('ACER', acer, {0, 1})], scores, labels, threshold, name
    )
    if source_threshold is not None:
        frozen = [Rule('HTER', hter, {0, 1}), *_SPOOF_ERRORS]
        values |= _apply(frozen, scores, labels, source_threshold, name, '@source')
    return values


def forgery_headings(level: str, frozen: bool) -> list[Heading]:
    """What a table of forgery detection shows: the ranking, and the errors at the threshold.

    Args:
        level: 'frame' or 'video'.
        frozen: Whether a threshold from source data is given, whose columns are ``...@source``.
    """
    suffix = '@source' if frozen else ''
    return [
        Heading(f'{level}/AUC', 'AUC'),
        Heading(f'{level}/EER', 'EER'),
        Heading(f'{level}/ACC{suffix}', 'ACC'),
        Heading(f'{level}/FPR-on-reals{suffix}', 'FPR', FALSE_ALARMS),
        Heading(f'{level}/FNR-on-fakes{suffix}', 'FNR', MISSES),
    ]


def antispoof_headings(frozen: bool) -> list[Heading]:
    """What a table of anti-spoofing shows; ``frozen`` as of :func:`forgery_headings`."""
    suffix = '@source' if frozen else ''
    return [
        Heading('AUC', 'AUC'),
        Heading('HTER@source' if frozen else 'HTER@target-EER', 'HTER', 'mean error'),
        Heading(f'BPCER{suffix}', 'BPCER', FALSE_ALARMS),
        Heading(f'APCER{suffix}', 'APCER', MISSES),
        Heading('TPR@FPR=1%', 'TPR@FPR=1%'),
    ]
