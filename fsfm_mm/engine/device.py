"""Where a command computes: ``--device``, before anything has looked for devices."""

from __future__ import annotations

import os


def choose_device(name: str | None) -> None:
    """Let this process compute on the CPU although there is a GPU, or insist on one.

    Args:
        name: 'cpu', 'cuda', or None for what there is.

    Raises:
        ValueError: 'cuda', and torch finds no CUDA device.
    """
    if name is None:
        return
    if name == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # torch and mmengine look here first
    import torch
    from mmengine.device import utils

    if name == 'cpu':
        utils.DEVICE = 'cpu'
    elif not torch.cuda.is_available():
        raise ValueError(f'--device {name}: torch {torch.__version__} finds no CUDA device: use --device cpu')
