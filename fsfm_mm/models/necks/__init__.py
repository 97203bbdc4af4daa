"""Decoders between the backbone and the losses."""

from .pixel_decoder import MAEPixelDecoder
from .rep_decoder import SiameseRepDecoder

__all__ = ['MAEPixelDecoder', 'SiameseRepDecoder']
