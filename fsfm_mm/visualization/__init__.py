"""Pictures for people."""

from .loss_curve import draw_loss_curve, read_scalars
from .reconstruction import reconstruction_sheet, to_uint8

__all__ = ['draw_loss_curve', 'read_scalars', 'reconstruction_sheet', 'to_uint8']
