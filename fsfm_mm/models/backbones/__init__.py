"""Backbones."""

from .fused_attention_vit import FusedAttentionViT

__all__ = ['FusedAttentionViT']
