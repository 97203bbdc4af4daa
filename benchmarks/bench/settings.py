"""Settings of torch, OpenCV and a model's layers that hold for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import cv2
import torch

from fsfm_mm.models.layers import Attention, Block


@contextmanager
def setting(get: Callable[[], Any], put: Callable[[Any], object], value: Any) -> Iterator[None]:
    """Another value of a setting for a while, and then what it was."""
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


@contextmanager
def of_layers(model: torch.nn.Module, kind: type, name: str, value: object) -> Iterator[None]:
    """Another value of an attribute of every layer of a kind for a while."""
    with ExitStack() as stack:
        for layer in model.modules():
            if isinstance(layer, kind):
                stack.enter_context(
                    setting(partial(getattr, layer, name), partial(setattr, layer, name), value)
                )
        yield


def attention_kernel(model: torch.nn.Module, fused: bool | None) -> AbstractContextManager[None]:
    """Set ``fused`` of every attention below a module for a while."""
    return of_layers(model, Attention, 'fused', fused)


def checkpointing(model: torch.nn.Module) -> AbstractContextManager[None]:
    """Checkpoint the activations of every block for a while."""
    return of_layers(model, Block, 'with_cp', True)


def tf32(enabled: bool) -> AbstractContextManager[None]:
    """Allow TensorFloat-32 in float32 products (or not) for a while."""
    precision = 'high' if enabled else 'highest'
    return setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, precision)


def torch_threads(count: int) -> AbstractContextManager[None]:
    """Compute with so many threads for a while."""
    return setting(torch.get_num_threads, torch.set_num_threads, count)


@contextmanager
def like_a_worker(opencv_threads: int) -> Iterator[None]:
    """What a worker process has: one torch thread and the config's OpenCV threads."""
    with torch_threads(1), setting(cv2.getNumThreads, cv2.setNumThreads, opencv_threads):
        yield
