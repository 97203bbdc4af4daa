"""Self-supervisors."""

from fsfm_mm.models.selfsup.face_mae import FaceMAE
from fsfm_mm.models.selfsup.fsfm import FSFM

__all__ = ['FSFM', 'FaceMAE']
