"""Every comparison with the plain implementation in one run; the training step whole and by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from bench.counting import step_flops
from bench.cuda import cuda_comparisons, data_wait_comparison, endless_raw_faces
from bench.inputs import Bench
from bench.loaders import loader_comparisons
from bench.masks import mask_comparisons
from bench.memory import memory_comparisons
from bench.results import Line, comparison, comparison_of_times
from bench.settings import torch_threads
from bench.timing import threads
from bench.training_step import Pair, Step, build_pair
from fsfm_mm.ops.precision import has_bf16

STEP_TARGET, UPDATE_TARGET, PEAK_SHARE_TARGET = 1.05, 3.0, 80.0

#: What a part's gradients are wanted of besides the parameters'; None runs it forward alone, without gradients.
Inputs = tuple[torch.Tensor, ...] | None
#: A name, and what computes it in the library and in the plain implementation.
Arms = dict[str, tuple[Callable[[], object], Callable[[], object]]]


def plain_comparisons(bench: Bench) -> list[Line]:
    """Measure loaders, masks, updates, the step and its parts, and memory, of both implementations.

    Args:
        bench: With a config of FSFM with the paper's losses, and two images a batch or more. On CUDA the step is
            measured in bfloat16, float16, TF32 and float32 with compiled blocks, and waiting for the device and
            for data is counted.
    """
    bench.timer.say('  loaders')
    lines = loader_comparisons(bench)
    bench.timer.say('  masks')
    lines += mask_comparisons(bench)
    if bench.device == 'cuda':
        lines += update_comparisons(bench, build_pair(bench.cfg, bench.batch, 'cuda', 'bfloat16'))
        lines += cuda_comparisons(bench)
        with endless_raw_faces(bench) as loader:
            return [*lines, data_wait_comparison(loader, bench.step())]
    for dtype in ('float32', 'bfloat16') if has_bf16(bench.device) else ('float32',):
        bench.timer.say(f'  {dtype}')
        pair = build_pair(bench.cfg, bench.batch, bench.device, dtype)
        lines += step_comparisons(bench, pair, dtype)
        if torch.get_num_threads() > 1:
            with torch_threads(1):
                lines += step_comparisons(bench, pair.take(max(2, bench.batch_size // 2)), dtype)
        if dtype == 'float32':  # parameters and gradients are float32 in any precision
            lines += update_comparisons(bench, pair)
        note = f'{dtype}, {pair.note()}, {threads()}'
        lines += [*_in_turns(bench, 'parts', _parts(pair), note, {}), *memory_comparisons(pair, dtype)]
    return lines


def step_comparisons(bench: Bench, pair: Pair, dtype: str) -> list[Line]:
    """The whole step, and the share of the matmul peak measured between its timings."""
    times = bench.timer.measure(pair.whole(bench.matmul_size), bench.device)
    images, flops, peak = pair.ours.images, step_flops(pair.ours), 2 * bench.matmul_size**3 / times['matmul']
    share = 100 * flops * images / times['ours'] / peak
    note, both = pair.note(f', {threads()}'), (times['plain'], times['ours'])
    how = f'{note}; peak {peak / 1e9:,.0f} GFLOP/s, {flops / 1e9:.1f} GFLOP an image'
    return [
        comparison_of_times('step', f'whole step, {dtype}', *both, images, target=STEP_TARGET, note=note),
        comparison(
            'step', f'share of the matmul peak, {dtype}', '%', None, share, PEAK_SHARE_TARGET, note=how
        ),
    ]


def update_comparisons(bench: Bench, pair: Pair) -> list[Line]:
    """What comes after the gradients: together (the line with a target), and by part."""
    ours, plain = pair.ours, pair.plain
    library, script = ours.training, plain.training
    whole, adamw = (
        'clipping, AdamW and momentum update',
        'AdamW: fused, merged groups (default, a group each)',
    )
    arms: Arms = {
        whole: (ours.with_gradients(library.update), plain.with_gradients(script.update)),
        adamw: (
            ours.with_gradients(library.optimizer.step),
            plain.with_gradients(script.optimizer.step),
        ),
        'momentum update: one call (loop)': (library.update_target, script.update_target),
    }
    return _in_turns(bench, 'updates', arms, threads(), {whole: UPDATE_TARGET})


def _in_turns(bench: Bench, section: str, arms: Arms, note: str, targets: Mapping[str, float]) -> list[Line]:
    """A line for each arm, in ms."""
    flat = {(name, who): arm for name, both in arms.items() for who, arm in zip(('ours', 'plain'), both)}
    times = bench.timer.measure(flat, bench.device)
    lines = []
    for name in arms:
        both = times[name, 'plain'], times[name, 'ours']
        lines.append(comparison_of_times(section, name, *both, target=targets.get(name), note=note))
    return lines


def _parts(pair: Pair) -> Arms:
    """The parts whose plain form differs, on the same inputs: forward and backward pass, or as the name says."""
    ours, theirs = pair.ours.model, pair.plain.model
    patches, split, _ = pair.ours.prepare()
    images = pair.plain.batch['image'].to(pair.ours.device)
    keep, restore = split.visible, torch.cat([split.visible, split.masked], dim=1).argsort(dim=1)
    with torch.no_grad(), pair.ours.training.autocast():
        latent = ours.backbone.encode(patches, split).float()

    def arm(step: Step, function: Callable[..., torch.Tensor], inputs: Inputs) -> Callable[[], object]:
        if inputs is None:
            return torch.no_grad()(step.part(function))
        return step.backward_of(step.part(function, *inputs))

    parts: dict[str, tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor], Inputs]] = {
        'embedding of visible patches (convolution + gather)': (
            lambda: ours.backbone.embed(patches, split),
            lambda: theirs.backbone.embed(images, keep),
            None,
        ),
        'online encoder': (
            lambda: ours.backbone.encode(patches, split),
            lambda: theirs.backbone(images, keep),
            (),
        ),
        'pixel decoder: masked patches, no un-shuffle': (
            lambda x: ours.pixel_decoder(x, split, ours.mask_token),
            lambda x: theirs.pixel_decoder(x, theirs.mask_token, restore),
            (latent,),
        ),
        'rep decoder: mean before the last linear, no un-shuffle': (
            lambda x: ours.rep_decoder(x, split, ours.mask_token),
            lambda x: theirs.rep_decoder(x, theirs.mask_token, restore),
            (latent,),
        ),
        'target, forward': (lambda: ours.target(patches), lambda: theirs.project(images), None),
    }
    return {name: (arm(pair.ours, a, x), arm(pair.plain, b, x)) for name, (a, b, x) in parts.items()}
