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

    def __repr__(self) -> str:
        values = (f'{name}={value!r}' for name, value in vars(self).items() if not name.startswith('_'))
        return f'{type(self).__name__}({", ".join(values)})'
