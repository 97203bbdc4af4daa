"""Heads on top of representations."""

from fsfm_mm.models.heads.projection import ProjectionMLP

__all__ = ['ProjectionMLP']
