"""Timing one training step by part, and the choices that were made in it against their alternatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.counting import step_flops
from bench.inputs import Bench
from bench.results import Line, row
from bench.settings import attention_kernel
from bench.timing import label, matmul
from bench.training_step import MOMENTUM, TrainingStep
from fsfm_mm.models.layers import compile_blocks

WHOLE, FORWARD = 'whole step', 'whole forward'
UPDATES = ('optimiser (norm, clip, update)', 'momentum update')

#: What is timed, by name.
Arms = dict[str, Callable[[], object]]


def step_rows(bench: Bench, compiled: Sequence[bool]) -> tuple[list[Line], dict[str, float]]:
    """Time the training step of a config by part.

    Args:
        bench: What is measured.
        compiled: Which models to time, in turns: False as is, True with compiled blocks.

    Returns:
        Rows whose ratio is the share of their whole step, and facts about the first model:
        ``gflop_per_image``, ``matmul_gflop_per_s``, ``share_of_matmul_peak`` of the whole step,
        ``backward_share_of_step`` (the step less its forward pass and updates), ``rest_share_of_step`` (the
        step less all parts; noise can make it negative) and, with both models, ``compiled_speed_up``.
    """
    arms: dict[tuple[str, str], Callable[[], object]] = {}
    kinds = ['compiled blocks' if flag else '' for flag in compiled]
    for kind in kinds:
        step = bench.step()
        flops = step_flops(step)
        if kind:
            compile_blocks(step.model)
        arms |= {(kind, name): function for name, function in _arms(step).items()}
    arms['', 'matmul'] = matmul(bench.matmul_size, bench.dtype, step.device)
    times = bench.timer.measure(arms, step.device)
    peak = 2 * bench.matmul_size**3 / times.pop(('', 'matmul'))
    rows = [
        row('step', label(key), step.images, seconds, seconds / times[key[0], WHOLE], 'of the step')
        for key, seconds in times.items()
    ]
    first = {name: seconds for (kind, name), seconds in times.items() if kind == kinds[0]}
    whole, updates = first[WHOLE], sum(first.get(name, 0.0) for name in UPDATES)
    counted = [
        seconds
        for name, seconds in first.items()
        if name not in (WHOLE, FORWARD) and (not name.endswith(', forward') or name.startswith('target'))
    ]
    facts = dict(
        gflop_per_image=flops / 1e9,
        matmul_gflop_per_s=peak / 1e9,
        share_of_matmul_peak=flops * step.images / whole / peak,
        backward_share_of_step=(whole - first[FORWARD] - updates) / whole,
        rest_share_of_step=(whole - sum(counted)) / whole,
    )
    if len(kinds) == 2:
        facts['compiled_speed_up'] = whole / times[kinds[1], WHOLE]
    return rows, facts


def _arms(step: TrainingStep) -> Arms:
    """All that is timed of one model, in the order of the report."""
    arms: Arms = {WHOLE: step.whole, FORWARD: step.forward, 'copy, normalise, patches': step.prepare}
    for name, forward in step.parts().items():
        arms[f'{name}, forward'] = forward
        arms[f'{name}, forward + backward'] = step.backward_of(forward)
    if hasattr(step.model, 'target'):
        patches = step.prepare()[0]
        arms['target, forward'] = step.part(lambda: step.model.target(patches))
        arms[UPDATES[1]] = step.training.update_target
    arms[UPDATES[0]] = step.with_gradients(step.optim.step)
    return arms


def choice_rows(bench: Bench) -> list[Line]:
    """Time attention kernels, optimiser kernels, momentum updates and partial prediction.

    Returns:
        Two rows a choice; the ratio is the second arm's time over the row's, so above 1 is faster.
    """
    step = bench.step()
    rows = []
    for choice, arms in _choices(step).items():
        bench.timer.say(f'  {choice}')
        times = bench.timer.measure(arms, step.device)
        other = list(times)[-1]
        for name, seconds in times.items():
            ratio = times[other] / seconds
            rows.append(row('choices', f'{choice}: {name}', step.images, seconds, ratio, f'x of {other}'))
    return rows


def _choices(step: TrainingStep) -> dict[str, Arms]:
    """Both arms of each choice, the library's first."""
    model, (patches, split, _) = step.model, step.prepare()
    encode = step.part(lambda: model.backbone.encode(patches, split))
    look = torch.no_grad()(step.part(lambda: model.backbone.encode(patches, None)))
    (latent,) = torch.no_grad()(encode)()

    def kernel(function: Callable[[], object], fused: bool) -> Callable[[], None]:
        def run() -> None:
            with attention_kernel(model.backbone, fused):
                function()

        return run

    def kernels(function: Callable[[], object]) -> Arms:
        return {'fused': kernel(function, True), 'explicit': kernel(function, False)}

    def decode(all_patches: bool) -> Callable[[], None]:
        decoder, token = model.pixel_decoder, model.mask_token
        part = step.part(lambda x: decoder(x, split, token, all_patches=all_patches), latent)
        return step.backward_of(part)

    choices: dict[str, Arms] = {
        'attention, visible tokens, forward + backward': kernels(step.backward_of(encode)),
        'attention, all tokens, forward': kernels(look),
        'pixel decoder, forward + backward': {
            'masked patches only': decode(all_patches=False),
            'all patches': decode(all_patches=True),
        },
    }
    kind = type(step.optim.optimizer)
    if kind in (torch.optim.Adam, torch.optim.AdamW):
        choices[f'{kind.__name__} update'] = {
            # over the same parameters and gradients, at a learning rate of 0
            name: step.with_gradients(
                kind([dict(g, fused=fused, foreach=None) for g in step.optim.param_groups]).step
            )
            for name, fused in {'fused': True, 'default': None}.items()
        }
    if hasattr(model, 'target'):
        choices['momentum update'] = {
            'one call': step.training.update_target,
            'loop over parameters': _momentum_loop(model),
        }
    return choices


def _momentum_loop(model: Any) -> Callable[[], None]:
    """The momentum update, parameter by parameter."""
    pairs = [
        (t, o)
        for name in model.target.online_names
        for t, o in zip(model.target.get_submodule(name).parameters(), model.get_submodule(name).parameters())
        if o.requires_grad
    ]

    @torch.no_grad()
    def loop() -> None:
        for t, o in pairs:
            t.lerp_(o, 1.0 - MOMENTUM)

    return loop
