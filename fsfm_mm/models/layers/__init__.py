"""Layers shared by the backbone and the decoders."""

from .attention import Attention, explicit_attention
from .block import LAYER_NORM_EPS, Block, compile_blocks
from .init import init_transformer, position_table, token
from .patch_embed import PatchEmbed

__all__ = [
    'LAYER_NORM_EPS',
    'Attention',
    'Block',
    'PatchEmbed',
    'compile_blocks',
    'explicit_attention',
    'init_transformer',
    'position_table',
    'token',
]
