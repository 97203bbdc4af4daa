"""What a pipeline transform is: a callable that is built from a config."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class FaceTransform(ABC):
    """Base of the transforms: a call is :meth:`transform`.

    Not mmcv's ``BaseTransform``, which adds nothing to that and imports torch and mmengine.
    """

    @abstractmethod
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change a sample and return it.

        Args:
            results: The sample.
        """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return :meth:`transform` of a sample."""
        return self.transform(results)
