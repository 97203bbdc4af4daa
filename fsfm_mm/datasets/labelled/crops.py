"""Of which set the face crops of a folder were made, and how, as far as its preparation has said so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS
from fsfm_mm.files.prepared import read_summary

#: Facts of a card that the preparation knows.
CROP_FACTS = ('detector', 'crop_margin')
#: Detector -> margin of the published crops, or of those that come nearest to them: over 60 portraits the mean IoU
#: with dlib's crops is .80, with 1.3 about YuNet's box it is .62.
PUBLISHED_MARGINS = {'dlib': 1.3, 'yunet': 1.02}
#: Of aligned chips; the published ones are MTCNN's, of which YuNet's are the nearest.
CHIPS = '{}, aligned with padding {}'
PUBLISHED_PADDING = 0.37
PUBLISHED_CHIPS = tuple(CHIPS.format(name, PUBLISHED_PADDING) for name in ('mtcnn', 'yunet'))


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
        return {'detector': CHIPS.format(name, padding)}
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


def are_nearest(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two kinds of crops differ only as the published ones and those that come nearest to them do.

    Args:
        one: 'detector' and 'crop_margin', as far as they are known.
        other: The same.
    """
    names = one.get('detector'), other.get('detector')
    if set(names) == set(PUBLISHED_CHIPS):
        return True
    return set(names) == set(PUBLISHED_MARGINS) and all(
        part.get('crop_margin') in (None, PUBLISHED_MARGINS[part['detector']]) for part in (one, other)
    )


def check_prepared_of(name: str, roots: Sequence[str], where: str) -> bool:
    """Compare a published set with what folders of faces were prepared of.

    Args:
        name: Name of the set; nothing is compared where it is no published one.
        roots: The folders.
        where: What the message begins with.

    Returns:
        Whether the folders say what they were prepared of.

    Raises:
        ValueError: They were prepared of another set: its numbers would stand under this one's name.
    """
    named = PUBLISHED_SETS.get(name)
    said = {root: read_summary(root).get('set') for root in roots}
    for root, found in said.items():
        # 'folders' are sorted by hand and may be any
        if named and found in PUBLISHED_SETS and found not in (name, named.part_of):
            raise ValueError(
                f'{where}: {root} was prepared of {found}, not of {name}: prepare it anew, or name {found}'
            )
    return all(found is not None for found in said.values())


def prepared_part(name: str, root: str, where: str) -> dict[str, Any]:
    """Settings of a data set for faces that were prepared of a published set; empty for a folder that was not.

    Raises:
        ValueError: It was prepared of another set.
    """
    if not check_prepared_of(name, [root], where):
        return {}
    return {'type': 'LabelledFaces', 'ignore': list(PUBLISHED_SETS[name].leaves_out)}
