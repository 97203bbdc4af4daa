"""OpenCV's own lines on the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def only_errors() -> Iterator[None]:
    """Keep OpenCV's warnings from the terminal, where a sentence of ours says the same or nothing is wrong."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
