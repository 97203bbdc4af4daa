"""Heads on top of representations."""

from .projection import ProjectionMLP

__all__ = ['ProjectionMLP']
