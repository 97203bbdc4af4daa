"""Pictures for people."""

from fsfm_mm.visualization.evaluation_pictures import draw_roc_curves, draw_score_histogram
from fsfm_mm.visualization.loss_curve import draw_loss_curve, read_scalars
from fsfm_mm.visualization.reconstruction import reconstruction_sheet, to_uint8

__all__ = [
    'draw_loss_curve',
    'draw_roc_curves',
    'draw_score_histogram',
    'read_scalars',
    'reconstruction_sheet',
    'to_uint8',
]
