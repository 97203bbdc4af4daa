"""FSFM in one plain module with the library's parameter names, so that weights can be handed over."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from fsfm_mm.models.heads import ProjectionMLP
from fsfm_mm.models.losses import SimSiamLoss
from fsfm_mm.models.selfsup import FSFM
from plain.modules import PlainEncoder, PlainPixelDecoder, PlainRepDecoder


def plain_patchify(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Patches (N, L, p*p*3) of images (N, 3, H, W), each in (row, column, channel) order."""
    n, c, height, width = images.shape
    p, h, w = patch_size, height // patch_size, width // patch_size
    x = images.reshape(n, c, h, p, w, p)
    return torch.einsum('nchpwq->nhwpqc', x).reshape(n, h * w, p * p * c)


class PlainFSFM(nn.Module):
    """The 3C objective as a typical research script computes it; the same numbers as the library's FSFM.

    Every patch is embedded and predicted, tokens are gathered and un-shuffled, softmax is written out, and
    the losses multiply by masks. Sizes and weights are those of a model of the library.

    Args:
        model: With SimSiam's similarity loss and a region loss, as in the paper.

    Raises:
        ValueError: For another similarity loss, or without a region loss.
    """

    def __init__(self, model: FSFM):
        super().__init__()
        if not isinstance(model.loss_sim, SimSiamLoss) or model.loss_region is None:
            raise ValueError(
                "the plain arm has the paper's losses only: the model needs loss_sim SimSiamLoss and a "
                f'loss_region, found {type(model.loss_sim).__name__} and {type(model.loss_region).__name__}'
            )
        vit, pixel, rep = model.backbone, model.pixel_decoder, model.rep_decoder
        dim, num_patches = vit.embed_dims, vit.grid[0] * vit.grid[1]
        self.patch_size, self.norm_pix = vit.patch_size, model.norm_pix
        self.region_weight = model.loss_region.loss_weight
        self.rec_weight, self.sim_weight = model.loss_rec.loss_weight, model.loss_sim.loss_weight
        self.backbone = PlainEncoder(dim, vit.depth, vit.num_heads, num_patches, vit.patch_size)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pixel_decoder = PlainPixelDecoder(*_sizes(pixel), num_patches, pixel.pred.out_features)
        self.rep_decoder = PlainRepDecoder(*_sizes(rep), num_patches, dim)
        self.projector = _head(model.projector)
        self.predictor = _head(model.predictor)
        parts = dict(backbone=self.backbone, rep_decoder=self.rep_decoder, projector=self.projector)
        self.target = nn.ModuleDict(copy.deepcopy(parts)).requires_grad_(False)
        self.load_state_dict(model.state_dict())
        self.to(next(model.parameters()).device)

    def forward(
        self, images: torch.Tensor, mask: torch.Tensor, region_mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Weighted losses of a batch.

        Args:
            images: Normalised float (N, 3, H, W).
            mask: bool (N, L), True = hidden.
            region_mask: bool (N, L), the covered region.

        Returns:
            ``loss_rec``, ``loss_region`` and ``loss_sim``.
        """
        ids_shuffle = mask.int().argsort(dim=1, stable=True)
        ids_restore = ids_shuffle.argsort(dim=1)
        ids_keep = ids_shuffle[:, : int((~mask[0]).sum())]
        latent = self.backbone(images, ids_keep)
        errors = self.patch_errors(images, self.pixel_decoder(latent, self.mask_token, ids_restore))
        online = self.rep_decoder(latent, self.mask_token, ids_restore)
        q, z = self.predictor(self.projector(online)), self.project(images)
        mask, region_mask = mask.to(errors.dtype), region_mask.to(errors.dtype)
        return {
            'loss_rec': self.rec_weight * (errors * mask).sum() / mask.sum(),
            # a batch without any region divides by 1, as in the library
            'loss_region': self.region_weight * (errors * region_mask).sum() / region_mask.sum().clamp(min=1),
            'loss_sim': self.sim_weight * -0.5 * F.cosine_similarity(q.float(), z.float(), dim=1).mean(),
        }

    @torch.no_grad()
    def project(self, images: torch.Tensor) -> torch.Tensor:
        """The target network's projection (N, d) of whole faces (N, 3, H, W)."""
        target = self.target
        return target['projector'](target['rep_decoder'](target['backbone'](images)))

    def patch_errors(self, images: torch.Tensor, pred: torch.Tensor) -> torch.Tensor:
        """Mean squared error (N, L) of the prediction (N, L, p*p*3) of every patch."""
        target = plain_patchify(images, self.patch_size)
        if self.norm_pix:
            mean, var = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
            target = (target - mean) / (var + 1e-6) ** 0.5
        return ((pred - target) ** 2).mean(dim=-1)


def _sizes(decoder: Any) -> tuple[int, int, int, int]:
    """Widths of a decoder's input and tokens, its blocks and their heads."""
    embed, blocks = decoder.embed, decoder.blocks
    return embed.in_features, embed.out_features, len(blocks), blocks[0].attn.num_heads


def _head(head: ProjectionMLP) -> nn.Sequential:
    """Projector or predictor: linear, LayerNorm, ReLU, linear."""
    dim, hidden, out = head.fc1.in_features, head.fc1.out_features, head.fc2.out_features
    layers = dict(
        fc1=nn.Linear(dim, hidden), norm=nn.LayerNorm(hidden), act=nn.ReLU(), fc2=nn.Linear(hidden, out)
    )
    return nn.Sequential(OrderedDict(layers))
