"""Heads on top of representations."""

from fsfm_mm.models.heads.adapter import AdapterHead
from fsfm_mm.models.heads.antispoof import AntiSpoofAdapterHead, AntiSpoofHead
from fsfm_mm.models.heads.projection import ProjectionMLP

__all__ = ['AdapterHead', 'AntiSpoofAdapterHead', 'AntiSpoofHead', 'ProjectionMLP']
