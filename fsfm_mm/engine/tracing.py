"""Where in a step of a model the first value that is not finite arises: every operation is looked at, as it is made.

Torch's dispatcher shows each operation, forward and backward, with its inputs; the modules that are being called, and
the function that called it, say where it stands. Nothing is computed differently: the step is the same, bit for bit.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mmengine
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

#: Operations whose results hold whatever was in the memory.
_UNFILLED = ('empty', 'new_empty', 'resize', 'set_')
_FOREIGN = (os.path.dirname(torch.__file__), os.path.dirname(mmengine.__file__))


@dataclass(frozen=True)
class Finding:
    """The first result of an operation that is not finite.

    Attributes:
        stage: 'input' (its preprocessing), 'target', 'patch embedding', 'block', 'decoder', 'head', 'loss', 'model'
            (anything else in it), or 'gradient' (the backward pass).
        module: Name of the innermost module that was being called; '' for the model itself.
        function: Of that module or what it calls, with file and line; '' in the backward pass.
        operation: torch's name of it.
        result: Its type and shape.
        nan: Number of NaN in it.
        inf: Number of infinities in it.
        of: Number of values in it.
        samples: Rows of the batch that they are in, where it has the batch's length.
        weights: Parameters and buffers among its inputs.
        largest: Largest finite value of its inputs.
    """

    stage: str
    module: str
    function: str
    operation: str
    result: str
    nan: int
    inf: int
    of: int
    samples: tuple[int, ...]
    weights: tuple[str, ...]
    largest: float


@dataclass(frozen=True)
class Passed:
    """What came out of a part of the model.

    Attributes:
        name: Of the module.
        largest: Largest absolute value among the finite ones.
        bad: Number of values that are not finite.
    """

    name: str
    largest: float
    bad: int


@dataclass
class Trace:
    """What :func:`tracing` has seen so far.

    Attributes:
        finding: The first operation with a result that is not finite, or None.
        passed: Outputs of the parts of the model, in the order in which they came.
        gradients: Parameters whose gradient is not finite, the one nearest to the loss first.
    """

    finding: Finding | None = None
    passed: list[Passed] = field(default_factory=list)
    gradients: list[str] = field(default_factory=list)


@contextmanager
def tracing(model: nn.Module, samples: int) -> Iterator[Trace]:
    """Look at every operation and at every gradient within the body.

    Args:
        model: Whose step is made in it.
        samples: Length of the batch.
    """
    trace, calls = Trace(), _Calls()
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(calls.entering(name)))
        handles.append(module.register_forward_hook(calls.leaving(name, trace), always_call=True))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            handles.append(parameter.register_post_accumulate_grad_hook(_noting(name, trace)))
    state = [*model.named_parameters(), *model.named_buffers()]
    names = {tensor.untyped_storage().data_ptr(): name for name, tensor in state if tensor.numel()}
    try:
        with _Operations(trace, calls, names, samples):
            yield trace
    finally:
        for handle in handles:
            handle.remove()


def not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, str]:
    """Names of tensors that hold NaN or infinity, and what they hold: '3 NaN of 64 values'."""
    found = {}
    for name, tensor in tensors:
        nan, inf = _counts(tensor)
        if nan or inf:
            found[name] = counted(nan, inf, tensor.numel())
    return found


def counted(nan: int, inf: int, of: int) -> str:
    """'3 NaN and 1 inf of 64 values'."""
    return (
        ' and '.join(f'{n:,} {what}' for n, what in ((nan, 'NaN'), (inf, 'inf')) if n) + f' of {of:,} values'
    )


def largest_value(tensor: torch.Tensor) -> float:
    """Largest absolute value among the finite ones; 0 where there is none."""
    if not tensor.numel():
        return 0.0
    return float(tensor.detach().double().abs().nan_to_num(nan=0.0, posinf=0.0).max())


def _counts(tensor: torch.Tensor) -> tuple[int, int]:
    if not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()):
        return 0, 0
    return int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())


def _floats(values: Any) -> list[torch.Tensor]:
    return [v for v in tree_leaves(values) if isinstance(v, torch.Tensor) and v.is_floating_point()]


class _Calls:
    """Names of the modules that are being called, the innermost last."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.looking = False

    def entering(self, name: str) -> Any:
        return lambda *_: self.names.append(name)

    def leaving(self, name: str, trace: Trace) -> Any:
        shown = name and (name.count('.') < 2 or name.rpartition('.')[2].isdigit())

        def leave(module: nn.Module, inputs: Any, outputs: Any) -> None:
            self.names.pop()
            if (
                shown and not torch._C._current_autograd_node()
            ):  # recomputed in the backward pass: seen before
                self.looking = True
                values = [value.detach() for value in _floats(outputs)]
                bad = sum(sum(_counts(value)) for value in values)
                trace.passed.append(Passed(name, max(map(largest_value, values), default=0.0), bad))
                self.looking = False

        return leave


