"""Pictures for people."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'contact_sheet': ['contact_sheet', 'fit'],
        'evaluation_pictures': ['draw_roc_curves', 'draw_score_histogram'],
        'html_page': ['HtmlPage'],
        'loss_curve': ['draw_loss_curve', 'read_scalars'],
        'masks': ['draw_mask', 'hidden_shares'],
        'overlays': ['LABEL_COLOURS', 'label_legend', 'overlay_labels'],
        'reconstruction': ['reconstruction_sheet', 'to_uint8'],
    },
)
