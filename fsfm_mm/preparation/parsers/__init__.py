"""Face parsers, in the registry FACE_PARSERS."""

from fsfm_mm.preparation.parsers.farl import FaRLParser
from fsfm_mm.preparation.parsers.mesh import MeshParser
from fsfm_mm.preparation.parsers.segmenter import SegmenterParser
from fsfm_mm.preparation.parsers.stored import StoredMaps
from fsfm_mm.preparation.parsers.template import TemplateParser

__all__ = ['FaRLParser', 'MeshParser', 'SegmenterParser', 'StoredMaps', 'TemplateParser']
