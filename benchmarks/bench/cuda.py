"""What only a GPU can show: kernels, compiled blocks, precisions, waiting for the device and for data."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.optim import AmpOptimWrapper

from bench.counting import step_flops
from bench.inputs import Bench
from bench.loaders import shuffled
from bench.memory import memory_comparisons
from bench.results import Line, comparison, comparison_of_times
from bench.settings import setting, tf32
from bench.stored_pictures import open_stored, read_faces, store
from bench.training_step import LibraryTraining, Pair, TrainingStep, build_pair
from fsfm_mm.datasets.transforms import CRFRPMask
from fsfm_mm.models.layers import compile_blocks
from fsfm_mm.structures import PretrainBatch

SPEED_TARGET = 1.6
#: Share of the matmul peak in %, by width of the encoder (ViT-B, ViT-L).
PEAK_SHARE_TARGETS = {768: 40.0, 1024: 45.0}
DATA_WAIT_TARGET = 3.0
#: Name, dtype and whether TF32 is allowed.
PRECISIONS = (
    ('bfloat16', 'bfloat16', True),
    ('float32 with TF32', 'float32', True),
    ('float32', 'float32', False),
)
#: Longest run of the endless loader of the data wait, in samples.
_MANY = 1 << 30


def cuda_comparisons(bench: Bench) -> list[Line]:
    """The plain step against the library's with fused attention and compiled blocks, on CUDA.

    Args:
        bench: With batches of 256 images for the targets to mean what they say.
    """
    lines = []
    for name, dtype, with_tf32 in PRECISIONS:
        bench.timer.say(f'  {name}')
        with tf32(with_tf32):
            pair = build_pair(bench.cfg, bench.batch, 'cuda', dtype)
            lines += _step_lines(bench, pair, name)
            if name == 'bfloat16':
                plain, ours = map(count_synchronisations, (pair.plain.whole, pair.ours.whole))
                lines += memory_comparisons(pair, dtype)
                lines.append(comparison('cuda', 'host waits a step', 'calls', plain, ours))
        del pair
    return [*lines, _fp16_line(bench, build_pair(bench.cfg, bench.batch, 'cuda', 'bfloat16'))]


def _step_lines(bench: Bench, pair: Pair, name: str) -> list[Line]:
    images, width = pair.ours.images, pair.ours.model.backbone.embed_dims
    flops = step_flops(pair.ours) * images
    arms = pair.whole(bench.matmul_size)
    eager = bench.timer.measure(arms, 'cuda')
    compile_blocks(pair.ours.model)
    del arms['plain']
    compiled = bench.timer.measure(arms, 'cuda')['ours']
    peak = 2 * bench.matmul_size**3 / eager['matmul']
    targets = (SPEED_TARGET if width == 768 else None, PEAK_SHARE_TARGETS.get(width))
    speed, share = targets if name == 'bfloat16' else (None, None)
    note = pair.note(f'; {peak / 1e12:.0f} TFLOP/s measured')

    def line(how: str, seconds: float, target: float | None) -> Line:
        what = f'step, {how}, {name}'
        return comparison_of_times('cuda', what, eager['plain'], seconds, images, target=target, note=note)

    reached, what = 100 * flops / compiled / peak, f'share of the matmul peak, {name}'
    return [
        line('fused attention', eager['ours'], None),
        line('fused attention and compiled blocks', compiled, speed),
        comparison('cuda', what, '%', None, reached, share, note=note),
    ]


def count_synchronisations(function: Callable[[], object]) -> int:
    """How often a call makes the host wait for the GPU, as torch's synchronisation debug mode warns of it."""
    debug_mode = setting(torch.cuda.get_sync_debug_mode, torch.cuda.set_sync_debug_mode, 'warn')
    with debug_mode, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        function()
    return sum('synchroniz' in str(warning.message) for warning in caught)


def _fp16_line(bench: Bench, pair: Pair) -> Line:
    """float16 with loss scaling, through mmengine's wrapper."""
    optimizer = pair.ours.training.optimizer
    optim = AmpOptimWrapper(optimizer=optimizer, dtype='float16', clip_grad=dict(max_norm=1.0))
    half = replace(pair.ours, training=LibraryTraining(pair.ours.model, optim))
    compile_blocks(half.model)
    times = bench.timer.measure({'ours': half.whole, 'plain': pair.plain.whole}, 'cuda')
    name, note = 'step, float16 with loss scaling', pair.note('; plain: bfloat16')
    return comparison_of_times('cuda', name, times['plain'], times['ours'], half.images, note=note)


@contextmanager
def endless_raw_faces(bench: Bench) -> Iterator[Iterable[PretrainBatch]]:
    """A loader with worker processes of raw faces of an archive (1024 at least) with CRFR-P masks, on and on."""
    with tempfile.TemporaryDirectory(prefix='fsfm_mm_benchmark_') as folder:
        faces = read_faces(max(bench.pictures, 1024), bench.size, bench.data_root)
        root = store(faces, Path(folder), bench.patch_size)['archive raw']
        dataset = open_stored(bench, 'archive raw', root, CRFRPMask(bench.mask.mask_ratio))
        workers = bench.workers or os.cpu_count() or 1
        yield shuffled(dataset, bench.batch_size, draws=_MANY, num_workers=workers, pin_memory=True)


def data_wait_comparison(loader: Iterable[PretrainBatch], step: TrainingStep, steps: int = 50) -> Line:
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
    share, note = 100 * waited / (time.perf_counter() - start), f'{steps} steps'
    return comparison('cuda', 'waiting for data', '%', None, share, DATA_WAIT_TARGET, at_most=True, note=note)
