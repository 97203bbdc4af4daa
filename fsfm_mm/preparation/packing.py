"""From a data set in the published folder layout to an archive: preparing without a detector."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from fsfm_mm.files.pictures import BrokenSampleError, read_image
from fsfm_mm.preparation.manifest import map_limits
from fsfm_mm.preparation.progress import Tally
from fsfm_mm.preparation.run import prepare
from fsfm_mm.preparation.settings import Execution, Settings
from fsfm_mm.preparation.sources.items import Item


def pack(
    data: str | os.PathLike,
    out: str | os.PathLike,
    form: Mapping[str, Any],
    size: int | None = None,
    need_maps: bool = True,
    missing_maps: str = 'error',
    workers: int = 0,
    chunk_size: int = 1024,
    need_table: bool = False,
) -> Tally:
    """Pack a data set, or go on with that.

    Pixels and labels are those that :class:`~fsfm_mm.datasets.FaceParsingDataset` and ResizeFace give.

    Args:
        data: Folder with ``images/`` and ``parsing_maps/``.
        out: Folder of the output; new, empty, or with the beginning of the same packing.
        form: Config of the writer, e.g. ``dict(type='archive', image_format='raw')``.
        size: Side of the packed faces in pixels; others are resized. None keeps their own, which must be one size.
        need_maps: False leaves the maps out.
        missing_maps: What to do with images without a map: 'error' or 'skip'.
        workers: Processes; 0 works in this one.
        chunk_size: Faces of a shard.
        need_table: Refuse a size that the writer's patches do not divide, of which there is no label table.

    Returns:
        What has become of the images.

    Raises:
        ValueError: The data set is incomplete, or the output belongs to something else.
        StoppedError: The disk refuses, pictures are of different sizes and ``size`` is not given, or worker
            processes cannot run. What was done is kept.
    """
    items = _items(os.fspath(data), need_maps, missing_maps)
    detector: dict[str, Any] = dict(type='NoDetector', as_stored=True)
    if size is None:
        detector['only_size'] = size = _own_size(items)
    if need_table and need_maps and size % form['patch_size']:
        raise ValueError(
            f'{size} pixels cannot be cut into patches of {form["patch_size"]}: choose another size or patch size.'
        )
    parser = dict(type='StoredMaps') if need_maps else None
    if parser and (limits := map_limits(data)):
        parser['limits'] = limits
    settings = Settings(detector, parser, form, 'largest', 1.0, size, 0, chunk_size)
    execution = Execution(workers, device='cpu')
    return prepare(items, out, settings, execution, {'sources': [os.fspath(data)]}).tally


def _items(data: str, need_maps: bool, missing_maps: str) -> list[Item]:
    """The images in the order of the data set, each with its map."""
    # here: whoever only prepares does not wait for the data sets of training
    from fsfm_mm.datasets.pretraining.folders import FaceParsingDataset

    dataset = FaceParsingDataset(data, need_maps=need_maps, missing_maps=missing_maps)
    images = os.path.join(data, dataset.img_dir)
    items = []
    for info in map(dataset.get_data_info, range(len(dataset))):
        source = os.path.relpath(info['img_path'], images)
        key = os.path.splitext(source)[0]
        items.append(Item(info['img_path'], source, 0, key, map_path=info['map_path']))
    return items


def _own_size(items: Sequence[Item]) -> int:
    """Side of the first picture that can be read."""
    for item in items:
        try:
            height, width = read_image(item.path).shape[:2]
        except BrokenSampleError:  # will be a line of the manifest
            continue
        if height == width:
            return height
        raise ValueError(f'{item.path} is {width}x{height} pixels, no square: --size resizes it.')
    raise ValueError(f'none of {len(items)} pictures can be read; the first is {items[0].path}.')