def _noting(name: str, trace: Trace) -> Any:
    def note(parameter: Any) -> None:
        if name not in trace.gradients and not bool(torch.isfinite(parameter.grad).all()):
            trace.gradients.append(name)

    return note


class _Operations(TorchDispatchMode):
    """Keeps the first operation that makes something that is not finite."""

    def __init__(self, trace: Trace, calls: _Calls, names: Mapping[int, str], samples: int) -> None:
        super().__init__()
        self.trace, self.calls, self.names, self.samples = trace, calls, names, samples

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.trace.finding is None and not self.calls.looking and not _on_purpose(func, args, kwargs):
            for value in _floats(result):
                nan, inf = _counts(value)
                if nan or inf:
                    self.trace.finding = self._found(func, (args, kwargs), value, nan, inf)
                    break
        return result

    def _found(self, func: Any, inputs: Any, value: torch.Tensor, nan: int, inf: int) -> Finding:
        rows: list[int] = []
        if value.ndim and len(value) == self.samples:
            rows = (~torch.isfinite(value.reshape(self.samples, -1))).any(dim=1).nonzero().flatten().tolist()
        given = _floats(inputs)
        weights = [self.names.get(tensor.untyped_storage().data_ptr()) for tensor in given]
        module = self.calls.names[-1] if self.calls.names else None
        function, file, line = _function() if module is not None else ('', '', 0)
        return Finding(
            stage=_stage(module, function, file),
            module=module or '',
            function=f'{function} ({os.path.basename(file)}:{line})' if function else '',
            operation=func.overloadpacket.__name__,
            result=f'{str(value.dtype).removeprefix("torch.")} {tuple(value.shape)}',
            nan=nan,
            inf=inf,
            of=value.numel(),
            samples=tuple(rows),
            weights=tuple(name for name in weights if name),
            largest=max(map(largest_value, given), default=0.0),
        )


def _stage(module: str | None, function: str, file: str) -> str:
    """What a module, or None in the backward pass, is to the model."""
    if module is None:
        return 'gradient'
    parts = module.split('.')
    if parts[0] == 'target' or function == 'patch_targets':
        return 'target'
    if any(part.startswith('loss') for part in parts) or os.path.basename(os.path.dirname(file)) == 'losses':
        return 'loss'
    if 'patch_embed' in parts:
        return 'patch embedding'
    if any(part.isdigit() for part in parts):
        return 'block'
    known = {
        'data_preprocessor': 'input',
        'head': 'head',
        'pixel_decoder': 'decoder',
        'rep_decoder': 'decoder',
    }
    return known.get(parts[0], 'model')


def _on_purpose(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a result need not be finite: memory that is not filled yet, or an infinity that was asked for."""
    if func.overloadpacket.__name__.startswith(_UNFILLED):
        return True
    return any(isinstance(value, float) and not math.isfinite(value) for value in tree_leaves((args, kwargs)))


def _function() -> tuple[str, str, int]:
    """Name, file and line of the innermost function that is not torch's, mmengine's or of this file."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename != __file__ and not code.co_filename.startswith(_FOREIGN):
            return code.co_name, code.co_filename, frame.f_lineno
        frame = frame.f_back
    return '', '', 0
