"""Decoders between the backbone and the losses."""

from fsfm_mm.models.necks.pixel_decoder import MAEPixelDecoder
from fsfm_mm.models.necks.rep_decoder import SiameseRepDecoder

__all__ = ['MAEPixelDecoder', 'SiameseRepDecoder']
