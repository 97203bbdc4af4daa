"""Timing one training step and its parts, and what share of the machine's matmul speed it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from bench.timing import Row, measure
from bench.training_step import TrainingStep, attention_kernel, build_step
from fsfm_mm.models.layers import compile_blocks
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.structures import PretrainBatch

WHOLE, FORWARD = 'whole step', 'whole forward'
UPDATES = ('optimiser (norm, clip, update)', 'momentum update')


def count_flops(function: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products (with attention's) that a call runs."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def step_flops(step: TrainingStep) -> float:
    """Operations per image of a whole step (not of a compiled one).

    With explicit attention: what a fused kernel computes again in its backward pass is no work done.
    """
    few = step.take(2)
    with attention_kernel(few.model, fused=False):
        return count_flops(few.whole) / len(few.batch['mask'])


def _arms(step: TrainingStep) -> dict[str, Callable[[], object]]:
    """All that is timed of one model, in the order of the report."""
    arms: dict[str, Callable[[], object]] = {WHOLE: step.whole, FORWARD: step.forward}
    arms['copy, normalise, patches'] = step.prepare
    for name, forward in step.parts().items():
        arms[f'{name}, forward'] = forward
        arms[f'{name}, forward + backward'] = step.backward_of(forward)
    if hasattr(step.model, 'target'):
        arms['target, forward'] = step.target_forward()
        arms[UPDATES[1]] = step.update_target
    arms[UPDATES[0]] = step.with_gradients(step.optim.step)
    return arms


def _rests(times: dict[str, float]) -> dict[str, float]:
    """What of a step is not a line of its own, as shares of it; noise can make them negative."""
    whole = times[WHOLE]
    counted = [
        seconds
        for name, seconds in times.items()
        if name not in (WHOLE, FORWARD) and (not name.endswith(', forward') or name.startswith('target'))
    ]
    updates = sum(times.get(name, 0.0) for name in UPDATES)
    return dict(
        backward_share_of_step=(whole - times[FORWARD] - updates) / whole,
        rest_share_of_step=(whole - sum(counted)) / whole,
    )


def matmul(size: int, dtype: torch.dtype, device: torch.device) -> Callable[[], torch.Tensor]:
    """A function that multiplies two square matrices: 2 * size**3 operations."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b


def step_rows(
    cfg: Config,
    batch: PretrainBatch,
    device: torch.device | str,
    compiled: Sequence[bool] = (False,),
    matmul_size: int = 2048,
    repeats: int = 5,
    min_seconds: float = 0.05,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Row], dict[str, float]]:
    """Time the training step of a config by part.

    Args:
        cfg: See :func:`build_step`.
        batch: Input of every step.
        device: Where the model runs.
        compiled: Which models to time, in turns: False as is, True with compiled blocks.
        matmul_size: Side of the square matrices whose product gives the attainable speed.
        repeats: See :func:`measure`.
        min_seconds: See :func:`measure`.
        say: Takes progress lines.

    Returns:
        Rows whose ratio is the share of their whole step, and facts about the first model:
        ``gflop_per_image``, ``matmul_gflop_per_s``, ``share_of_matmul_peak`` of the whole step,
        ``backward_share_of_step`` (the step less its forward pass and updates), ``rest_share_of_step`` (the
        step less all parts) and, with both models, ``compiled_speed_up``.
    """
    device = torch.device(device)
    arms: dict[tuple[str, str], Callable[[], object]] = {}
    for flag in compiled:
        step = build_step(cfg, batch, device)
        flops = step_flops(step)
        if flag:
            compile_blocks(step.model)
        label = 'compiled blocks' if flag else ''
        arms |= {(label, name): function for name, function in _arms(step).items()}
    dtype = resolve_dtype(cfg.optim_wrapper.get('dtype', 'float32'), device)
    arms['', 'matmul'] = matmul(matmul_size, dtype, device)
    times = measure(arms, repeats, device, min_seconds, say)
    peak = 2 * matmul_size**3 / times.pop(('', 'matmul'))
    n = len(batch['mask'])
    rows = [
        Row('step', ': '.join(filter(None, key)), n, seconds, seconds / times[key[0], WHOLE], 'of the step')
        for key, seconds in times.items()
    ]
    return rows, _facts(times, flops * n, n, peak)


def _facts(times: dict[tuple[str, str], float], flops: float, images: int, peak: float) -> dict[str, float]:
    """What follows from the times of a step of ``flops`` operations; ``peak`` in operations per second."""
    label = next(iter(times))[0]
    first = {name: seconds for (arm, name), seconds in times.items() if arm == label}
    facts = dict(
        gflop_per_image=flops / images / 1e9,
        matmul_gflop_per_s=peak / 1e9,
        share_of_matmul_peak=flops / first[WHOLE] / peak,
        **_rests(first),
    )
    wholes = [seconds for (_, name), seconds in times.items() if name == WHOLE]
    if len(wholes) == 2:
        facts['compiled_speed_up'] = wholes[0] / wholes[1]
    return facts
