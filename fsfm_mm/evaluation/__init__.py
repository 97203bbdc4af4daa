"""Evaluation: metrics as pure functions, MMEngine's metrics over them, confidence intervals and score tables."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'bootstrap': ['Interval', 'bootstrap_interval'],
        'functional': [
            'Curve',
            'ThresholdedHTER',
            'accuracy',
            'acer',
            'apcer',
            'auc',
            'average_precision',
            'balanced_accuracy',
            'bpcer',
            'cross_entropy',
            'eer',
            'fnr_on_fakes',
            'fpr_on_reals',
            'hter',
            'hter_at_target_eer',
            'roc_curve',
            'tpr_at_fpr',
        ],
        'metrics': ['AntiSpoofMetric', 'ForgeryMetric', 'ScoreMetric'],
        'report': ['Heading', 'ScoreReport'],
        'score_table': ['SampleScore', 'ScoreTable', 'VideoScores', 'video_scores'],
        'summaries': ['antispoof_metrics', 'forgery_metrics'],
        'thresholds': ['select_threshold'],
    },
)
