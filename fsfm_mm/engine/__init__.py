"""What drives training: hooks, optimiser and launch; importing this registers them."""

from fsfm_mm.engine import fsdp, hooks, optim

__all__ = ['fsdp', 'hooks', 'optim']
