"""A trained model used on anybody's pictures and videos: find the faces, score them, say what the scores mean."""

import fsfm_mm.components  # noqa: F401  (what a checkpoint is made of)
from fsfm_mm.prediction.detector import Detector
from fsfm_mm.prediction.results import SCHEMA, FaceScore, PersonScore, Prediction

__all__ = ['SCHEMA', 'Detector', 'FaceScore', 'PersonScore', 'Prediction']
