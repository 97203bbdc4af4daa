"""Models; importing this registers them."""

from . import backbones, heads, losses, necks, preprocessors, selfsup, target

__all__ = ['backbones', 'heads', 'losses', 'necks', 'preprocessors', 'selfsup', 'target']
