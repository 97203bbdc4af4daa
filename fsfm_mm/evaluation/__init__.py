"""Evaluation: metrics as pure functions, MMEngine's metrics over them, confidence intervals and score tables."""

from fsfm_mm.evaluation.bootstrap import Interval, bootstrap_interval
from fsfm_mm.evaluation.functional import (
    Curve,
    ThresholdedHTER,
    accuracy,
    acer,
    apcer,
    auc,
    average_precision,
    balanced_accuracy,
    bpcer,
    cross_entropy,
    eer,
    fpr_on_reals,
    hter,
    hter_at_target_eer,
    roc_curve,
    tpr_at_fpr,
)
from fsfm_mm.evaluation.metrics import AntiSpoofMetric, ForgeryMetric, ScoreMetric
from fsfm_mm.evaluation.report import ScoreReport
from fsfm_mm.evaluation.score_table import SampleScore, ScoreTable, VideoScores, video_scores
from fsfm_mm.evaluation.summaries import antispoof_metrics, forgery_metrics
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
