"""Backbones."""

from fsfm_mm.models.backbones.fused_attention_vit import FusedAttentionViT

__all__ = ['FusedAttentionViT']
