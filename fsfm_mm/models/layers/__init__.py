"""Layers shared by the backbone and the decoders."""

from fsfm_mm.models.layers.attention import Attention, explicit_attention
from fsfm_mm.models.layers.block import LAYER_NORM_EPS, Block, compile_blocks
from fsfm_mm.models.layers.init import init_transformer, position_table, resize_positions_on_load, token
from fsfm_mm.models.layers.patch_embed import PatchEmbed

__all__ = [
    'LAYER_NORM_EPS',
    'Attention',
    'Block',
    'PatchEmbed',
    'compile_blocks',
    'explicit_attention',
    'init_transformer',
    'position_table',
    'resize_positions_on_load',
    'token',
]
