"""The training step against the plain implementation, whole and by part; and every comparison in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from mmengine.config import Config

from bench.cuda import cuda_comparisons, data_wait_comparison, endless_raw_faces
from bench.inputs import mask_transform, random_batch, square_size
from bench.loaders import loader_comparisons
from bench.masks import mask_comparisons
from bench.memory import memory_comparisons
from bench.results import Comparison
from bench.settings import torch_threads
from bench.step import matmul, step_flops
from bench.timing import Timer, threads
from bench.training_step import Pair, build_step
from fsfm_mm.ops.precision import has_bf16

STEP_TARGET, UPDATE_TARGET, PEAK_SHARE_TARGET = 1.05, 3.0, 80.0

#: A name, and what computes it in the library and in the plain implementation.
Arms = dict[str, tuple[Callable[[], object], Callable[[], object]]]


def plain_comparisons(
    cfg: Config,
    maps: np.ndarray,
    device: str,
    batch_size: int,
    matmul_size: int,
    pictures: int,
    workers: int,
    data_root: str | None,
    timer: Timer,
) -> list[Comparison]:
    """Measure loaders, masks, updates, the step and its parts, and memory, of both implementations.

    Args:
        cfg: A pretraining config of FSFM with the paper's losses.
        maps: Parsing maps (M, S, S) for the masks.
        device: 'cpu' or 'cuda'. On CUDA the step is measured in bfloat16, float16, TF32 and float32 with compiled
            blocks, and waiting for the device and for data is counted.
        batch_size: Images of a step; two or more.
        matmul_size: Side of the matrices that measure the peak.
        pictures: Faces that the loaders read.
        workers: Loader processes of the data wait (CUDA only).
        data_root: Folder of the loaders' faces; drawn ones without it.
        timer: How it is timed.
    """
    timer.say('  loaders')
    lines = loader_comparisons(cfg, pictures, data_root, timer)
    timer.say('  masks')
    lines += mask_comparisons(cfg, maps, timer)
    batch = random_batch(mask_transform(cfg), maps, square_size(cfg)[1], batch_size)
    if device == 'cuda':
        lines += update_comparisons(Pair(cfg, batch, device, 'bfloat16'), timer)
        lines += cuda_comparisons(cfg, batch, matmul_size, timer)
        with endless_raw_faces(cfg, batch_size, pictures, workers, data_root) as loader:
            return [*lines, data_wait_comparison(loader, build_step(cfg, batch, device))]
    for dtype in ('float32', 'bfloat16') if has_bf16(device) else ('float32',):
        timer.say(f'  {dtype}')
        pair = Pair(cfg, batch, device, dtype)
        lines += step_comparisons(pair, matmul_size, timer)
        if torch.get_num_threads() > 1:
            with torch_threads(1):
                lines += step_comparisons(pair.take(max(2, pair.ours.images // 2)), matmul_size, timer)
        if dtype == 'float32':  # parameters and gradients are float32 in any precision
            lines += update_comparisons(pair, timer)
        lines += [*part_comparisons(pair, timer), *memory_comparisons(pair)]
    return lines


def step_comparisons(pair: Pair, matmul_size: int, timer: Timer) -> list[Comparison]:
    """The whole step, and the share of the matmul peak measured between its timings."""
    times = timer.measure(
        {**pair.whole(), 'matmul': matmul(matmul_size, pair.dtype, pair.ours.device)}, pair.ours.device
    )
    flops, peak = step_flops(pair.ours), 2 * matmul_size**3 / times['matmul']
    share = 100 * flops * pair.ours.images / times['ours'] / peak
    kind, note = pair.precision, f'batch {pair.ours.images}, {threads()}'
    plain, ours = times['plain'], times['ours']
    how = f'{note}; peak {peak / 1e9:,.0f} GFLOP/s, {flops / 1e9:.1f} GFLOP an image'
    return [
        Comparison.of_times(
            'step', f'whole step, {kind}', plain, ours, pair.ours.images, target=STEP_TARGET, note=note
        ),
        Comparison(
            'step', f'share of the matmul peak, {kind}', '%', None, share, PEAK_SHARE_TARGET, note=how
        ),
    ]


def update_comparisons(pair: Pair, timer: Timer) -> list[Comparison]:
    """What comes after the gradients: together (the line with a target), and by part."""
    ours, plain, script = pair.ours, pair.plain, pair.plain.training
    steps = ours.optim.optimizer.step, plain.optim.step
    arms: Arms = {
        'clipping, AdamW and momentum update': (
            ours.with_gradients(ours.update),
            plain.with_gradients(script.update),
        ),
        'AdamW: fused, merged groups (default, a group each)': (
            ours.with_gradients(steps[0]),
            plain.with_gradients(steps[1]),
        ),
        'momentum update: one call (loop)': (ours.update_target, script.update_target),
    }
    return _in_turns('updates', arms, threads(), (UPDATE_TARGET, None, None), pair.ours.device, timer)


def part_comparisons(pair: Pair, timer: Timer) -> list[Comparison]:
    """Forward and backward pass of each part, on the same inputs."""
    note = f'{pair.precision}, batch {pair.ours.images}, {threads()}'
    arms = _parts(pair)
    return _in_turns('parts', arms, note, [None] * len(arms), pair.ours.device, timer)


def _in_turns(
    section: str,
    arms: Arms,
    note: str,
    targets: Iterable[float | None],
    device: torch.device,
    timer: Timer,
) -> list[Comparison]:
    times = timer.measure(
        {(name, who): f for name, both in arms.items() for who, f in zip(('ours', 'plain'), both)}, device
    )
    return [
        Comparison.of_times(
            section, name, times[name, 'plain'], times[name, 'ours'], target=target, note=note
        )
        for name, target in zip(arms, targets)
    ]


def _parts(pair: Pair) -> Arms:
    """The parts whose plain form differs, as functions of each implementation."""
    ours, theirs = pair.ours.model, pair.plain.model
    patches, split, _ = pair.ours.prepare()
    images = pair.plain.batch['image'].to(pair.ours.device)
    keep, restore = split.visible, torch.cat([split.visible, split.masked], dim=1).argsort(dim=1)
    with torch.no_grad(), pair.ours.context():
        latent = ours.backbone.encode(patches, split).float()

    def both(
        of_ours: Callable[..., torch.Tensor], of_theirs: Callable[..., torch.Tensor], *inputs: torch.Tensor
    ) -> tuple[Callable[[], None], Callable[[], None]]:
        """Forward and backward pass."""
        return (
            pair.ours.backward_of(pair.ours.part(of_ours, *inputs)),
            pair.plain.backward_of(pair.plain.part(of_theirs, *inputs)),
        )

    def without_gradients(
        of_ours: Callable[[], torch.Tensor], of_theirs: Callable[[], torch.Tensor]
    ) -> tuple[Callable[[], object], Callable[[], object]]:
        return torch.no_grad()(pair.ours.part(of_ours)), torch.no_grad()(pair.plain.part(of_theirs))

    return {
        'embedding of visible patches (convolution + gather)': without_gradients(
            lambda: ours.backbone.embed(patches, split), lambda: theirs.backbone.embed(images, keep)
        ),
        'online encoder': both(
            lambda: ours.backbone.encode(patches, split), lambda: theirs.backbone(images, keep)
        ),
        'pixel decoder: masked patches, no un-shuffle': both(
            lambda x: ours.pixel_decoder(x, split, ours.mask_token),
            lambda x: theirs.pixel_decoder(x, theirs.mask_token, restore),
            latent,
        ),
        'rep decoder: mean before the last linear, no un-shuffle': both(
            lambda x: ours.rep_decoder(x, split, ours.mask_token),
            lambda x: theirs.rep_decoder(x, theirs.mask_token, restore),
            latent,
        ),
        'target, forward': without_gradients(lambda: ours.target(patches), lambda: theirs.target(images)),
    }
