"""Models; importing this registers them."""

from fsfm_mm.models import backbones, heads, losses, necks, preprocessors, selfsup, target

__all__ = ['backbones', 'heads', 'losses', 'necks', 'preprocessors', 'selfsup', 'target']
