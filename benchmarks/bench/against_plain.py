"""Every optimisation against the plain implementation, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from bench.against_plain_inputs import loader_comparisons, mask_comparisons, our_dataset
from bench.against_plain_memory import memory_comparisons
from bench.against_plain_step import part_comparisons, step_comparisons, update_comparisons
from bench.comparison import Comparison
from bench.cuda import cuda_comparisons, data_wait_comparison
from bench.inputs import mask_transform, square_size
from bench.pair import Pair, torch_threads
from bench.stored_pictures import read_faces, store
from bench.training_step import build_step, random_batch
from fsfm_mm.datasets import dense_collate
from fsfm_mm.datasets.transforms import CRFRPMask
from fsfm_mm.ops.precision import has_bf16
from fsfm_mm.structures import PretrainBatch

#: Longest run of the endless loader of the data wait, in samples.
_MANY = 1 << 30


@dataclass(frozen=True)
class PlainOptions:
    """How much is measured.

    Args:
        batch_size: Images of a step; two or more.
        repeats: See :func:`~bench.measure`.
        min_seconds: See :func:`~bench.measure`.
        matmul_size: Side of the matrices that measure the peak.
        pictures: Faces that the loaders read.
        loader_batch: Images a batch of the loaders, at most ``pictures``.
        data_root: Folder of the loaders' faces; drawn ones without it.
        workers: Loader processes of the data wait (CUDA only).
    """

    batch_size: int = 8
    repeats: int = 3
    min_seconds: float = 0.05
    matmul_size: int = 2048
    pictures: int = 256
    loader_batch: int = 128
    data_root: str | None = None
    workers: int = 8


def plain_comparisons(
    cfg: Config,
    maps: np.ndarray,
    device: str,
    options: PlainOptions,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Measure loaders, masks, updates, the step and its parts, and memory, of both implementations.

    Args:
        cfg: A pretraining config of FSFM with the paper's losses.
        maps: Parsing maps (M, S, S) for the masks.
        device: 'cpu' or 'cuda'. On CUDA the step is measured in bfloat16, float16, TF32 and float32 with compiled
            blocks, and waiting for the device and for data is counted.
        options: How much.
        say: Takes progress lines.
    """
    say('  loaders')
    lines = loader_comparisons(
        cfg, options.pictures, options.loader_batch, options.data_root, options.repeats, say
    )
    say('  masks')
    lines += mask_comparisons(cfg, maps, options.repeats, options.min_seconds, say)
    batch = random_batch(mask_transform(cfg), maps, square_size(cfg)[1], options.batch_size)
    if device == 'cuda':
        pair = Pair(cfg, batch, device, 'bfloat16')
        lines += update_comparisons(pair, options.repeats, options.min_seconds, say)
        del pair
        lines += cuda_comparisons(cfg, batch, options.matmul_size, options.repeats, say)
        lines.append(_data_wait(cfg, options))
        return lines
    dtypes = ['float32', 'bfloat16'] if has_bf16(device) else ['float32']
    for dtype in dtypes:
        say(f'  {dtype}')
        lines += _cpu_lines(Pair(cfg, batch, device, dtype), options, say)
    return lines


def _cpu_lines(pair: Pair, options: PlainOptions, say: Callable[[str], None]) -> list[Comparison]:
    repeats, least = options.repeats, options.min_seconds
    lines = step_comparisons(pair, options.matmul_size, repeats, say)
    if torch.get_num_threads() > 1:
        with torch_threads(1):
            lines += step_comparisons(pair.take(max(2, pair.images // 2)), options.matmul_size, repeats, say)
    if pair.dtype == torch.float32:  # parameters and gradients are float32 in any precision
        lines += update_comparisons(pair, repeats, least, say)
    return [*lines, *part_comparisons(pair, repeats, least, say), *memory_comparisons(pair)]


def _data_wait(cfg: Config, options: PlainOptions) -> Comparison:
    """Train for a while from raw faces of an archive with worker processes."""
    size, patch_size = square_size(cfg)
    mask = CRFRPMask(mask_transform(cfg).mask_ratio)
    with tempfile.TemporaryDirectory(prefix='fsfm_mm_benchmark_') as folder:
        faces = read_faces(max(options.pictures, 1024), size, options.data_root)
        roots = store(faces, Path(folder), patch_size)
        dataset = our_dataset('archive raw', roots['archive raw'], mask, size, patch_size)
        order = RandomSampler(dataset, replacement=True, num_samples=_MANY)  # type: ignore[arg-type]
        loader: DataLoader[PretrainBatch] = DataLoader(
            dataset,
            batch_sampler=BatchSampler(order, options.batch_size, drop_last=True),
            num_workers=options.workers,
            collate_fn=dense_collate,
            pin_memory=True,
        )
        batch = random_batch(
            mask, np.stack([labels for _, labels in faces[:8]]), patch_size, options.batch_size
        )
        return data_wait_comparison(loader, build_step(cfg, batch, 'cuda'))
