"""What drives training: hooks, optimiser and launch; importing this registers them."""

from . import hooks, optim

__all__ = ['hooks', 'optim']
