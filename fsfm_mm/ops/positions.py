"""Fixed two-dimensional sine-cosine position tables (MAE, MoCo v3)."""

from __future__ import annotations

import numpy as np


def _sincos_1d(dim: int, positions: np.ndarray) -> np.ndarray:
    omega = 1.0 / 10000 ** (np.arange(dim // 2, dtype=np.float64) / (dim / 2.0))
    angles = positions.reshape(-1)[:, None] * omega[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def sincos_2d(embed_dim: int, grid: tuple[int, int], class_token: bool = True) -> np.ndarray:
    """Position table of a patch grid: first half of the channels by column, second half by row.

    Args:
        embed_dim: Width D, divisible by 4.
        grid: Patches per column and per row, (h, w).
        class_token: Put a row of zeros first, for the class token.

    Returns:
        float64 (h*w, D), or (1 + h*w, D) with a class token; row-major over the grid.

    Raises:
        ValueError: When ``embed_dim`` is not divisible by 4.
    """
    if embed_dim % 4:
        raise ValueError(f'a 2-D sin-cos table needs a width divisible by 4, found {embed_dim}')
    rows, columns = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing='ij')
    half = embed_dim // 2
    table = np.concatenate([_sincos_1d(half, columns), _sincos_1d(half, rows)], axis=1)
    if class_token:
        table = np.concatenate([np.zeros((1, embed_dim)), table])
    return table
