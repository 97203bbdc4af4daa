"""Checkpoint files are written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from fsfm_mm.files import replacing


def save_checkpoint_file(obj: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write a checkpoint; whoever looks at ``path`` sees the old file or the whole new one.

    Args:
        obj: What torch.save takes. For a path that ends in ``.safetensors``: tensors by name, or
            ``{'state_dict': tensors, 'card': card}``; the card is stored as JSON in the file's metadata.
        path: File to write; missing folders are made.

    Raises:
        ValueError: When something else than tensors and a card is to go into a safetensors file.
        OSError: When the disk refuses; no partial file stays behind.
    """
    path = Path(path)
    as_safetensors = path.suffix == '.safetensors'
    tensors, metadata = _flat(obj, path) if as_safetensors else ({}, {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        if as_safetensors:
            save_file(tensors, part, metadata=metadata)
        else:
            torch.save(obj, part)


def _flat(obj: Mapping[str, Any], path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors without shared memory, and metadata, for safetensors."""
    whole = isinstance(obj.get('state_dict'), Mapping)
    state = obj['state_dict'] if whole else obj
    others = sorted(set(obj) - {'state_dict', 'card'}) if whole else []
    others += sorted(str(key) for key, value in state.items() if not isinstance(value, torch.Tensor))
    if others:
        raise ValueError(
            f'{path}: safetensors holds tensors and the card only, found {others[:8]}: leave them out or '
            'write a .pth file.'
        )
    metadata = {'format': 'pt'}
    if whole and obj.get('card') is not None:
        metadata['card'] = json.dumps(obj['card'], ensure_ascii=False)
    seen: set[int] = set()
    tensors = {}
    for key, value in state.items():
        value = value.detach().contiguous()
        pointer = value.untyped_storage().data_ptr()
        tensors[key] = value.clone() if pointer in seen else value
        seen.add(pointer)
    return tensors, metadata
