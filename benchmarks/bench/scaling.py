"""How speed and memory of the training step grow with the batch, the model and the input."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.inputs import Bench
from bench.memory import held_bytes, peak_of
from bench.timing import dtype_name

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


def scaling(bench: Bench, grid: Sequence[tuple[Any, int, int]] | None = None) -> list[dict[str, Any]]:
    """Measure speed and memory of the training step at every setting of a grid.

    Args:
        bench: Its architecture, input size and batch are replaced.
        grid: (arch, side, batch) each; by default what suits the device.

    Returns:
        Of each setting ``arch``, ``size`` (side of the pictures in pixels), ``batch``, ``dtype``,
        ``images_per_s`` (of the training step alone, no loader), ``peak_mb`` (most memory beyond what is held between
        steps), ``held_mb`` (weights, target and optimiser state) and ``hours_1m_images_100_epochs`` (for a million
        pictures and 100 epochs at this rate on one such machine).
    """
    results = []
    for arch, size, batch in grid or (CUDA_GRID if bench.device == 'cuda' else CPU_GRID):
        bench.timer.say(f'  {arch}, {size} pixels, batch {batch}')
        sized = replace(bench, cfg=copy.deepcopy(bench.cfg), batch_size=batch, mask_batch=min(batch, 8))
        sized.cfg.model.backbone.arch, sized.cfg.model.backbone.img_size = arch, size
        step = sized.step()
        rate = batch / bench.timer.measure({'step': step.whole}, bench.device)['step']
        results.append(
            dict(
                arch=arch,
                size=size,
                batch=batch,
                dtype=dtype_name(bench.dtype),
                images_per_s=rate,
                peak_mb=peak_of(step) / 1e6,
                held_mb=held_bytes(step) / 1e6,
                hours_1m_images_100_epochs=IMAGES * EPOCHS / rate / 3600,
            )
        )
    return results
