"""Multi-head self-attention with a fused kernel, an explicit path beside it, and partial queries."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from fsfm_mm.ops.precision import prefers_fused_attention


def explicit_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Softmax attention written out: ``softmax(q k^T / sqrt(d)) v``.

    Args:
        q: (N, heads, Lq, d).
        k: (N, heads, L, d).
        v: (N, heads, L, d).

    Returns:
        (N, heads, Lq, d).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return scores.softmax(dim=-1).to(v.dtype) @ v


class Attention(nn.Module):
    """Self-attention with timm's parameter names (``qkv``, ``proj``).

    Args:
        dim: Token width D, divisible by ``num_heads``.
        num_heads: Number of heads.
        qkv_bias: Whether ``qkv`` has a bias.
        fused: True for torch's fused kernel, False for explicit softmax, None to choose per device and
            dtype (:func:`fsfm_mm.ops.precision.prefers_fused_attention`). Same numbers either way.

    Raises:
        ValueError: When the width is not divisible by the number of heads.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True, fused: bool | None = None):
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'the width {dim} is not divisible by num_heads={num_heads}')
        self.dim = dim
        self.num_heads = num_heads
        self.fused = fused
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def _heads(self, tokens: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
        n, length, _ = tokens.shape
        tokens = tokens.reshape(n, length, count, self.num_heads, self.dim // self.num_heads)
        return tokens.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: torch.Tensor, first_query: int = 0) -> torch.Tensor:
        """Attend over all tokens.

        Args:
            x: (N, L, D).
            first_query: Compute outputs for tokens ``first_query:`` only; keys and values always come
                from all of them.

        Returns:
            (N, L - first_query, D).
        """
        if first_query == 0:
            q, k, v = self._heads(self.qkv(x), 3)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            q_bias, kv_bias = (None, None) if bias is None else (bias[: self.dim], bias[self.dim :])
            (q,) = self._heads(F.linear(x[:, first_query:], weight[: self.dim], q_bias), 1)
            k, v = self._heads(F.linear(x, weight[self.dim :], kv_bias), 2)
        fused = prefers_fused_attention(q.device.type, q.dtype) if self.fused is None else self.fused
        out = F.scaled_dot_product_attention(q, k, v) if fused else explicit_attention(q, k, v)
        return self.proj(out.transpose(1, 2).flatten(2))
