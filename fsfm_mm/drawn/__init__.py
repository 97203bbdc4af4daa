"""Drawn faces and forgeries of them: pretraining, detection, tests and demos without any data.

A wing: nothing else of the package imports it but the registration of its two data sets.
"""

from fsfm_mm.drawn.faces import GeneratedFaces
from fsfm_mm.drawn.forgeries import GeneratedForgeries

__all__ = ['GeneratedFaces', 'GeneratedForgeries']
