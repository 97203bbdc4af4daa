"""Similarity losses between the online prediction and the momentum target (3C's C3).

Every function takes the predictor's output ``q`` and the target projector's output ``z``, both (N, d),
not normalised; all compute in float32 at least. The registered losses detach ``z``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
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


def info_nce(q: torch.Tensor, z: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Cross entropy of cos/temperature with the batch's other targets as negatives, times 2*temperature."""
    return _contrast(q, z, temperature)


def moco_v3(q: torch.Tensor, z: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """:func:`info_nce` with the targets of all processes as candidates (MoCo v3)."""
    if get_world_size() == 1:
        return _contrast(q, z, temperature)
    return _contrast(q, torch.cat(all_gather(z.detach().contiguous())), temperature, get_rank() * len(q))


def simclr(q: torch.Tensor, z: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """NT-Xent (SimCLR): both views are anchors, all other 2N - 2 vectors negatives."""
    views = torch.cat([normalised(q), normalised(z)])
    logits = views @ views.T / temperature
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    n = len(q)
    labels = torch.arange(2 * n, device=views.device).roll(n)
    return F.cross_entropy(logits.masked_fill(itself, float('-inf')), labels)


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
    """See :func:`info_nce`; option ``temperature``."""

    function = staticmethod(info_nce)


@MODELS.register_module()
class MoCoV3SimilarityLoss(SimilarityLoss):
    """See :func:`moco_v3`; option ``temperature``."""

    function = staticmethod(moco_v3)


@MODELS.register_module()
class SimCLRLoss(SimilarityLoss):
    """See :func:`simclr`; option ``temperature``."""

    function = staticmethod(simclr)
