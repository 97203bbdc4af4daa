"""Pictures for people."""

from fsfm_mm.visualization.contact_sheet import contact_sheet, fit
from fsfm_mm.visualization.evaluation_pictures import draw_roc_curves, draw_score_histogram
from fsfm_mm.visualization.html_page import HtmlPage
from fsfm_mm.visualization.loss_curve import draw_loss_curve, read_scalars
from fsfm_mm.visualization.masks import draw_mask, hidden_shares
from fsfm_mm.visualization.overlays import LABEL_COLOURS, label_legend, overlay_labels
from fsfm_mm.visualization.reconstruction import reconstruction_sheet, to_uint8

__all__ = [
    'LABEL_COLOURS',
    'HtmlPage',
    'contact_sheet',
    'draw_loss_curve',
    'draw_mask',
    'draw_roc_curves',
    'draw_score_histogram',
    'fit',
    'hidden_shares',
    'label_legend',
    'overlay_labels',
    'read_scalars',
    'reconstruction_sheet',
    'to_uint8',
]
