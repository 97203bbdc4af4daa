"""Parameter groups: no decay on vectors, layer-wise learning rates, and as few groups as differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.optim import OptimWrapper
from mmengine.registry import build_from_cfg
from torch import nn

from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    no_decay: Sequence[str] = (),
    layer_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Trainable parameters by (learning-rate scale, weight decay), one group for each that occurs.

    One-dimensional parameters and biases are not decayed (MAE, FSFM section 4).

    Args:
        model: With ``layer_decay`` it must have ``get_layer_depth(name) -> (layer, layers)``.
        lr: Learning rate of the last layer.
        weight_decay: Weight decay of what is decayed.
        no_decay: Last parts of names that are not decayed either, e.g. ('cls_token', 'pos_embed') in
            fine-tuning.
        layer_decay: Factor d per layer: scale d ** (layers - 1 - layer). None for 1 everywhere.

    Returns:
        Groups with ``params``, ``lr``, ``weight_decay``, ``lr_scale`` and ``names``; the highest rate first.
    """
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        exempt = parameter.ndim <= 1 or name.endswith('.bias') or name.split('.')[-1] in no_decay
        decay = 0.0 if exempt else weight_decay
        scale = 1.0
        if layer_decay is not None:
            layer, layers = model.get_layer_depth(name)  # type: ignore[operator]
            scale = layer_decay ** (layers - 1 - layer)
        group = groups.setdefault(
            (scale, decay),
            dict(params=[], names=[], lr=lr * scale, lr_scale=scale, weight_decay=decay),
        )
        group['params'].append(parameter)
        group['names'].append(name)
    return sorted(groups.values(), key=lambda group: (-group['lr_scale'], -group['weight_decay']))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor:
    """Builds the optimiser over merged parameter groups (mmengine's makes one group a parameter).

    Args:
        optim_wrapper_cfg: ``dict(type=..., optimizer=dict(type='AdamW', lr=..., ...), ...)``.
        paramwise_cfg: ``dict(no_decay=(...), layer_decay=...)``, see :func:`parameter_groups`.

    Raises:
        ValueError: For other keys in ``paramwise_cfg``, or without a learning rate that is a number.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.wrapper_cfg.pop('optimizer'))
        self.paramwise_cfg = dict(paramwise_cfg or {})
        unknown = set(self.paramwise_cfg) - {'no_decay', 'layer_decay'}
        if unknown:
            raise ValueError(f"paramwise_cfg takes 'no_decay' and 'layer_decay', found {sorted(unknown)}")
        if 'lr' not in self.optimizer_cfg:
            raise ValueError("optim_wrapper.optimizer needs an 'lr'")
        if not isinstance(self.optimizer_cfg['lr'], int | float):
            raise ValueError(
                f'optim_wrapper.optimizer.lr must be a number, found {self.optimizer_cfg["lr"]!r}'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper for a model, which may be wrapped for distribution."""
        model = unwrapped(model)
        groups = parameter_groups(
            model, self.optimizer_cfg['lr'], self.optimizer_cfg.get('weight_decay', 0.0), **self.paramwise_cfg
        )
        for group in groups:
            del group['names']  # for readers of the function; not optimiser state
        optimizer = build_from_cfg({**self.optimizer_cfg, 'params': groups}, OPTIMIZERS)
        return OPTIM_WRAPPERS.build({**self.wrapper_cfg, 'optimizer': optimizer})
