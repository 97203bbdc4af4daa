"""Mixed precision on any device, clipping without a host wait, and no step on non-finite gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.tensor import DTensor

from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Optimiser wrapper with bfloat16 autocast that works on CPU and GPU (mmengine's refuses CPUs).

    A step whose gradient norm is not finite is skipped: no weight and no optimiser state changes. Fused
    optimisers skip on the device, without waiting for it; other optimisers make the host read the norm.

    Args:
        optimizer: The optimiser; ``fused=True`` AdamW is the fast one.
        dtype: 'auto' (bfloat16 where the hardware has it, else float32), 'bfloat16' or 'float32'. For
            float16 use mmengine's ``AmpOptimWrapper``, which scales the loss.
        accumulative_counts: Batches per optimiser step.
        clip_grad: e.g. ``dict(max_norm=1.0)``.

    Raises:
        ValueError: For another dtype.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        dtype: str = 'auto',
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
    ):
        norm = clip_grad.get('max_norm', 1.0) if isinstance(clip_grad, dict) else 1.0
        if not norm > 0:
            raise ValueError(f'optim_wrapper.clip_grad.max_norm must be positive, found {norm}')
        super().__init__(optimizer, accumulative_counts, clip_grad)
        if dtype not in ('auto', 'bfloat16', 'float32'):
            raise ValueError(
                f"dtype must be 'auto', 'bfloat16' or 'float32', found {dtype!r} "
                "(for float16 use type='AmpOptimWrapper', which scales the loss)"
            )
        self.dtype = dtype
        # mmengine's stand-in group for logging the learning rate: automatic scaling misses it, and the first
        # of our groups is the unscaled one already
        self.base_param_settings = None
        #: Norm of the last gradient before clipping, on the device.
        self.grad_norm: torch.Tensor | None = None
        #: Steps in a row that were skipped for a non-finite gradient, on the device.
        self.skipped_in_a_row: torch.Tensor | None = None
        #: Called in a step that is skipped, before anything else happens; makes the host wait in every step.
        self.on_skip: Callable[[], None] | None = None

    def precision(self, model: nn.Module) -> tuple[torch.device, torch.dtype]:
        """Where a model computes, and in what: bfloat16 (by autocast) or float32."""
        device = next(model.parameters()).device
        return device, resolve_dtype(self.dtype, device)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass, and skip the gradient exchange while accumulating."""
        device, dtype = self.precision(model)
        with (
            super().optim_context(model),
            torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16),
        ):
            yield

    def step(self, **kwargs) -> None:
        """Clip, then step unless the gradient norm is not finite."""
        norm = self._measure_and_clip()
        # sharded gradients (FSDP): every process clipped by the norm of the whole, and sees it as one number
        self.grad_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        not_finite = ~torch.isfinite(self.grad_norm)
        if self.skipped_in_a_row is None:
            self.skipped_in_a_row = torch.zeros((), dtype=torch.int64, device=not_finite.device)
        self.skipped_in_a_row = torch.where(not_finite, self.skipped_in_a_row + 1, 0)
        if self.on_skip is not None and bool(not_finite):
            self.on_skip()
        if self.optimizer.defaults.get('fused'):
            self.optimizer.found_inf = not_finite.float()
        elif bool(not_finite):
            return
        self.optimizer.step(**kwargs)

    def _measure_and_clip(self) -> torch.Tensor:
        params = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        if self.clip_grad_kwargs and self.clip_func is torch.nn.utils.clip_grad_norm_:
            return self.clip_func(params, **self.clip_grad_kwargs)
        norm = torch.nn.utils.get_total_norm([p.grad for p in params])
        if self.clip_grad_kwargs:
            self.clip_func(params, **self.clip_grad_kwargs)
        return norm
