"""What only a GPU can show: kernels, compiled blocks, precisions, waiting for the device and for data."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper

from bench.against_plain_memory import memory_comparisons
from bench.comparison import Comparison
from bench.pair import Pair
from bench.step import matmul, step_flops
from bench.timing import measure
from bench.training_step import TrainingStep
from fsfm_mm.models.layers import compile_blocks
from fsfm_mm.structures import PretrainBatch

SPEED_TARGET = 1.6
#: Share of the matmul peak in %, by width of the encoder (ViT-B, ViT-L).
PEAK_SHARE_TARGETS = {768: 40.0, 1024: 45.0}
DATA_WAIT_TARGET = 3.0


@contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Allow TensorFloat-32 in float32 products (or not) for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('high' if enabled else 'highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def cuda_comparisons(
    cfg: Config,
    batch: PretrainBatch,
    matmul_size: int,
    repeats: int,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """The plain step against the library's with fused attention and compiled blocks, on CUDA.

    Args:
        cfg: A pretraining config of FSFM.
        batch: 256 images for the targets to mean what they say.
        matmul_size: Side of the matrices that measure the peak.
        repeats: See :func:`measure`.
        say: Takes progress lines.
    """
    lines = []
    for name, dtype, with_tf32 in (
        ('bfloat16', 'bfloat16', True),
        ('float32 with TF32', 'float32', True),
        ('float32', 'float32', False),
    ):
        say(f'  {name}')
        with tf32(with_tf32):
            pair = Pair(cfg, batch, 'cuda', dtype)
            lines += _step_lines(pair, name, matmul_size, repeats, say)
            if name == 'bfloat16':
                lines += memory_comparisons(pair)
                lines.append(synchronisation_line(pair))
        del pair
    lines.append(_fp16_line(cfg, batch, repeats, say))
    return lines


def _step_lines(
    pair: Pair, name: str, matmul_size: int, repeats: int, say: Callable[[str], None]
) -> list[Comparison]:
    flops = step_flops(pair.ours) * pair.images
    arms: dict[str, Callable[[], object]] = {
        **pair.whole(),
        'matmul': matmul(matmul_size, pair.dtype, pair.ours.device),
    }
    eager = measure(arms, repeats, 'cuda', say=say)
    compile_blocks(pair.ours.model)
    del arms['plain']
    compiled = measure(arms, repeats, 'cuda', say=say)
    is_target = name == 'bfloat16'
    width = pair.ours.model.backbone.embed_dims
    peak = 2 * matmul_size**3 / eager['matmul']
    note = f'batch {pair.images}; {peak / 1e12:.0f} TFLOP/s measured'
    plain, rate = pair.images / eager['plain'], pair.images / compiled['ours']
    return [
        Comparison(
            'cuda',
            f'step, fused attention, {name}',
            'images/s',
            plain,
            pair.images / eager['ours'],
            note=note,
        ),
        Comparison(
            'cuda',
            f'step, fused attention and compiled blocks, {name}',
            'images/s',
            plain,
            rate,
            SPEED_TARGET if is_target and width == 768 else None,
            note=note,
        ),
        Comparison(
            'cuda',
            f'share of the matmul peak, {name}',
            '%',
            None,
            100 * flops / compiled['ours'] / peak,
            PEAK_SHARE_TARGETS.get(width) if is_target else None,
            note=note,
        ),
    ]


def synchronisation_line(pair: Pair) -> Comparison:
    """Times that the host waited for the GPU in one step of each, as torch warns about them."""
    waits = {arm: count_synchronisations(step) for arm, step in pair.whole().items()}
    return Comparison('cuda', 'host waits a step', 'calls', waits['plain'], waits['ours'])


def count_synchronisations(function: Callable[[], object]) -> int:
    """How often a call makes the host wait for the GPU (torch's synchronisation debug mode)."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            function()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return sum('synchroniz' in str(warning.message) for warning in caught)


def _fp16_line(cfg: Config, batch: PretrainBatch, repeats: int, say: Callable[[str], None]) -> Comparison:
    """float16 with loss scaling, through mmengine's wrapper."""
    pair = Pair(copy.deepcopy(cfg), batch, 'cuda', 'bfloat16')
    ours, plain = pair.ours, pair.plain
    optim = AmpOptimWrapper(optimizer=ours.optim.optimizer, dtype='float16', clip_grad=dict(max_norm=1.0))
    half = TrainingStep(ours.model, optim, batch)
    compile_blocks(ours.model)
    times = measure(
        {'ours': half.whole, 'plain': lambda: plain.step(pair.plain_batch)}, repeats, 'cuda', say=say
    )
    note = f'batch {pair.images}; plain: bfloat16'
    speed = {arm: pair.images / seconds for arm, seconds in times.items()}
    return Comparison(
        'cuda', 'step, float16 with loss scaling', 'images/s', speed['plain'], speed['ours'], note=note
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
        TrainingStep(step.model, step.optim, batch).whole()
    torch.cuda.synchronize()
    share = 100 * waited / (time.perf_counter() - start)
    note = f'{steps} steps'
    return Comparison('cuda', 'waiting for data', '%', None, share, DATA_WAIT_TARGET, at_most=True, note=note)
