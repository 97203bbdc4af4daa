"""FSFM: masked image modelling and instance discrimination on real faces."""

from __future__ import annotations

import torch

from fsfm_mm.models.contracts import build_loss
from fsfm_mm.models.losses.similarity import SimilarityLoss
from fsfm_mm.models.selfsup.face_mae import FaceMAE
from fsfm_mm.registry import MODELS


@MODELS.register_module()
class FSFM(FaceMAE):
    """The 3C objective of FSFM (CVPR 2025, section 3.3): ``L = L_rec^m + 0.007 L_rec^fr + 0.1 L_sim``.

    Args:
        backbone: Encoder, e.g. ``dict(type='FusedAttentionViT', arch='base')``.
        pixel_decoder: ``dict(type='MAEPixelDecoder', ...)``.
        rep_decoder: ``dict(type='SiameseRepDecoder', ...)``.
        projector: ``dict(type='ProjectionMLP', ...)``.
        predictor: ``dict(type='ProjectionMLP', ...)``, online only.
        target: ``dict(type='MomentumTarget', ...)``, built from the online modules. The hook
            ``MomentumUpdateHook`` moves it after each optimiser step.
        loss_sim: Similarity loss, e.g. ``dict(type='SimSiamLoss')``.
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
        rep_decoder: dict,
        projector: dict,
        predictor: dict,
        target: dict,
        loss_sim: dict,
        loss_rec: dict | None = None,
        loss_region: dict | None = None,
        norm_pix: bool = True,
        data_preprocessor: dict | None = None,
        compile_blocks: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(
            backbone,
            pixel_decoder,
            loss_rec,
            loss_region,
            norm_pix,
            data_preprocessor,
            compile_blocks,
            init_cfg,
        )
        vit = self.backbone
        self.rep_decoder = MODELS.build(rep_decoder, default_args=dict(in_dim=vit.embed_dims, grid=vit.grid))
        self.projector = MODELS.build(projector, default_args=dict(in_dim=vit.embed_dims))
        feature_dim = self.projector.out_dim
        self.predictor = MODELS.build(predictor, default_args=dict(in_dim=feature_dim, out_dim=feature_dim))
        online = dict(backbone=self.backbone, rep_decoder=self.rep_decoder, projector=self.projector)
        self.target = MODELS.build(target, default_args=dict(online=online))
        self.loss_sim = build_loss(loss_sim, 'model.loss_sim', 2, SimilarityLoss)
        self.register_load_state_dict_pre_hook(_start_target_from_online)

    def loss(
        self,
        inputs: torch.Tensor,
        mask: torch.Tensor,
        region_mask: torch.Tensor | None = None,
        num_masked: int | None = None,
    ) -> dict[str, torch.Tensor]:
        """Weighted losses of a batch; arguments as in :meth:`FaceMAE.forward`."""
        patches, split = self.patches_and_split(inputs, mask, num_masked)
        latent = self.backbone.encode(patches, split)
        losses = self.reconstruction_losses(patches, latent, split, region_mask)
        q, z = self.features(patches, latent, split)
        losses['loss_sim'] = self.loss_sim(q, z)
        return losses

    def features(self, patches, latent, split) -> tuple[torch.Tensor, torch.Tensor]:
        """The two sides of the similarity loss.

        Args:
            patches: Whole faces (N, L, p*p*C), for the target.
            latent: The online encoder's output (N, 1 + visible, D).
            split: Which patches are visible and masked.

        Returns:
            q, the online prediction, and z, the target's projection; both (N, d).
        """
        representation = self.rep_decoder(latent, split, self.mask_token)
        return self.predictor(self.projector(representation)), self.target(patches)


def _start_target_from_online(module: FSFM, state_dict: dict, prefix: str, *args) -> None:
    """Let the target start from the online weights when a checkpoint has none for it (e.g. MAE's)."""
    if module.target.start == 'random' or any(key.startswith(f'{prefix}target.') for key in state_dict):
        return
    for name in module.target.online_names:
        head = f'{prefix}{name}.'
        found = {key: value for key, value in state_dict.items() if key.startswith(head)}
        for key, value in found.items():
            state_dict[f'{prefix}target.{key[len(prefix) :]}'] = value.clone()
