"""Memory of the training step against the plain implementation."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.comparison import Comparison
from bench.memory import peak_bytes, saved_bytes, tensor_bytes
from bench.pair import Pair

MEMORY_TARGET = 0.65


def memory_comparisons(pair: Pair) -> list[Comparison]:
    """Activations kept an image, and the peak of a step; counted, so nothing is timed."""
    ours, kind = pair.ours, pair.precision
    whole, one = _kept(pair, pair.images), _kept(pair, 1)
    # the difference, because low-precision copies of the weights are kept too, whatever the batch
    kept = {arm: (whole[arm] - one[arm]) / (pair.images - 1) for arm in whole}
    peak = {arm: _peak(pair, step) / 1e6 for arm, step in pair.whole().items()}
    checkpointed = _peak(pair, pair.checkpointed) / 1e6
    held = tensor_bytes([*ours.model.parameters(), *_state(ours.optim.optimizer)])
    note = f'batch {pair.images}'
    return [
        Comparison(
            'memory',
            f'kept for the backward pass an image, {kind}',
            'MB',
            kept['plain'] / 1e6,
            kept['ours'] / 1e6,
            note=note,
        ),
        Comparison(
            'memory',
            f'peak of a step, {kind}',
            'MB',
            peak['plain'],
            peak['ours'],
            MEMORY_TARGET,
            at_most=True,
            note=f'{note}; beyond weights and optimiser state, {held / 1e6:,.0f} MB in both',
        ),
        Comparison(
            'memory',
            f'peak of a step, {kind}, with_cp=True',
            'MB',
            peak['plain'],
            checkpointed,
            note=f'{note}; activation checkpointing in every block, an option that computes each block again',
        ),
    ]


def _peak(pair: Pair, step: Callable[[], object]) -> int:
    step()  # makes the optimiser's state
    pair.ours.optim.zero_grad()
    pair.plain.optimizer.zero_grad()
    return peak_bytes(step, pair.ours.device)


def _kept(pair: Pair, images: int) -> dict[str, int]:
    """Bytes kept for the backward pass of the first images of the batch, by implementation."""
    few = pair.take(images)
    return {
        'ours': saved_bytes(few.ours.forward, few.ours.model.parameters()),
        'plain': saved_bytes(lambda: few.plain.losses(few.plain_batch), few.plain.model.parameters()),
    }


def _state(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    values = (value for state in optimizer.state.values() for value in state.values())
    return [value for value in values if isinstance(value, torch.Tensor)]
