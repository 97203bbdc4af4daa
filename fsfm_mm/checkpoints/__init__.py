"""Reading and writing weights."""

from fsfm_mm.checkpoints.reference import from_reference

__all__ = ['from_reference']
