"""Evaluation: metrics as pure functions, MMEngine's metrics over them, confidence intervals and score tables."""

from fsfm_mm.evaluation.antispoofing import (
    ThresholdedHTER,
    acer,
    antispoof_metrics,
    apcer,
    bpcer,
    hter,
    hter_at_target_eer,
    tpr_at_fpr,
)
from fsfm_mm.evaluation.bootstrap import Interval, bootstrap_interval
from fsfm_mm.evaluation.functional import (
    VideoScores,
    accuracy,
    auc,
    average_precision,
    balanced_accuracy,
    cross_entropy,
    eer,
    forgery_metrics,
    fpr_on_reals,
    video_scores,
)
from fsfm_mm.evaluation.metrics import AntiSpoofMetric, ForgeryMetric, ScoreMetric
from fsfm_mm.evaluation.report import ScoreReport
from fsfm_mm.evaluation.roc import Curve, roc_curve
from fsfm_mm.evaluation.score_table import SampleScore, ScoreTable
from fsfm_mm.evaluation.thresholds import select_threshold

__all__ = [
    'AntiSpoofMetric',
    'Curve',
    'ForgeryMetric',
    'Interval',
    'SampleScore',
    'ScoreMetric',
    'ScoreReport',
    'ScoreTable',
    'ThresholdedHTER',
    'VideoScores',
    'accuracy',
    'acer',
    'antispoof_metrics',
    'apcer',
    'auc',
    'average_precision',
    'balanced_accuracy',
    'bootstrap_interval',
    'bpcer',
    'cross_entropy',
    'eer',
    'forgery_metrics',
    'fpr_on_reals',
    'hter',
    'hter_at_target_eer',
    'roc_curve',
    'select_threshold',
    'tpr_at_fpr',
    'video_scores',
]
