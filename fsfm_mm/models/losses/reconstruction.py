"""Reconstruction losses: over all hidden patches (3C's C1) and over the covered region (C2)."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import nn

from fsfm_mm.registry import MODELS


def patch_targets(patches: torch.Tensor, norm_pix: bool = True) -> torch.Tensor:
    """Pixel targets of patches, float32 (or float64) inside.

    Args:
        patches: (..., p*p*C) normalised pixels in (row, column, channel) order.
        norm_pix: Standardise each patch: (x - mean) / sqrt(var + 1e-6), unbiased variance (MAE).

    Returns:
        Same shape.
    """
    patches = patches if patches.dtype == torch.float64 else patches.float()
    if not norm_pix:
        return patches
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True, correction=1)
    return (patches - mean) * (var + 1e-6).rsqrt()


def patch_errors(pred: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each patch.

    Args:
        pred: (N, M, p*p*C), any float dtype.
        targets: (N, M, p*p*C) from :func:`patch_targets`.

    Returns:
        (N, M) in the targets' dtype.
    """
    return (pred.to(targets.dtype) - targets).square().mean(dim=-1)


def share_of_all(count: torch.Tensor) -> torch.Tensor:
    """Denominator that makes the mean over processes of ``sum / denominator`` the mean over everything.

    DDP and FSDP average gradients over processes. The number is summed over the processes and divided by
    their count, so that this average equals the gradient of one process with the whole batch, also when
    the processes do not have the same number.

    Args:
        count: Number of summed values on this process, a scalar without gradient.

    Returns:
        Scalar, at least one value per job; the count itself in one process.
    """
    world_size = get_world_size()
    if world_size > 1:
        count = count.clone()
        all_reduce(count)
        count = count / world_size
    # divide by 1 when there is nothing: 0 / 1 = 0 rather than 0 / 0; below one value per process on
    # average the true count still counts
    return torch.where(count > 0, count, torch.ones_like(count))


def weighted_mean(errors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum of ``weights * errors`` over the number of patches with a weight, over all processes.

    Args:
        errors: (N, M).
        weights: bool or float (N, M).

    Returns:
        A scalar whose mean over the processes is the loss of the whole batch; exactly 0 (with a gradient
        of 0) when no patch has a weight anywhere.
    """
    weights = weights.to(errors.dtype)
    return (errors * weights).sum() / share_of_all(weights.sum().detach())


@MODELS.register_module()
class MaskedReconstructionLoss(nn.Module):
    """Mean error over the hidden patches of the batch (L_rec^m, FSFM section 3.3; MAE's loss).

    Args:
        loss_weight: Factor of this term in the objective.
    """

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, errors: torch.Tensor) -> torch.Tensor:
        """Loss of the errors (N, K) of the hidden patches; every row has the same number of them."""
        if get_world_size() == 1:
            return self.loss_weight * errors.mean()
        return self.loss_weight * errors.sum() / share_of_all(errors.new_full((), errors.numel()))


@MODELS.register_module()
class RegionReconstructionLoss(nn.Module):
    """Mean error over the covered facial region (L_rec^fr, FSFM section 3.3).

    Args:
        loss_weight: Factor of this term in the objective; 0.007 in the paper.
    """

    def __init__(self, loss_weight: float = 0.007):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, errors: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
        """Loss of the errors (N, K), taken where ``region`` (N, K) is True; 0 for an empty region."""
        return self.loss_weight * weighted_mean(errors, region)
