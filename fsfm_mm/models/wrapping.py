"""Models in the wrappers of several processes."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """The model itself, which may be in a wrapper such as DistributedDataParallel."""
    return model.module if is_model_wrapper(model) else model
