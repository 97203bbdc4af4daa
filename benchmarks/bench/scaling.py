"""How speed and memory of the training step grow with the batch, the model and the input."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.config import Config

from bench.inputs import face_maps, mask_transform
from bench.memory import peak_bytes, tensor_bytes
from bench.timing import measure
from bench.training_step import build_step, random_batch
from fsfm_mm.ops.precision import resolve_dtype

#: Settings (arch, side in pixels, batch) that are measured by default, around ViT-S at 224 and batch 8.
CPU_GRID: tuple[tuple[str, int, int], ...] = (
    *(('small', 224, batch) for batch in (1, 4, 8, 16)),
    *((arch, 224, 8) for arch in ('tiny', 'base')),
    ('large', 224, 4),
    *(('small', size, 8) for size in (112, 160, 320)),
)
CUDA_GRID: tuple[tuple[str, int, int], ...] = (
    *(('base', 224, batch) for batch in (32, 64, 128, 256, 512)),
    *((arch, 224, 256) for arch in ('tiny', 'small', 'large')),
    *(('base', size, 128) for size in (112, 160, 320, 384)),
)
IMAGES, EPOCHS = 1_000_000, 100


@dataclass(frozen=True)
class Scale:
    """Speed and memory of one setting; all of it measured.

    Args:
        arch: Size of the encoder.
        size: Side of the pictures in pixels.
        batch: Images a step.
        dtype: Precision.
        images_per_s: Of the training step alone (no loader).
        peak_mb: Most memory beyond what is held between steps.
        held_mb: Weights, target and optimiser state.
    """

    arch: str
    size: int
    batch: int
    dtype: str
    images_per_s: float
    peak_mb: float
    held_mb: float

    @property
    def hours(self) -> float:
        """Hours for a million pictures and 100 epochs at this rate on one such machine."""
        return IMAGES * EPOCHS / self.images_per_s / 3600

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return dict(**asdict(self), hours_1m_images_100_epochs=self.hours)


def scaling(
    cfg: Config,
    device: str,
    grid: Sequence[tuple[str, int, int]] | None = None,
    repeats: int = 2,
    say: Callable[[str], None] = lambda line: None,
) -> list[Scale]:
    """Measure every setting of a grid.

    Args:
        cfg: A pretraining config; architecture, input size and batch are replaced.
        device: 'cpu' or 'cuda'.
        grid: (arch, side, batch) each; by default what suits the device.
        repeats: See :func:`measure`.
        say: Takes progress lines.
    """
    results = []
    for arch, size, batch in grid or (CUDA_GRID if device == 'cuda' else CPU_GRID):
        say(f'  {arch}, {size} pixels, batch {batch}')
        results.append(_measure(cfg, device, arch, size, batch, repeats))
    return results


def _measure(cfg: Config, device: str, arch: str, size: int, batch: int, repeats: int) -> Scale:
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.arch, cfg.model.backbone.img_size = arch, size
    patch = cfg.model.backbone.get('patch_size', 16)
    step = build_step(
        cfg, random_batch(mask_transform(cfg), face_maps(min(batch, 8), size), patch, batch), device
    )
    seconds = measure({'step': step.whole}, repeats, device)['step']
    step.optim.zero_grad()
    peak = peak_bytes(step.whole, device)
    state = [
        v for s in step.optim.optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)
    ]
    held = tensor_bytes([*step.model.parameters(), *state])
    dtype = str(resolve_dtype(cfg.optim_wrapper.dtype, device)).removeprefix('torch.')
    return Scale(arch, size, batch, dtype, batch / seconds, peak / 1e6, held / 1e6)
