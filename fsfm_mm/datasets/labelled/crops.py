"""How the face crops of a data set were made, as far as its preparation has said so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fsfm_mm.files.prepared import read_summary

#: Facts of a card that the preparation knows.
CROP_FACTS = ('detector', 'crop_margin')


def crop_facts_of_root(root: str) -> dict[str, Any]:
    """Detector and margin of the crops in a folder, from its ``prepare.json``; empty where it does not say.

    Crops that came as crops say nothing. Chips aligned by landmarks have no margin; their padding stands beside the
    detector that found the landmarks.

    Raises:
        ValueError: The file holds something else.
    """
    about = read_summary(root)
    name = about.get('detector_name')
    if name in (None, 'none'):
        return {}
    padding, margin = about.get('chip_padding'), about.get('margin')
    if padding is not None:
        return {'detector': f'{name}, aligned with padding {padding}'}
    return {'detector': name} if margin is None else {'detector': name, 'crop_margin': margin}


def shared_facts(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What all parts of a data set say alike."""
    parts = list(parts)
    return {
        key: parts[0][key]
        for key in CROP_FACTS
        if parts and key in parts[0] and all(part.get(key) == parts[0][key] for part in parts)
    }


def crop_facts(dataset: Any) -> dict[str, Any]:
    """Detector and margin of a built data set's crops: what all of its parts and folders say alike.

    Args:
        dataset: The data set, or one of mmengine's wrappers of it. The folders are its ``data_roots``, or
            ``crop_folders`` where these lie elsewhere; a set without either says nothing.

    Returns:
        Fields of a card among 'detector' and 'crop_margin'.
    """
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner != [None]:
        return shared_facts(crop_facts(part) for part in inner)
    folders: list[str] = getattr(dataset, 'crop_folders', getattr(dataset, 'data_roots', []))
    return shared_facts(crop_facts_of_root(folder) for folder in folders)
