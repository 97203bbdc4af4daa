"""What the parts of a model must be able to do, asked before they are built, so that a wrong one is named."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModel
from mmengine.registry import Registry
from mmpretrain.models.classifiers import BaseClassifier

from fsfm_mm.registry import MODELS
from fsfm_mm.text import did_you_mean, few

#: What pretraining asks of a backbone: docs/custom_backbone.md.
BACKBONE = {
    'encode': 'encode(patches, split=None)',
    'patch_size': 'patch_size',
    'grid': 'grid',
    'in_channels': 'in_channels',
    'embed_dims': 'embed_dims',
}


def build_loss(settings: Mapping[str, Any], name: str, inputs: int, base: type) -> Any:
    """Build a loss of a self-supervisor.

    Args:
        settings: With ``type``.
        name: Of the setting, for messages: 'model.loss_sim'.
        inputs: Number of tensors that it is called with.
        base: What its likes here derive from, for the names that are offered.

    Raises:
        ValueError: The type is no loss that takes so many tensors: a whole model, say.
    """
    kind = _registered(settings)
    if kind is not None and (issubclass(kind, BaseModel) or not _takes(kind, inputs)):
        losses = sorted(
            known
            for known, found in _all_models().items()
            if inspect.isclass(found) and issubclass(found, base)
        )
        near = did_you_mean(kind.__name__, losses) or f': there are {few(losses, 8)}'
        raise ValueError(
            f'{name}.type {settings["type"]} is no loss of {inputs} tensor{"s" * (inputs > 1)}{near}'
        )
    return MODELS.build(settings)


def check_backbone_type(settings: Mapping[str, Any]) -> None:
    """Refuse a backbone that cannot encode visible patches, before its other settings are read.

    Raises:
        ValueError: Its class has no method ``encode``.
    """
    kind = _registered(settings)
    if kind is None or hasattr(kind, 'encode'):
        return
    able = sorted(
        name for name, found in _all_models().items() if inspect.isclass(found) and hasattr(found, 'encode')
        and hasattr(found, 'get_layer_depth')
    )  # fmt: skip
    raise ValueError(
        f'model.backbone.type {settings["type"]} cannot be pretrained: it has no encode(patches, split=None) '
        f'(docs/custom_backbone.md); {few(able)} can'
    )


def check_backbone(backbone: Any) -> None:
    """Refuse a backbone that lacks a part of what pretraining asks of it.

    Raises:
        ValueError: The parts that are missing, by name.
    """
    missing = [text for name, text in BACKBONE.items() if getattr(backbone, name, None) is None]
    if missing:
        raise ValueError(
            f'model.backbone.type {type(backbone).__name__} has no {", ".join(missing)}: pretraining needs '
            f'{", ".join(BACKBONE.values())} (docs/custom_backbone.md)'
        )


def check_head(model: Any) -> None:
    """Refuse a classifier whose head is none: a loss, say.

    Args:
        model: Any model. Only classifiers are looked at: what other models call their head is their own affair.

    Raises:
        ValueError: The head has no ``loss`` or no ``predict``.
    """
    head = getattr(model, 'head', None) if isinstance(model, BaseClassifier) else None
    missing = [] if head is None else [name for name in ('loss', 'predict') if not hasattr(head, name)]
    if missing:
        heads = sorted(
            name for name, found in _all_models().items() if hasattr(found, 'predict') and hasattr(found, 'loss')
            and not issubclass(found, BaseModel)
        )  # fmt: skip
        kind = type(head).__name__
        raise ValueError(
            f'model.head.type {kind} is no head: it has no {" and no ".join(missing)}'
            + (did_you_mean(kind, heads) or '; there are ClsHead, LinearClsHead and those of fsfm_mm.models')
        )


def _registered(settings: Mapping[str, Any]) -> type | None:
    """The class that a type names; None where there is none, which building says, or no class."""
    kind = settings.get('type') if isinstance(settings, Mapping) else None
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    return found if inspect.isclass(found) else None


def _all_models() -> dict[str, Any]:
    registry: Registry | None = MODELS
    found: dict[str, Any] = {}
    while registry is not None:
        found = {**registry.module_dict, **found}
        registry = registry.parent
    return found


def _takes(kind: type, inputs: int) -> bool:
    forward = getattr(kind, 'forward', kind.__call__)
    try:
        inspect.signature(forward).bind(*range(inputs + 1))
    except TypeError:
        return False
    return True
