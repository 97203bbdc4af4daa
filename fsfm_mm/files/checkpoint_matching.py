"""Whether a state dict is that of a model: names, shapes and kinds of numbers, and the sentence on what differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from fsfm_mm.text import few

#: Names that a sentence lists at most, where it is not told otherwise.
LISTED = 12
#: Share of a model's elements below which weights are taken for those of another model.
LEAST_SHARE = 0.75


def mismatch(
    own: Mapping[str, Any], found: Mapping[str, Any], most: int = LISTED, extra: str = 'not in this model'
) -> str:
    """What differs between a model's state dict and another.

    Args:
        own: The model's: tensors by name.
        found: The other; what has no shape is compared by its name.
        most: See :func:`differences`.
        extra: What to call names that the model does not have.

    Returns:
        E.g. '2 missing: head.weight, head.bias; 1 of another shape: pos_embed (1, 5, 32) instead of (1, 17, 32)';
        empty where nothing differs.
    """
    shapes = {key: tuple(getattr(value, 'shape', ())) for key, value in own.items()}
    other_numbers = [
        f'{key} {str(found[key].dtype).removeprefix("torch.")}'
        for key, value in own.items()
        if key in found and loses_numbers(value, found[key])
    ]
    theirs = {key: tuple(getattr(value, 'shape', ())) for key, value in found.items()}
    return differences(
        {
            'missing': [key for key in shapes if key not in theirs],
            extra: [key for key in theirs if key not in shapes],
            'of another shape': [
                f'{key} {theirs[key]} instead of {shape}'
                for key, shape in shapes.items()
                if theirs.get(key, shape) != shape
            ],
            'of numbers that are no weights': other_numbers,
        },
        most,
    )


def share_there(own: Mapping[str, Any], absent: Collection[str]) -> float:
    """Share of a model's elements that a checkpoint gives it: of its backbone's, where it has one.

    Args:
        own: The model's state dict.
        absent: Names in it that the checkpoint lacks, or has in another shape.

    Returns:
        In [0, 1]; what is above :data:`LEAST_SHARE` may be loaded.
    """
    part = [key for key in own if key.startswith('backbone.')] or list(own)
    lost = sum(own[key].numel() for key in part if key in absent)
    return 1 - lost / max(sum(own[key].numel() for key in part), 1)


def unlike(own: Mapping[str, Any], found: Mapping[str, Any]) -> set[str]:
    """Names in a model's state dict that another one lacks, or has in another shape or as no weights."""
    return {
        key
        for key, value in own.items()
        if getattr(found.get(key), 'shape', None) != value.shape or loses_numbers(value, found[key])
    }


def loses_numbers(own: Any, found: Any) -> bool:
    """Whether torch would copy whole numbers, truth values or complex ones into weights, without a word."""
    is_tensor = isinstance(own, torch.Tensor) and isinstance(found, torch.Tensor)
    return is_tensor and own.is_floating_point() and not found.is_floating_point()


def differences(kinds: Mapping[str, Sequence[str]], most: int = LISTED) -> str:
    """Names by what is the matter with them, as part of a sentence; kinds without a name are left out.

    Args:
        kinds: What is the matter -> names.
        most: Names of a kind that are listed; 1 for an example.
    """
    return '; '.join(
        f'{len(names)} {kind}, e.g. {names[0]}' if most == 1 else f'{len(names)} {kind}: {few(names, most)}'
        for kind, names in kinds.items()
        if names
    )
