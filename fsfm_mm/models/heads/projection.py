"""Projector and predictor of the instance-discrimination branch."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import nn

from fsfm_mm.models.layers import init_transformer
from fsfm_mm.registry import MODELS


@MODELS.register_module()
class ProjectionMLP(BaseModule):
    """Linear, LayerNorm, ReLU, Linear (FSFM section 3.2): D -> 4096 -> 256, and 256 -> 4096 -> 256.

    Args:
        in_dim: Width of the input.
        hidden_dim: Width of the hidden layer.
        out_dim: Width of the output.
        init_cfg: mmengine's.
    """

    def __init__(self, in_dim: int, hidden_dim: int = 4096, out_dim: int = 256, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.out_dim = out_dim
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.norm = nn.LayerNorm(hidden_dim)  # torch's default eps, unlike the transformer's
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden_dim, out_dim)
        init_transformer(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project (N, in_dim) to (N, out_dim)."""
        return self.fc2(self.act(self.norm(self.fc1(x))))
