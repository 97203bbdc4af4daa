"""The real-anchor contrastive loss of FS-Adapter: reals attract each other, fakes only repel."""

from __future__ import annotations

import torch
from torch import nn

from fsfm_mm.registry import MODELS

#: Added to each anchor's denominator, and the value of the loss where a batch has no real.
EPS = 1e-6


def real_anchor_contrastive(
    z: torch.Tensor, labels: torch.Tensor, real: int, temperature: float = 0.07
) -> torch.Tensor:
    """Contrastive loss with real samples as the only anchors (FS-VFM, arXiv 2510.10663, L_RAC).

    ``-1/B sum_{i real} 1/|P(i)| sum_{p in P(i)} log[exp(s_ip) / (sum_{k != i} exp(s_ik) + 1e-6)]``,
    s = z z^T / t with the maximum of each row, i itself included, subtracted; P(i) are the other reals.
    Fakes are negatives only: as anchors they count 0 but stay in B, and so does a batch's only real,
    which has no partner.

    Args:
        z: Projections of unit length, (B, d).
        labels: Class indices of the samples before any mixing, int (B,).
        real: Index of the real class.
        temperature: t, no unit.

    Returns:
        Scalar, at least float32; exactly 1e-6 without a real in the batch (still connected to ``z``, so
        that distributed training finds a gradient, of zeros).
    """
    z = z if z.dtype == torch.float64 else z.float()
    is_real = labels == real
    others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = z @ z.T / temperature
    similarity = similarity - similarity.amax(dim=1, keepdim=True).detach()
    denominator = (similarity.exp() * others).sum(dim=1, keepdim=True) + EPS
    log_prob = similarity - denominator.log()
    positives = is_real[:, None] & is_real[None, :] & others
    per_anchor = (log_prob * positives).sum(dim=1) / positives.sum(dim=1).clamp(min=1)
    # both branches on the device: no host waits to learn whether a real is there
    return torch.where(is_real.any(), -per_anchor.mean(), EPS)


@MODELS.register_module()
class RealAnchorContrastiveLoss(nn.Module):
    """Weighted :func:`real_anchor_contrastive`.

    In several processes each compares the samples of its own batch.

    Args:
        loss_weight: w in the objective; the papers' recipes use 0.01 (ViT-S, B) and 0.1 (ViT-L).
        temperature: t, no unit.
        group_size: Samples that are compared with each other at most: a larger batch is cut into parts of this size,
            in its order, and their losses are averaged. So one process computes what the published two GPUs
            did, with half of the batch each. None: the whole batch of a process.

    Raises:
        ValueError: When the temperature or the group's size is not positive.
    """

    def __init__(self, loss_weight: float = 0.1, temperature: float = 0.07, group_size: int | None = None):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'the temperature must be positive, found {temperature}')
        if group_size is not None and group_size < 1:
            raise ValueError(f'group_size must be a positive number of samples, found {group_size}')
        self.loss_weight = loss_weight
        self.temperature = temperature
        self.group_size = group_size

    def forward(self, z: torch.Tensor, labels: torch.Tensor, real: int) -> torch.Tensor:
        """Weighted loss of unit projections z (B, d) with labels (B,)."""
        with torch.autocast(z.device.type, enabled=False):
            size = self.group_size or len(z)
            parts = [
                real_anchor_contrastive(z[i : i + size], labels[i : i + size], real, self.temperature)
                for i in range(0, len(z), size)
            ]
            return self.loss_weight * torch.stack(parts).mean()
