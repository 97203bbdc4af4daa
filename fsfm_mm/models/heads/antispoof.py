"""The face anti-spoofing head: an embedding of moderated length, compared with one direction a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from torch import nn

from fsfm_mm.registry import MODELS

NORM_AXES = ('feature', 'token')


def root_norm(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Divide x by ``sqrt(2 * L2 norm)`` along one axis; vectors keep a length of sqrt(norm / 2)."""
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / (2 * norm.clamp(min=1e-12)).sqrt()


@MODELS.register_module()
class AntiSpoofHead(ClsHead):
    """Linear, ReLU, dropout, division by sqrt(2 * L2 norm), and unit class vectors without bias.

    Two kinds of input, by what the norm is taken over:

    - ``norm_axis='feature'`` (default, and what the formula is for): a pooled feature (N, D). Each sample's
      embedding is divided by the square root of twice its own length over the 512 features.
    - ``norm_axis='token'``: all tokens (N, 1 + L, D), from a backbone with ``out_type='raw'``. Each of the
      512 features is divided by the square root of twice its length *over the tokens of the image*, and the
      class token's row goes on. This is the published full fine-tuning's slip: code written for (N, 512)
      normalises axis 1, which is the token axis once the backbone hands on all tokens. It is kept for
      comparing with, and for converting, such weights. That the class token is the row which is read
      there is our assumption; the published recipe does not say.

    Args:
        in_channels: Width D.
        num_classes: Number of classes.
        hidden_dim: Width of the embedding.
        dropout: Probability of dropping a feature in training.
        norm_axis: One of :data:`NORM_AXES`.
        **kwargs: ``loss``, ``topk``, ``cal_acc``, ``init_cfg`` of mmpretrain's ClsHead.

    Raises:
        ValueError: For another ``norm_axis``, or features of another rank than it needs.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int = 2,
        hidden_dim: int = 512,
        dropout: float = 0.5,
        norm_axis: str = 'feature',
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if norm_axis not in NORM_AXES:
            raise ValueError(f'norm_axis must be one of {NORM_AXES}, found {norm_axis!r}')
        self.num_classes = num_classes
        self.norm_axis = norm_axis
        self.bottleneck = nn.Linear(in_channels, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden_dim, num_classes, bias=False)
        nn.init.normal_(self.bottleneck.weight, std=0.005)
        nn.init.constant_(self.bottleneck.bias, 0.1)

    def pre_logits(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """Embedding (N, hidden_dim) of the last stage's features, (N, D) or (N, 1 + L, D)."""
        x = feats[-1]
        rank = 2 if self.norm_axis == 'feature' else 3
        if x.ndim != rank:
            wanted = 'pooled features (N, D)' if rank == 2 else "tokens (N, 1 + L, D), out_type='raw'"
            raise ValueError(
                f'norm_axis={self.norm_axis!r} needs {wanted}, found a shape of {tuple(x.shape)}'
            )
        x = root_norm(self.dropout(F.relu(self.bottleneck(x))), dim=1)
        return x if rank == 2 else x[:, 0]

    def forward(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (N, classes): the embedding's component along each class's unit vector."""
        return F.linear(self.pre_logits(feats), F.normalize(self.fc.weight, dim=1))
