"""Similarity losses between the online prediction and the momentum target (3C's C3).

Every function takes the predictor's output ``q`` and the target projector's output ``z``, both (N, d),
not normalised; all compute in float32 at least. The registered losses detach ``z``.

A loss whose value for one sample depends on the others (InfoNCE, MoCo v3, SimCLR) takes the others from all
processes, so that it does not depend on how a batch is cut over them. Every process must have the same number
of samples, which mmengine's samplers see to.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import nn

from fsfm_mm.registry import MODELS


def normalised(x: torch.Tensor) -> torch.Tensor:
    """Rows of x (N, d) scaled to unit length, in float32 or float64, outside autocast."""
    x = x if x.dtype == torch.float64 else x.float()
    return F.normalize(x, dim=1)


def simsiam(q: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """``-0.5 * mean cos(q, z)``, one direction only (FSFM's default)."""
    return -0.5 * (normalised(q) * normalised(z)).sum(dim=1).mean()


def byol(q: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """``mean(2 - 2 cos(q, z))`` (BYOL)."""
    return (2 - 2 * (normalised(q) * normalised(z)).sum(dim=1)).mean()


def _contrast(q: torch.Tensor, z: torch.Tensor, temperature: float, first: int = 0) -> torch.Tensor:
    logits = normalised(q) @ normalised(z).T / temperature
    labels = torch.arange(len(q), device=q.device) + first
    return 2 * temperature * F.cross_entropy(logits, labels)


class _GatherRows(torch.autograd.Function):
    """Rows of all processes, one below the other; the backward pass adds up every process's gradient.

    mmengine's ``all_gather`` cuts the graph, and the average over processes would then lack what the other
    processes' losses say about this one's rows.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        ctx.rows = len(x)
        return torch.cat(all_gather(x.contiguous()))

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        grad = grad.contiguous()
        all_reduce(grad)
        return grad.narrow(0, get_rank() * ctx.rows, ctx.rows)


def _all_rows(x: torch.Tensor, gather: bool) -> tuple[torch.Tensor, int]:
    """Rows of all processes (or of this one only), and the number of the first that is this process's."""
    if not gather or get_world_size() == 1:
        return x, 0
    return _GatherRows.apply(x), get_rank() * len(x)


def info_nce(q: torch.Tensor, z: torch.Tensor, temperature: float = 0.1, gather: bool = True) -> torch.Tensor:
    """Cross entropy of cos/temperature with the batch's other targets as negatives, times 2*temperature.

    With ``gather=False`` the negatives are those of the own process only, as in the published runs on
    several GPUs; with it (and always in one process) the loss is :func:`moco_v3`.
    """
    candidates, first = _all_rows(z, gather)
    return _contrast(q, candidates, temperature, first)


def moco_v3(q: torch.Tensor, z: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """:func:`info_nce` with the targets of all processes as candidates (MoCo v3)."""
    return info_nce(q, z, temperature, gather=True)


def simclr(q: torch.Tensor, z: torch.Tensor, temperature: float = 0.1, gather: bool = True) -> torch.Tensor:
    """NT-Xent (SimCLR): both views are anchors, all other 2N - 2 vectors negatives.

    With ``gather=False`` N counts the own process's samples only, as in the published runs.
    """
    q, z = normalised(q), normalised(z)
    all_q, first = _all_rows(q, gather)
    all_z, _ = _all_rows(z, gather)
    logits = torch.cat([q, z]) @ torch.cat([all_q, all_z]).T / temperature
    itself = torch.arange(len(q), device=q.device) + first
    partner = itself + len(all_q)
    columns = torch.arange(logits.shape[1], device=q.device)
    own = torch.cat([itself, partner])[:, None] == columns
    return F.cross_entropy(logits.masked_fill(own, float('-inf')), torch.cat([partner, itself]))


class SimilarityLoss(nn.Module):
    """Base of the registered similarity losses.

    A loss of your own is a subclass with ``function`` set to any ``f(q, z, **options) -> scalar``.

    Args:
        loss_weight: Factor of this term in the objective; 0.1 in the paper.
        options: Keyword arguments of the function, e.g. ``temperature`` (no unit).
    """

    function: Callable[..., torch.Tensor]

    def __init__(self, loss_weight: float = 0.1, **options: float):
        super().__init__()
        self.loss_weight = loss_weight
        self.options = options

    def forward(self, q: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Weighted loss of predictions q (N, d) and targets z (N, d)."""
        with torch.autocast(q.device.type, enabled=False):
            return self.loss_weight * type(self).function(q, z.detach(), **self.options)


@MODELS.register_module()
class SimSiamLoss(SimilarityLoss):
    """See :func:`simsiam`."""

    function = staticmethod(simsiam)


@MODELS.register_module()
class BYOLLoss(SimilarityLoss):
    """See :func:`byol`."""

    function = staticmethod(byol)


@MODELS.register_module()
class InfoNCELoss(SimilarityLoss):
    """See :func:`info_nce`; options ``temperature`` and ``gather``."""

    function = staticmethod(info_nce)


@MODELS.register_module()
class MoCoV3SimilarityLoss(SimilarityLoss):
    """See :func:`moco_v3`; option ``temperature``."""

    function = staticmethod(moco_v3)


@MODELS.register_module()
class SimCLRLoss(SimilarityLoss):
    """See :func:`simclr`; options ``temperature`` and ``gather``."""

    function = staticmethod(simclr)
