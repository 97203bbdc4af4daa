"""Models; importing this registers them."""

from fsfm_mm.models import augment, backbones, heads, losses, necks, preprocessors, selfsup, target

__all__ = ['augment', 'backbones', 'heads', 'losses', 'necks', 'preprocessors', 'selfsup', 'target']
