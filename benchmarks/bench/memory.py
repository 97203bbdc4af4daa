"""How much memory a training step takes, counted from its tensors instead of read off the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile


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
