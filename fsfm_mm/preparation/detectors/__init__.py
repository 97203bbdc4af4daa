"""Face detectors, in the registry FACE_DETECTORS."""

from fsfm_mm.preparation.detectors.blazeface import BlazeFace
from fsfm_mm.preparation.detectors.dlib_frontal import DlibFrontal
from fsfm_mm.preparation.detectors.none import NoDetector
from fsfm_mm.preparation.detectors.retinaface import FacerRetinaFace
from fsfm_mm.preparation.detectors.yunet import YuNet

__all__ = ['BlazeFace', 'DlibFrontal', 'FacerRetinaFace', 'NoDetector', 'YuNet']
