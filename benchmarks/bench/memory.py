"""How much memory a training step takes, counted from its tensors instead of read off the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from bench.results import Line, comparison
from bench.settings import checkpointing
from bench.training_step import Pair, Step, TrainingStep

MEMORY_TARGET = 0.65


def tensor_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the storages of tensors; a storage that several of them share counts once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def saved_bytes(forward: Callable[[], object], without: Iterable[torch.Tensor] = ()) -> int:
    """Bytes that a forward pass keeps for its backward pass.

    Args:
        forward: Runs the forward pass and returns what holds its graph.
        without: Tensors that are there anyway, such as parameters and the batch.

    Returns:
        Bytes of the storages that autograd saved, each counted once.
    """
    anyway = {tensor.untyped_storage().data_ptr() for tensor in without}
    saved: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in anyway:
            saved.append(tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    total = tensor_bytes(saved)
    del result
    return total


def peak_bytes(function: Callable[[], object], device: torch.device | str = 'cpu') -> int:
    """Most bytes that a call holds at a time beyond what was allocated before it.

    On CUDA the caching allocator says it. On the CPU torch's profiler reports every allocation and release,
    which is exact and does not depend on the machine; scratch buffers that oneDNN allocates itself are missing.

    Args:
        function: Called once; nothing is warmed up.
        device: Where it allocates.
    """
    device = torch.device(device)
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    held = peak = 0
    for size in allocations(function):
        held += size
        peak = max(peak, held)
    return peak


def allocations(function: Callable[[], object]) -> list[int]:
    """Sizes of the allocations (positive) and releases (negative) of a call on the CPU, in their order."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False) as profiler:
        function()
    results = profiler.profiler.kineto_results
    events = [event for event in results.events() if event.name() == '[memory]']
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def held_bytes(step: TrainingStep) -> int:
    """Bytes that stay between steps, of which one must have run: weights, target, optimiser state."""
    state = [v for values in step.training.optimizer.state.values() for v in values.values()]
    return tensor_bytes([*step.model.parameters(), *(v for v in state if isinstance(v, torch.Tensor))])


def peak_of(step: Step) -> int:
    """Most bytes of a whole step beyond :func:`held_bytes`; it runs twice."""
    step.whole()  # makes the optimiser's state
    step.training.optimizer.zero_grad()
    return peak_bytes(step.whole, step.device)


def memory_comparisons(pair: Pair, dtype: str) -> list[Line]:
    """Activations kept an image, and the peak of a step; counted, so nothing is timed."""
    steps: tuple[Step, Step] = (pair.plain, pair.ours)
    # the difference, because low-precision copies of the weights are kept too, whatever the batch
    kept_plain, kept_ours = ((_kept(step) - _kept(step.take(1))) / (step.images - 1) / 1e6 for step in steps)
    plain, ours = (peak_of(step) / 1e6 for step in steps)
    with checkpointing(pair.ours.model):
        checkpointed = peak_of(pair.ours) / 1e6
    kept, peak = 'kept for the backward pass an image', 'peak of a step'
    held = f'; beyond weights and optimiser state, {held_bytes(pair.ours) / 1e6:,.0f} MB in both'
    target: dict[str, Any] = dict(target=MEMORY_TARGET, at_most=True, note=pair.note(held))
    again = pair.note('; activation checkpointing in every block, an option that computes each block again')
    return [
        comparison('memory', f'{kept}, {dtype}', 'MB', kept_plain, kept_ours, note=pair.note()),
        comparison('memory', f'{peak}, {dtype}', 'MB', plain, ours, **target),
        comparison('memory', f'{peak}, {dtype}, with_cp=True', 'MB', plain, checkpointed, note=again),
    ]


def _kept(step: Step) -> int:
    """Bytes kept for the backward pass of a batch."""
    return saved_bytes(step.forward, step.model.parameters())
