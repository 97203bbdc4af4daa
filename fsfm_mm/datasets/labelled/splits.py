"""Checks between data sets: the same classes everywhere, and no video in two splits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fsfm_mm.datasets.labelled.names import quoted


def entries_of(dataset: Any) -> Iterator[dict]:
    """Yield what the listing of a data set knows of each sample, without reading images.

    Args:
        dataset: A :class:`~fsfm_mm.datasets.labelled.base.LabelledDataset`, an mmengine ConcatDataset of
            some, or any data set with mmengine's ``get_data_info`` (which may read the image).

    Yields:
        ``img_path``, ``class_name``, ``gt_label``, ``video_id``, ``domain``.
    """
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from entries_of(part)
        return
    read = dataset.entry if hasattr(dataset, 'entry') else dataset.get_data_info
    for index in range(len(dataset)):
        yield read(index)


def check_splits(datasets: Mapping[str, Any]) -> None:
    """Check that data sets fit together before a model is trained on one and tested on another.

    Args:
        datasets: Name of a split ('train', 'val', 'test') -> its data set, or a list of its data sets. Those of
            *one* split may share samples, as the four DiFF subsets share their real images.

    Raises:
        ValueError: ``classes`` or ``positive_class`` differ between two sets, or a video (domain and
            ``video_id``) or a file occurs in two splits.
    """
    splits = {name: list(_listed(sets)) for name, sets in datasets.items()}
    _check_meta([(f'{name}[{i}]', data) for name, sets in splits.items() for i, data in enumerate(sets)])
    videos: dict[tuple[str, str], str] = {}
    files: dict[str, str] = {}
    for split, sets in splits.items():
        entries = [entry for data in sets for entry in entries_of(data)]
        _claim(
            split, {(e['domain'], e['video_id']): f'{e["domain"]}: {e["video_id"]}' for e in entries}, videos
        )
        _claim(split, {os.path.abspath(e['img_path']): e['img_path'] for e in entries}, files)


def _listed(sets: Any) -> Sequence[Any]:
    return sets if isinstance(sets, (list, tuple)) else [sets]


def _claim(split: str, names: Mapping[Any, str], owner: dict[Any, str]) -> None:
    """Note that the keys belong to a split, and refuse those that already belong to another."""
    for other in dict.fromkeys(owner.values()):
        shared = [name for key, name in names.items() if owner.get(key) == other]
        if shared:
            raise ValueError(
                f"The splits '{other}' and '{split}' share {len(shared)} videos or files ({quoted(shared)}): "
                'a model would be tested on what it was trained on.'
            )
    owner.update(dict.fromkeys(names, split))


def _check_meta(named: Sequence[tuple[str, Any]]) -> None:
    for key in ('classes', 'positive_class'):
        values = [(name, data.metainfo.get(key)) for name, data in named]
        values = [(name, tuple(value) if isinstance(value, list) else value) for name, value in values]
        for name, value in values:
            first_name, first = values[0]
            if value is None:
                raise ValueError(f"The data set {name} has no '{key}' in its metainfo.")
            if value != first:
                raise ValueError(
                    f"The data sets {first_name} and {name} differ in '{key}': {first!r} and {value!r}."
                )
