"""FSFM in one plain module with the library's parameter names, so that weights can be handed over."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from fsfm_mm.models.heads import ProjectionMLP
from fsfm_mm.models.losses import SimSiamLoss
from fsfm_mm.models.selfsup import FSFM
from plain.modules import (
    PlainEncoder,
    PlainHead,
    PlainPixelDecoder,
    PlainRepDecoder,
)


class PlainTarget(nn.Module):
    """Encoder, rep decoder and projector of the target network.

    Args:
        backbone: Copied.
        rep_decoder: Copied.
        projector: Copied.
    """

    def __init__(self, backbone: PlainEncoder, rep_decoder: PlainRepDecoder, projector: PlainHead):
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        self.rep_decoder = copy.deepcopy(rep_decoder)
        self.projector = copy.deepcopy(projector)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Projection (N, d) of whole faces (N, 3, H, W)."""
        return self.projector(self.rep_decoder(self.backbone(images)))


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
        pixel_heads, rep_heads = (m.blocks[0].attn.num_heads for m in (pixel, rep))
        self.pixel_decoder = PlainPixelDecoder(
            dim,
            pixel.pred.in_features,
            len(pixel.blocks),
            pixel_heads,
            num_patches,
            pixel.pred.out_features,
        )
        self.rep_decoder = PlainRepDecoder(dim, len(rep.blocks), rep_heads, num_patches)
        self.projector = _head(model.projector)
        self.predictor = _head(model.predictor)
        self.target = PlainTarget(self.backbone, self.rep_decoder, self.projector)
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
        q, z = self.predictor(self.projector(online)), self.target(images)
        mask, region_mask = mask.to(errors.dtype), region_mask.to(errors.dtype)
        return {
            'loss_rec': self.rec_weight * (errors * mask).sum() / mask.sum(),
            # a batch without any region divides by 1, as in the library
            'loss_region': self.region_weight * (errors * region_mask).sum() / region_mask.sum().clamp(min=1),
            'loss_sim': self.sim_weight * -0.5 * F.cosine_similarity(q.float(), z.float(), dim=1).mean(),
        }

    def patch_errors(self, images: torch.Tensor, pred: torch.Tensor) -> torch.Tensor:
        """Mean squared error (N, L) of the prediction (N, L, p*p*3) of every patch."""
        target = plain_patchify(images, self.patch_size)
        if self.norm_pix:
            mean, var = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
            target = (target - mean) / (var + 1e-6) ** 0.5
        return ((pred - target) ** 2).mean(dim=-1)


def _head(head: ProjectionMLP) -> PlainHead:
    return PlainHead(head.fc1.in_features, head.fc1.out_features, head.fc2.out_features)
