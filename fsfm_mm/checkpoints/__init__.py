"""Reading and writing weights."""

from .reference import from_reference

__all__ = ['from_reference']
