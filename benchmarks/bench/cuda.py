"""What only a GPU can show: kernels, compiled blocks, precisions, waiting for the device and for data."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from bench.inputs import mask_transform, square_size
from bench.memory import memory_comparisons
from bench.results import Comparison
from bench.settings import setting, tf32
from bench.step import matmul, step_flops
from bench.stored_pictures import open_stored, read_faces, store
from bench.timing import Timer
from bench.training_step import Pair, TrainingStep
from fsfm_mm.datasets import dense_collate
from fsfm_mm.datasets.transforms import CRFRPMask
from fsfm_mm.models.layers import compile_blocks
from fsfm_mm.structures import PretrainBatch

SPEED_TARGET = 1.6
#: Share of the matmul peak in %, by width of the encoder (ViT-B, ViT-L).
PEAK_SHARE_TARGETS = {768: 40.0, 1024: 45.0}
DATA_WAIT_TARGET = 3.0
#: Longest run of the endless loader of the data wait, in samples.
_MANY = 1 << 30


def cuda_comparisons(cfg: Config, batch: PretrainBatch, matmul_size: int, timer: Timer) -> list[Comparison]:
    """The plain step against the library's with fused attention and compiled blocks, on CUDA.

    Args:
        cfg: A pretraining config of FSFM.
        batch: 256 images for the targets to mean what they say.
        matmul_size: Side of the matrices that measure the peak.
        timer: How it is timed.
    """
    lines = []
    for name, dtype, with_tf32 in (
        ('bfloat16', 'bfloat16', True),
        ('float32 with TF32', 'float32', True),
        ('float32', 'float32', False),
    ):
        timer.say(f'  {name}')
        with tf32(with_tf32):
            pair = Pair(cfg, batch, 'cuda', dtype)
            lines += _step_lines(pair, name, matmul_size, timer)
            if name == 'bfloat16':
                waits = {arm: count_synchronisations(step) for arm, step in pair.whole().items()}
                lines += memory_comparisons(pair)
                lines.append(Comparison('cuda', 'host waits a step', 'calls', waits['plain'], waits['ours']))
        del pair
    lines.append(_fp16_line(Pair(cfg, batch, 'cuda', 'bfloat16'), timer))
    return lines


def _step_lines(pair: Pair, name: str, matmul_size: int, timer: Timer) -> list[Comparison]:
    flops = step_flops(pair.ours) * pair.ours.images
    arms = {**pair.whole(), 'matmul': matmul(matmul_size, pair.dtype, pair.ours.device)}
    eager = timer.measure(arms, 'cuda')
    compile_blocks(pair.ours.model)
    del arms['plain']
    ours = timer.measure(arms, 'cuda')['ours']
    width, peak = pair.ours.model.backbone.embed_dims, 2 * matmul_size**3 / eager['matmul']
    targets = (SPEED_TARGET if width == 768 else None, PEAK_SHARE_TARGETS.get(width))
    speed, share = targets if name == 'bfloat16' else (None, None)
    note = f'batch {pair.ours.images}; {peak / 1e12:.0f} TFLOP/s measured'

    def line(how: str, seconds: float, target: float | None = None) -> Comparison:
        what = f'step, {how}, {name}'
        return Comparison.of_times(
            'cuda', what, eager['plain'], seconds, pair.ours.images, target=target, note=note
        )

    return [
        line('fused attention', eager['ours']),
        line('fused attention and compiled blocks', ours, speed),
        Comparison(
            'cuda',
            f'share of the matmul peak, {name}',
            '%',
            None,
            100 * flops / ours / peak,
            share,
            note=note,
        ),
    ]


def count_synchronisations(function: Callable[[], object]) -> int:
    """How often a call makes the host wait for the GPU, as torch's synchronisation debug mode warns of it."""
    debug_mode = setting(torch.cuda.get_sync_debug_mode, torch.cuda.set_sync_debug_mode, 'warn')
    with debug_mode, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        function()
    return sum('synchroniz' in str(warning.message) for warning in caught)


def _fp16_line(pair: Pair, timer: Timer) -> Comparison:
    """float16 with loss scaling, through mmengine's wrapper."""
    optimizer = pair.ours.optim.optimizer
    optim = AmpOptimWrapper(optimizer=optimizer, dtype='float16', clip_grad=dict(max_norm=1.0))
    half = replace(pair.ours, optim=optim)
    compile_blocks(half.model)
    times = timer.measure({'ours': half.whole, 'plain': pair.plain.whole}, 'cuda')
    note = f'batch {pair.ours.images}; plain: bfloat16'
    return Comparison.of_times(
        'cuda', 'step, float16 with loss scaling', times['plain'], times['ours'], pair.ours.images, note=note
    )


@contextmanager
def endless_raw_faces(
    cfg: Config, batch_size: int, pictures: int, workers: int, data_root: str | None
) -> Iterator[Iterable[PretrainBatch]]:
    """A loader of raw faces of an archive with CRFR-P masks that goes on and on.

    Args:
        cfg: Gives sizes and mask ratio.
        batch_size: Images a batch.
        pictures: Faces to store (in a temporary folder); 1024 at least.
        workers: Loader processes.
        data_root: See :func:`~bench.stored_pictures.read_faces`.
    """
    size, patch_size = square_size(cfg)
    with tempfile.TemporaryDirectory(prefix='fsfm_mm_benchmark_') as folder:
        roots = store(read_faces(max(pictures, 1024), size, data_root), Path(folder), patch_size)
        mask = CRFRPMask(mask_transform(cfg).mask_ratio)
        dataset = open_stored('archive raw', roots['archive raw'], mask, size, patch_size)
        order = RandomSampler(dataset, replacement=True, num_samples=_MANY)  # type: ignore[arg-type]
        yield DataLoader(
            dataset,
            batch_sampler=BatchSampler(order, batch_size, drop_last=True),
            num_workers=workers,
            collate_fn=dense_collate,
            pin_memory=True,
        )


def data_wait_comparison(loader: Iterable[PretrainBatch], step: TrainingStep, steps: int = 50) -> Comparison:
    """Share of a short training's time that is spent waiting for the loader.

    Args:
        loader: With its workers, endless or longer than ``steps`` + 10 batches.
        step: Whose model is trained (at learning rate 0).
        steps: Timed steps, after 10 of warm-up.
    """
    batches = iter(loader)
    waited = 0.0
    start = time.perf_counter()
    for number in range(-10, steps):
        if number == 0:
            torch.cuda.synchronize()
            waited, start = 0.0, time.perf_counter()
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        replace(step, batch=batch).whole()
    torch.cuda.synchronize()
    share = 100 * waited / (time.perf_counter() - start)
    note = f'{steps} steps'
    return Comparison('cuda', 'waiting for data', '%', None, share, DATA_WAIT_TARGET, at_most=True, note=note)
