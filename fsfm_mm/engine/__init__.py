"""What drives training: hooks, optimiser and launch; importing this registers them."""

from fsfm_mm.engine import hooks, optim

__all__ = ['hooks', 'optim']
