"""What the parsers with weights share: the device, TorchScript files, batches."""

from __future__ import annotations

import contextlib
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


def pick_device(device: str) -> torch.device:
    """The device to compute on.

    Args:
        device: 'auto' (a GPU where there is one), 'cpu', 'cuda', 'cuda:1' ...

    Raises:
        ValueError: An unknown device, or a GPU that is not there.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto', 'cpu' or 'cuda:0' and the like, but is {device!r}."
        ) from error
    if chosen.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but torch finds no GPU: use 'auto' or 'cpu'.")
    return chosen


@contextlib.contextmanager
def reading_torchscript(path: str | os.PathLike) -> Iterator[None]:
    """Turn what goes wrong while a TorchScript file is loaded into one sentence.

    Loading one unpickles no Python objects, but whoever runs the model runs the program in it.

    Args:
        path: The file that is loaded inside the ``with``.

    Raises:
        ValueError: The file is not TorchScript, or is damaged.
    """
    if not _looks_like_torchscript(path):
        raise ValueError(
            f'{path}: expected a TorchScript file (made by torch.jit.save), found another kind of file; '
            'weights alone (a state dict) do not say what the network is, and a download that went wrong must '
            'be deleted.'
        )
    with warnings.catch_warnings():
        # torch.jit is deprecated; the published weights exist in this form only
        warnings.filterwarnings('ignore', r'.*torch\.jit', FutureWarning)
        warnings.filterwarnings('ignore', r'.*torch\.jit', DeprecationWarning)
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f'{path}: torch cannot load this TorchScript file ({reason}).') from error


def _looks_like_torchscript(path: str | os.PathLike) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split('/', 1)[-1] == 'constants.pkl' for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def as_planes(crops: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    """Crops as a batch of RGB planes.

    Args:
        crops: uint8 (S, S, 3) BGR each, of one size.
        device: Where the batch is wanted.

    Returns:
        float32 (N, 3, S, S), RGB, 0..1.
    """
    batch = torch.from_numpy(np.stack(crops)).to(device)
    return batch.permute(0, 3, 1, 2).flip(1).float() / 255.0


#: A network as a function of the batch: one tensor, or several in a sequence or by name.
Network = Callable[[torch.Tensor], Any]


def load_torchscript(path: Path, device: torch.device) -> Network:
    """A TorchScript network as a function of the batch; raises ValueError, see :func:`reading_torchscript`."""
    with reading_torchscript(path):
        network = torch.jit.load(str(path), map_location=device).eval()

    def run(batch: torch.Tensor) -> Any:
        # unoptimised: otherwise the first calls, which TorchScript profiles, may round differently from later ones
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            return network(batch)

    return run


def load_onnx(path: Path, device: torch.device) -> Network:
    """An ONNX network as a function of the batch, by onnxruntime; raises ValueError without it, or for another file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            f'{path}: ONNX networks need onnxruntime: pip install onnxruntime (onnxruntime-gpu for a GPU).'
        ) from error
    wanted = (
        ['CUDAExecutionProvider', 'CPUExecutionProvider']
        if device.type == 'cuda'
        else ['CPUExecutionProvider']
    )
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=providers)
    # its exceptions share no base class but this one
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f'{path}: onnxruntime cannot load this file ({reason}).') from error
    names = [node.name for node in session.get_outputs()]
    source = session.get_inputs()[0].name

    def run(batch: torch.Tensor) -> Any:
        arrays = session.run(names, {source: batch.cpu().numpy()})
        return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}

    return run
