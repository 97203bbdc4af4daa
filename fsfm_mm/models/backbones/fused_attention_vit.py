"""The ViT of fsfm_mm: an ordinary mm backbone that can also encode visible patches only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from mmpretrain.models.utils import resize_pos_embed
from timm.layers import DropPath
from torch import nn

from fsfm_mm.models.layers import (
    LAYER_NORM_EPS,
    Block,
    PatchEmbed,
    init_transformer,
    position_table,
    resize_positions_on_load,
    token,
)
from fsfm_mm.ops.patches import gather_tokens, patchify, split_mask
from fsfm_mm.registry import MODELS
from fsfm_mm.structures import TokenSplit

#: Architectures as (embed_dim, depth, num_heads). 'small' has FS-VFM's 12 heads (timm's has 6);
#: 'huge' is meant for patch_size=14.
ARCHS: dict[str, tuple[int, int, int]] = {
    'tiny': (192, 12, 3),
    'small': (384, 12, 12),
    'base': (768, 12, 12),
    'large': (1024, 24, 16),
    'huge': (1280, 32, 16),
}
OUT_TYPES = ('raw', 'cls_token', 'featmap', 'avg_featmap', 'pooled_tokens')
#: Those with a norm over the mean of the patch tokens.
POOLED = ('avg_featmap', 'pooled_tokens')


def resolve_arch(arch: str | dict) -> tuple[int, int, int]:
    """(embed_dim, depth, num_heads) of a name in :data:`ARCHS` (or its first letter) or of a dict.

    Raises:
        ValueError: For an unknown name or a dict with other keys.
    """
    if isinstance(arch, dict):
        keys = ('embed_dim', 'depth', 'num_heads')
        if set(arch) != set(keys):
            raise ValueError(f'an architecture dict has the keys {keys}, found {tuple(arch)}')
        return arch['embed_dim'], arch['depth'], arch['num_heads']
    for name, values in ARCHS.items():
        if arch.lower() in (name, name[0]):
            return values
    raise ValueError(f'unknown architecture {arch!r}: choose one of {tuple(ARCHS)} or give a dict')


@MODELS.register_module()
class FusedAttentionViT(BaseBackbone):
    """Vision transformer with fused attention, fixed sin-cos positions and timm's parameter names.

    Without a mask it is an ordinary mm backbone; with one it encodes the visible patches only, as MAE
    and FSFM do in pretraining (FSFM section 3.2).

    Args:
        arch: 'tiny', 'small', 'base', 'large', 'huge' or a dict(embed_dim=, depth=, num_heads=).
        img_size: Side of the square input in pixels, or (height, width), that the position table is made
            for; other inputs get interpolated positions.
        patch_size: Side of a patch in pixels.
        in_channels: Input channels.
        mlp_ratio: Hidden width of the MLPs over the token width.
        qkv_bias: Whether the attention's ``qkv`` has a bias.
        drop_path_rate: Stochastic depth of the last block; rises linearly from 0 at the first.
        out_type: What each output is: 'raw' (N, 1+L, D); 'cls_token' (N, D); 'featmap' (N, D, h, w);
            'avg_featmap' (N, D), the mean of the patch tokens through ``fc_norm``; 'pooled_tokens'
            (N, 1+L, D), that mean in the class token's place before the patch tokens as they are (what the published
            anti-spoofing head reads).
        out_indices: Block(s) whose outputs to return, in block order; negative counts from the last.
        final_norm: Whether the last block's output passes ``norm``. None: yes, except for
            'avg_featmap' and 'pooled_tokens', whose ``fc_norm`` takes its place (as in timm and in the
            fine-tuned FSFM).
        frozen_stages: -1 trains everything; 0 freezes patch embedding, class token and positions;
            k also the first k blocks; depth also the last norm.
        frozen_drop_path: Whether stochastic depth stays active in frozen blocks while the model trains (FS-Adapter's
            published training); otherwise frozen blocks are in evaluation.
        trainable_positions: Whether the position table is learned (fine-tuning in the papers).
        fused: Attention kernel, see :class:`~fsfm_mm.models.layers.Attention`.
        with_cp: Activation checkpointing in every block, see :class:`~fsfm_mm.models.layers.Block`.
        init_cfg: mmengine's, e.g. ``dict(type='Pretrained', checkpoint=..., prefix='backbone.')``.

    Raises:
        ValueError: For unknown names, indices out of range, or sizes not divisible by the patch.
    """

    num_extra_tokens = 1

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.0,
        out_type: str = 'cls_token',
        out_indices: int | Sequence[int] = -1,
        final_norm: bool | None = None,
        frozen_stages: int = -1,
        frozen_drop_path: bool = False,
        trainable_positions: bool = False,
        fused: bool | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.embed_dims, self.depth, self.num_heads = resolve_arch(arch)
        if out_type not in OUT_TYPES:
            raise ValueError(f'out_type must be one of {OUT_TYPES}, found {out_type!r}')
        if patch_size < 1:
            raise ValueError(f'patch_size must be 1 or more, found {patch_size}')
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate must be in [0, 1), found {drop_path_rate}')
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        if height % patch_size or width % patch_size:
            raise ValueError(f'img_size {height}x{width} is not divisible by patch_size={patch_size}')
        if not -1 <= frozen_stages <= self.depth:
            raise ValueError(f'frozen_stages must be in [-1, {self.depth}], found {frozen_stages}')
        self.img_size = (height, width)
        self.patch_size = patch_size
        self.in_channels = in_channels
        self.grid = (height // patch_size, width // patch_size)
        self.out_type = out_type
        self.out_indices = self._resolve_indices(out_indices)
        self.frozen_stages = frozen_stages
        self.frozen_drop_path = frozen_drop_path

        self.cls_token = token(self.embed_dims)
        self.pos_embed = position_table(self.embed_dims, self.grid, trainable=trainable_positions)
        self.patch_embed = PatchEmbed(patch_size, in_channels, self.embed_dims)
        last = max(self.depth - 1, 1)
        self.blocks = nn.ModuleList(
            Block(
                self.embed_dims,
                self.num_heads,
                mlp_ratio,
                qkv_bias,
                drop_path_rate * i / last,
                fused,
                with_cp,
            )
            for i in range(self.depth)
        )
        self.final_norm = out_type not in POOLED if final_norm is None else final_norm
        if self.final_norm:
            self.norm = nn.LayerNorm(self.embed_dims, eps=LAYER_NORM_EPS)
        if out_type in POOLED:
            self.fc_norm = nn.LayerNorm(self.embed_dims, eps=LAYER_NORM_EPS)
        init_transformer(self)
        self._freeze_stages()
        resize_positions_on_load(self)

    def _resolve_indices(self, out_indices: int | Sequence[int]) -> tuple[int, ...]:
        wanted = [out_indices] if isinstance(out_indices, int) else list(out_indices)
        resolved = tuple(self.depth + i if i < 0 else i for i in wanted)
        in_range = all(0 <= i < self.depth for i in resolved)
        if not resolved or not in_range or len(set(resolved)) < len(resolved):
            raise ValueError(f'out_indices {wanted} must name different blocks of 0..{self.depth - 1}')
        return resolved

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """Features of images.

        Args:
            x: Normalised images (N, C, H, W), H and W divisible by the patch size.
            mask: bool (N, L), True = hidden; only the visible patches are then encoded.

        Returns:
            One tensor per ``out_indices``, of the form that ``out_type`` says. With a mask the L patch
            tokens are the visible ones, in ascending order.

        Raises:
            ValueError: When 'featmap' is asked of masked images, or the mask's grid is not the image's.
        """
        grid = (x.shape[-2] // self.patch_size, x.shape[-1] // self.patch_size)
        patches = patchify(x, self.patch_size)
        split = None
        if mask is not None:
            if self.out_type == 'featmap':
                raise ValueError("out_type='featmap' has no meaning for masked images: use 'raw'")
            if mask.shape != patches.shape[:2]:
                raise ValueError(
                    f'a mask of {tuple(patches.shape[:2])} was expected, found {tuple(mask.shape)}'
                )
            split = split_mask(mask)
        tokens = self.embed(patches, split, grid)
        outs = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens)
            if i == self.depth - 1 and self.final_norm:
                tokens = self.norm(tokens)
            if i in self.out_indices:
                outs.append(self._format(tokens, grid))
        return tuple(outs)

    def embed(
        self, patches: torch.Tensor, split: TokenSplit | None = None, grid: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """Tokens that enter the first block: [class, patches], positions added.

        Args:
            patches: (N, L, p*p*C) from :func:`~fsfm_mm.ops.patches.patchify`.
            split: Embed its visible patches only.
            grid: Patch grid when it is not the one the position table was made for.

        Returns:
            (N, 1 + L, D), or (N, 1 + visible, D) with a split.
        """
        table = self.pos_embed
        if grid is not None and grid != self.grid:
            table = resize_pos_embed(table, self.grid, grid, 'bicubic', self.num_extra_tokens)
        positions = table[:, 1:]
        if split is not None:
            patches = gather_tokens(patches, split.visible)
            positions = gather_tokens(positions, split.visible)
        tokens = self.patch_embed(patches) + positions
        class_token = (self.cls_token + table[:, :1]).expand(tokens.shape[0], -1, -1)
        return torch.cat([class_token.to(tokens.dtype), tokens], dim=1)

    def encode(self, patches: torch.Tensor, split: TokenSplit | None = None) -> torch.Tensor:
        """All blocks and the final norm over ready-made patches, as pretraining needs it.

        Args:
            patches: (N, L, p*p*C) of the grid that the position table was made for.
            split: Encode its visible patches only.

        Returns:
            (N, 1 + L, D), or (N, 1 + visible, D) with a split.
        """
        tokens = self.embed(patches, split)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens) if self.final_norm else tokens

    def _format(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        if self.out_type == 'raw':
            return tokens
        if self.out_type == 'cls_token':
            return tokens[:, 0]
        patch_tokens = tokens[:, 1:]
        if self.out_type in POOLED:
            pooled = self.fc_norm(patch_tokens.mean(dim=1))
            return (
                pooled
                if self.out_type == 'avg_featmap'
                else torch.cat([pooled[:, None], patch_tokens], dim=1)
            )
        return patch_tokens.transpose(1, 2).unflatten(2, grid)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Layer of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Name of the parameter in the whole model.
            prefix: Name of this backbone in it, with the dot.

        Returns:
            (layer, number of layers): 0 for what comes before the blocks, i + 1 for block i, the last
            (depth + 1) for the norms after them and for everything outside the backbone.
        """
        num_layers = self.depth + 2
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        name = param_name[len(prefix) :]
        if name in ('cls_token', 'pos_embed') or name.startswith('patch_embed.'):
            return 0, num_layers
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, num_layers
        return num_layers - 1, num_layers

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        modules: list[nn.Module] = [self.patch_embed, *self.blocks[: self.frozen_stages]]
        if self.frozen_stages == self.depth:
            modules += [getattr(self, name) for name in ('norm', 'fc_norm') if hasattr(self, name)]
        return modules

    def _freeze_stages(self) -> None:
        for module in self._frozen_modules():
            module.eval()
            module.requires_grad_(False)
        if self.frozen_stages >= 0:
            self.cls_token.requires_grad_(False)
            self.pos_embed.requires_grad_(False)

    def train(self, mode: bool = True) -> FusedAttentionViT:
        """Set training mode; frozen stages stay in evaluation mode, but for their stochastic depth where asked for."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
            for child in module.modules() if self.frozen_drop_path else ():
                if isinstance(child, DropPath):
                    child.train(mode)
        return self
