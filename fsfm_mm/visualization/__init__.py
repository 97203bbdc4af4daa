"""Pictures for people."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'evaluation_pictures': ['draw_roc_curves', 'draw_score_histogram'],
        'html_page': ['HtmlPage'],
        'loss_curve': ['draw_loss_curve', 'read_scalars', 'read_validations'],
        'masks': ['draw_mask', 'hidden_shares', 'mask_legend'],
        'overlays': ['LABEL_COLOURS', 'label_legend', 'overlay_labels'],
        'reconstruction': ['reconstruction_sheet', 'to_uint8'],
        'sheets': ['contact_sheet', 'fit'],
    },
)
