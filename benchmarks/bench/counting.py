"""Counts of a training step that do not depend on the machine's speed: what CI holds on to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.memory import allocations, saved_bytes
from bench.step import step_flops
from bench.training_step import TrainingStep

#: Operators for which the host waits until a GPU has computed a value. (Copies to the CPU are not seen here: on
#: the CPU they are none. Torch's synchronisation debug mode counts them on a GPU.)
SYNCHRONISATIONS = (
    '_local_scalar_dense',  # .item(), bool(), int()
    'nonzero',  # the size of the result is a value
    'masked_select',
    'equal',
)


class OperatorCounter(TorchDispatchMode):
    """Counts the operators that reach a backend: forward, backward and optimiser alike."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        #: Of :data:`SYNCHRONISATIONS`, those on values that a GPU would have computed.
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func._schema.name.removeprefix('aten::')
        # views and metadata run no kernel
        if not func.is_view:
            self.calls[name] += 1
        if name in SYNCHRONISATIONS or _selects_by_values(name, args):
            self.waits[name] += 1
        return func(*args, **(kwargs or {}))


def _selects_by_values(name: str, args: tuple) -> bool:
    """Whether it is ``x[mask]``, whose size the host has to ask for."""
    if name not in ('index', 'index_put', 'index_put_'):
        return False
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def count_operators(function: Callable[[], object]) -> OperatorCounter:
    """Run a function and count the operators it calls."""
    with OperatorCounter() as counter:
        function()
    return counter


def step_counts(step: TrainingStep) -> dict[str, int]:
    """Counts of one training step on the CPU in float32.

    Args:
        step: On its device; run three times.

    Returns:
        ``operators`` (kernels, not views), ``operators_optimiser_and_momentum``, ``waits_on_device`` (reads of
        values that a GPU computed: the batch's preparation counts on the CPU and is left out),
        ``mflop_per_image``, ``kept_bytes_per_image`` (for the backward pass), ``batch_bytes_per_image`` (worker to
        main process) and ``allocations``.
    """
    step.whole()  # makes the optimiser's state
    images = len(step.batch['mask'])
    whole = count_operators(step.whole)

    def update() -> None:
        step.optim.step()
        step.update_target()

    updates = count_operators(step.with_gradients(update))
    batch: dict[str, Any] = dict(step.batch)
    return dict(
        operators=sum(whole.calls.values()),
        operators_optimiser_and_momentum=sum(updates.calls.values()),
        waits_on_device=_waits_on_device(step),
        mflop_per_image=round(step_flops(step) / 1e6),
        kept_bytes_per_image=saved_bytes(step.forward, step.model.parameters()) // images,
        batch_bytes_per_image=sum(tensor.nbytes for tensor in batch.values()) // images,
        allocations=sum(size > 0 for size in allocations(step.whole)),
    )


def _waits_on_device(step: TrainingStep) -> int:
    data = step.model.data_preprocessor(step.batch, True)

    def run() -> None:
        with step.optim.optim_context(step.model):
            losses = step.model(**data, mode='loss')
        total, _ = step.model.parse_losses(losses)
        step.optim.update_params(total)
        step.update_target()

    return sum(count_operators(run).waits.values())
