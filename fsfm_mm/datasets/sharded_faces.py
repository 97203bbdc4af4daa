"""Faces from tar shards, on a local disk or in an object store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fsfm_mm.datasets.archived_faces import ArchivedFaces
from fsfm_mm.datasets.base import MAX_BROKEN_RUN
from fsfm_mm.datasets.reading import BrokenSampleError, decode_image, decode_parsing_map
from fsfm_mm.datasets.shard_format import ENCODINGS, MAP_ENDING, ShardSet, local_folder
from fsfm_mm.registry import DATASETS


@DATASETS.register_module()
class ShardedFaces(ArchivedFaces[ShardSet]):
    """Faces in WebDataset tar shards, written by ``tools/data/prepare_pretrain.py`` or ``tools/data/pack.py``.

    A sample has ``img`` (uint8 (H, W, 3), BGR), ``parsing_map`` (uint8 (H, W)), ``img_path`` (shard and number)
    and ``sample_idx`` before the pipeline, which is that of :class:`FaceParsingDataset`, crops included. Every
    sample can be read by itself; :class:`~fsfm_mm.datasets.ShardSampler` makes the order one that reads shard
    by shard, which object stores and caches need.

    With ``on_broken='skip'`` the sample after a broken one takes its place, and if that is broken too, one of
    the next shard, and so on: a shard that is gone or damaged as a whole does not stop a run, 31 do.

    Args:
        data_root: Folder that holds ``shards/`` (or that folder itself), or the address of the folder with
            ``shards.json`` (``s3://bucket/faces/shards``, ``gs://``, ``https://``: whatever fsspec and its
            packages know); or several of them.
        cache_dir: Local folder to fetch whole shards into, shared by all processes of a machine; None reads
            from an object store by ranges, one request a sample.
        cache_gib: Limit of that folder in GiB.
        storage_options: Arguments of fsspec's file system, e.g. ``dict(anon=True)``.
        **kwargs: ``mask``, ``pipeline`` (by default the packing alone), ``on_broken``, ``need_maps``, ``indices``
            ...: see :class:`~fsfm_mm.datasets.archived_faces.ArchivedFaces`.

    Raises:
        ValueError: The list of shards or the index is missing, of another version or does not make sense; the
            shards have no maps although they are needed; an address cannot be opened.
    """

    def __init__(
        self,
        data_root: str | Sequence[str],
        cache_dir: str | None = None,
        cache_gib: float = 50.0,
        storage_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._options = dict(cache_dir=cache_dir, cache_gib=cache_gib, storage_options=storage_options)
        super().__init__(data_root, **kwargs)

    def open_set(self, root: str) -> ShardSet:
        """Open the shards of one root."""
        return ShardSet(local_folder(root), self._options)

    def shard_numbers(self) -> np.ndarray:
        """Shard of every sample, int32 (N,), numbered through all roots."""
        self.full_init()
        starts = np.cumsum([0, *(len(one.shards) for one in self.sets)])
        numbers = [one.index[:, 0] + start for one, start in zip(self.sets, starts)]
        return np.concatenate(numbers).astype(np.int32)[np.asarray(self.data_list, np.int64)]

    def get_data_info(self, idx: int) -> dict:
        """Read sample ``idx``; raises BrokenSampleError where it is unusable."""
        self.full_init()
        which, row = self.place(idx)
        shards, path = self.sets[which], self.data_path(idx)
        image_file, map_file = shards.read(row)
        image = decode_image(image_file, path + ENCODINGS[shards.encoding])
        if not self.need_maps:
            labels: np.ndarray = np.zeros(image.shape[:2], np.uint8)
        elif map_file is None:
            raise BrokenSampleError(f'{path}: has no parsing map.')
        else:
            labels = decode_parsing_map(map_file, path + MAP_ENDING)
        if labels.shape != image.shape[:2]:
            raise BrokenSampleError(
                f'{path}: its parsing map is {labels.shape[1]}x{labels.shape[0]} pixels, '
                f'its image {image.shape[1]}x{image.shape[0]}.'
            )
        return {'img': image, 'parsing_map': labels, 'img_path': path, 'sample_idx': int(idx % len(self))}

    def _candidates(self, idx: int) -> Iterable[int]:
        """Sample ``idx``, the one after it, and the first one of each following shard, at most 32 together."""
        yield idx
        others = self._others(idx % len(self))
        yield from itertools.islice(others, MAX_BROKEN_RUN - 1)

    def _others(self, idx: int) -> Iterator[int]:
        numbers = self.shard_numbers()
        firsts = np.flatnonzero(np.diff(numbers, prepend=-1))
        following = np.roll(firsts, -int(np.searchsorted(firsts, idx, side='right')))
        after = (idx + 1) % len(self)
        if after != idx and after not in following:
            yield after
        yield from (int(first) for first in following if first != idx)
