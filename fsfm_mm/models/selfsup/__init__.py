"""Self-supervisors."""

from .face_mae import FaceMAE
from .fsfm import FSFM

__all__ = ['FSFM', 'FaceMAE']
