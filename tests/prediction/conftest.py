"""The detector of the tests is known while they run, and to them alone: lists of detectors are tested elsewhere."""

import pytest
from squares import WhiteSquares

from fsfm_mm.registry import FACE_DETECTORS


@pytest.fixture(autouse=True)
def squares():
    """``detector='squares'``."""
    FACE_DETECTORS.register_module(name=WhiteSquares.__name__, module=WhiteSquares)
    yield
    del FACE_DETECTORS.module_dict[WhiteSquares.__name__]
