"""MAE on faces: the masked image modelling half of FSFM, and the baseline."""

from __future__ import annotations

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor

from fsfm_mm.models.contracts import build_loss, check_backbone, check_backbone_type
from fsfm_mm.models.layers import compile_blocks, token
from fsfm_mm.models.losses.reconstruction import (
    MaskedReconstructionLoss,
    RegionReconstructionLoss,
    patch_errors,
    patch_targets,
)
from fsfm_mm.ops.patches import gather_tokens, patchify, restore_order, split_mask, unpatchify
from fsfm_mm.registry import MODELS
from fsfm_mm.structures import TokenSplit


@MODELS.register_module()
class FaceMAE(BaseSelfSupervisor):
    """Masked autoencoder with a mask from the data pipeline (MAE; FSFM section 3.1).

    Args:
        backbone: Encoder, e.g. ``dict(type='FusedAttentionViT', arch='base')``.
        pixel_decoder: ``dict(type='MAEPixelDecoder', ...)``; sizes that follow from the encoder are
            filled in.
        loss_rec: Loss over the hidden patches.
        loss_region: Loss over the covered region, or None.
        norm_pix: Standardise the pixel targets per patch.
        data_preprocessor: ``dict(type='FaceDataPreprocessor', stats=...)``.
        compile_blocks: Compile the transformer blocks (worth it on CUDA).
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        backbone: dict,
        pixel_decoder: dict,
        loss_rec: dict | None = None,
        loss_region: dict | None = None,
        norm_pix: bool = True,
        data_preprocessor: dict | None = None,
        compile_blocks: bool = False,
        init_cfg: dict | None = None,
    ):
        if data_preprocessor is None:
            data_preprocessor = dict(type='FaceDataPreprocessor', stats='imagenet')
        check_backbone_type(backbone)
        super().__init__(backbone, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        check_backbone(self.backbone)
        vit = self.backbone
        self.patch_size, self.grid = vit.patch_size, vit.grid
        self.norm_pix = norm_pix
        self.mask_token = token(vit.embed_dims)
        self.pixel_decoder = MODELS.build(
            pixel_decoder,
            default_args=dict(
                in_dim=vit.embed_dims, grid=vit.grid, patch_dim=vit.patch_size**2 * vit.in_channels
            ),
        )
        loss_rec = loss_rec or dict(type='MaskedReconstructionLoss')
        self.loss_rec = build_loss(loss_rec, 'model.loss_rec', 1, MaskedReconstructionLoss)
        self.loss_region = None
        if loss_region:
            self.loss_region = build_loss(loss_region, 'model.loss_region', 2, RegionReconstructionLoss)
        self._compile = compile_blocks

    def init_weights(self) -> None:
        """Load what ``init_cfg`` names (fresh weights are drawn at construction), then compile."""
        super().init_weights()
        if self._compile:
            compile_blocks(self)

    def forward(
        self,
        inputs: torch.Tensor,
        mask: torch.Tensor | None = None,
        region_mask: torch.Tensor | None = None,
        num_masked: int | None = None,
        data_samples: list | None = None,
        mode: str = 'tensor',
    ):
        """Mmengine's single entry.

        Args:
            inputs: Normalised images (N, 3, H, W).
            mask: bool (N, L), True = hidden; needed for 'loss'.
            region_mask: bool (N, L), the covered region, a subset of ``mask``.
            num_masked: Hidden patches per image, when known (saves a wait on a GPU).
            data_samples: Ignored; mmpretrain's signature.
            mode: 'loss' for a dict of losses, 'tensor' for the backbone's features.

        Raises:
            ValueError: For another mode, or for 'loss' without a mask.
        """
        if mode == 'tensor':
            return self.extract_feat(inputs)
        if mode != 'loss':
            raise ValueError(f"mode must be 'loss' or 'tensor', found {mode!r}")
        if mask is None:
            raise ValueError(
                "the batch has no 'mask': put a mask transform such as dict(type='CRFRPMask') before "
                "dict(type='PackFaces') in the pipeline"
            )
        return self.loss(inputs, mask, region_mask, num_masked)

    def patches_and_split(
        self, inputs: torch.Tensor, mask: torch.Tensor, num_masked: int | None = None
    ) -> tuple[torch.Tensor, TokenSplit]:
        """Patches (N, L, p*p*C) of normalised images, and the split that their mask makes.

        Raises:
            ValueError: When image, mask and model do not have the same patch grid.
        """
        patches = patchify(inputs, self.patch_size)
        num_patches = self.grid[0] * self.grid[1]
        if patches.shape[1] != num_patches or mask.shape[1] != num_patches:
            raise ValueError(
                f'the model has {num_patches} patches ({self.grid[0]}x{self.grid[1]} of {self.patch_size} pixels), '
                f'but the images have {patches.shape[1]} and the masks {mask.shape[1]}: '
                'make img_size and patch_size of model and pipeline agree'
            )
        return patches, split_mask(mask, num_masked)

    def loss(
        self,
        inputs: torch.Tensor,
        mask: torch.Tensor,
        region_mask: torch.Tensor | None = None,
        num_masked: int | None = None,
    ) -> dict[str, torch.Tensor]:
        """Weighted losses of a batch; arguments as in :meth:`forward`."""
        patches, split = self.patches_and_split(inputs, mask, num_masked)
        latent = self.backbone.encode(patches, split)
        return self.reconstruction_losses(patches, latent, split, region_mask)

    def reconstruction_losses(
        self,
        patches: torch.Tensor,
        latent: torch.Tensor,
        split: TokenSplit,
        region_mask: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """Losses of the pixels predicted for the hidden patches (N, K)."""
        pred = self.pixel_decoder(latent, split, self.mask_token)
        targets = patch_targets(gather_tokens(patches, split.masked), self.norm_pix)
        errors = patch_errors(pred, targets)
        losses = {'loss_rec': self.loss_rec(errors)}
        if self.loss_region is not None:
            if region_mask is None:
                raise ValueError(
                    "loss_region needs 'region_mask' in the batch: use a mask transform that makes one"
                )
            losses['loss_region'] = self.loss_region(errors, region_mask.gather(1, split.masked))
        return losses

    @torch.no_grad()
    def reconstruct(self, inputs: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Pictures of what the model sees and predicts.

        Args:
            inputs: Normalised images (N, 3, H, W).
            mask: bool (N, L), True = hidden.

        Returns:
            ``original``, ``masked`` (hidden patches gray) and ``reconstructed`` (visible patches as they
            are), each float (N, 3, H, W) on the 0..1 scale. With ``norm_pix`` the prediction is scaled
            by the true mean and deviation of each patch, as is customary for MAE; what that gives away is
            ``given``, the picture that a model which predicts nothing would leave.
        """
        patches, split = self.patches_and_split(inputs, mask)
        pred = self.pixel_decoder(self.backbone.encode(patches, split), split, self.mask_token).float()
        hidden = gather_tokens(patches, split.masked).float()
        given = None
        if self.norm_pix:
            var, mean = torch.var_mean(hidden, dim=-1, keepdim=True, correction=1)
            pred, given = pred * (var + 1e-6).sqrt() + mean, mean.expand_as(pred)
        visible = gather_tokens(patches, split.visible).float()

        def picture(hidden_patches: torch.Tensor) -> torch.Tensor:
            tokens = restore_order(torch.cat([visible, hidden_patches], dim=1), split)
            image = unpatchify(tokens, self.patch_size, self.grid)
            return self.data_preprocessor.denormalise(image).clamp(0, 1)

        gray = patchify(self.data_preprocessor.normalise(torch.full_like(inputs, 0.5)), self.patch_size)
        return {
            'original': picture(hidden),
            'masked': picture(gather_tokens(gray, split.masked).float()),
            **({} if given is None else {'given': picture(given)}),
            'reconstructed': picture(pred),
        }
