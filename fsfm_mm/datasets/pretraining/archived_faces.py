"""Faces from archives, on a local disk or in an object store."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from fsfm_mm.datasets.base import MAX_BROKEN_RUN, FaceDataset, roots_of
from fsfm_mm.datasets.pretraining.archive_format import ENCODINGS, MAP_ENDING, Archive, local_folder
from fsfm_mm.datasets.pretraining.columns import run_columns, take_columns
from fsfm_mm.files.pictures import BrokenSampleError, WrongSizeError, decode_image, decode_parsing_map
from fsfm_mm.regions import LABEL_NAMES, NUM_LABELS
from fsfm_mm.registry import DATASETS

#: Sets that the labels of a patch can make.
_SETS = 1 << NUM_LABELS


@DATASETS.register_module()
class ArchivedFaces(FaceDataset):
    """Faces in archives, written by ``fsfm-mm prepare`` or ``fsfm-mm pack``.

    A sample has ``img`` (uint8 (H, W, 3), BGR), ``patch_labels`` (uint16 (h, w)) or ``parsing_map`` (uint8 (H, W)),
    ``img_path`` (shard and key) and ``sample_idx`` before the pipeline. It takes the pipeline of
    :class:`FaceParsingDataset`: LoadFace finds the image there, BuildPatchLabels the labels; so in a config ``type``
    and ``data_root`` change, nothing else. Every sample can be read by itself;
    :class:`~fsfm_mm.datasets.ShardSampler` makes the order one that reads shard by shard, which object stores and
    caches need.

    Batches of faces of one size with a label table are read into one array and run through the pipeline as columns
    (:mod:`fsfm_mm.datasets.pretraining.columns`), as long as all its transforms can; the result is the same.

    With ``on_broken='skip'`` the sample after a broken one takes its place, and if that is broken too, one of
    the next shard, and so on: a shard that is gone or damaged as a whole does not stop a run, 31 do. With 'error'
    the sizes of local shards are compared when the archive is opened.

    Args:
        data_root: Folder that holds ``archive/`` (or that folder itself), or the address of the folder with
            ``archive.json`` (``s3://bucket/faces/archive``, ``gs://``, ``https://``: whatever fsspec and its
            packages know); or several of them, whose faces follow one another.
        read_maps: True decodes the parsing maps where there is a table of label sets as well: for random crops, and
            for another patch size than the table's.
        cache_dir: Local folder to fetch whole shards into, shared by all processes of a machine; None reads
            from an object store by ranges, one request a sample.
        cache_gib: Limit of that folder in GiB.
        storage_options: Arguments of fsspec's file system, e.g. ``dict(anon=True)``.
        need_maps: False where the labels are not wanted (MAE) or not there: all patches are background.
        missing_maps: Of :class:`FaceParsingDataset`, without effect: an archive has all maps or none.
        pipeline: Transforms; by default the packing alone.
        **kwargs: ``mask``, ``on_broken``, ``indices``, ``lazy_init`` ...: see :class:`FaceDataset`.

    Raises:
        ValueError: An archive is missing, cut off, changed, of another version, does not make sense, holds no face,
            or has no labels although they are needed; an address cannot be opened.
    """

    METAINFO = {'label_names': LABEL_NAMES}

    def __init__(
        self,
        data_root: str | Sequence[str],
        read_maps: bool = False,
        cache_dir: str | None = None,
        cache_gib: float = 50.0,
        storage_options: dict[str, Any] | None = None,
        need_maps: bool = True,
        missing_maps: str = 'error',
        pipeline: Sequence[dict | Callable] = (dict(type='PackFaces'),),
        **kwargs: Any,
    ) -> None:
        self.data_roots = roots_of(data_root, 'archive')
        self.need_maps, self.read_maps = need_maps, read_maps
        self._options: dict[str, Any] = dict(
            cache_dir=cache_dir, cache_gib=cache_gib, storage_options=storage_options
        )
        self.archives: list[Archive] = []
        self._starts: list[int] = []
        self._by_table = self._by_columns = False
        super().__init__(pipeline=pipeline, data_prefix={}, serialize_data=False, **kwargs)

    def load_data_list(self) -> Any:
        """Open the archives; returns the numbers of all faces, int64 (N,)."""
        self.archives = [Archive(local_folder(root), self._options) for root in self.data_roots]
        for root, archive in zip(self.data_roots, self.archives):
            if not len(archive):
                raise ValueError(f'{root}: the archive holds no face.')
            if self.need_maps and not archive.header.maps:
                raise ValueError(
                    f'{root}: was written without maps, so it has no labels: need_maps=False does without.'
                )
            if self.on_broken == 'error':
                archive.check_files()
        headers = [archive.header for archive in self.archives]
        tables = all(header.patch_size is not None for header in headers)
        self._by_table = self.need_maps and not self.read_maps and tables
        if self._by_table:
            self._check_tables()
        one_size = headers[0].size is not None and all(header.size == headers[0].size for header in headers)
        self._by_columns = one_size and (self._by_table or not self.need_maps)
        *self._starts, total = itertools.accumulate((len(one) for one in self.archives), initial=0)
        return np.arange(total)

    def _check_tables(self) -> None:
        first = self.archives[0]
        for archive in self.archives:
            archive.labels  # noqa: B018 - opened now, so that a damaged one is told now
            ours, theirs = archive.header, first.header
            if ours.size != theirs.size or ours.patch_size != theirs.patch_size:
                raise ValueError(
                    f'{archive.root} has faces of {ours.size} pixels in patches of {ours.patch_size}, '
                    f'{first.root} of {theirs.size} in {theirs.patch_size}: write them alike, or set read_maps=True.'
                )

    def place(self, idx: int) -> tuple[Archive, int]:
        """The archive that holds sample ``idx``, and the face's row there."""
        number = int(self.data_list[idx])
        which = bisect.bisect_right(self._starts, number) - 1
        return self.archives[which], number - self._starts[which]

    def data_path(self, idx: int) -> str:
        """Shard of sample ``idx``, and its key there."""
        self.full_init()
        archive, row = self.place(idx)
        return archive.path(row)

    def shard_numbers(self) -> np.ndarray:
        """Shard of every sample, int64 (N,), numbered through all roots."""
        self.full_init()
        starts = np.cumsum([0, *(len(one.header.shards) for one in self.archives)])
        numbers = [
            one.index['shard'].astype(np.int64) + int(start) for one, start in zip(self.archives, starts)
        ]
        return np.concatenate(numbers)[np.asarray(self.data_list, np.int64)]

    def get_data_info(self, idx: int) -> dict:
        """Read sample ``idx``; raises BrokenSampleError where it is unusable."""
        self.full_init()
        archive, row = self.place(idx)
        about: dict[str, Any] = {'img_path': archive.path(row), 'sample_idx': int(idx % len(self))}
        by_map = self.need_maps and not self._by_table
        image_file, map_file = archive.read(row, by_map)
        image = _decoded(archive, row, image_file)
        if self._by_table:
            sets = archive.labels[row].copy()
            if sets.max() >= _SETS:
                raise BrokenSampleError(
                    f'{about["img_path"]}: its label sets reach {sets.max()}, but {NUM_LABELS} labels make sets '
                    f'below {_SETS}.'
                )
            return {'img': image, 'patch_labels': sets, **about}
        if map_file is None:
            labels: np.ndarray = np.zeros(image.shape[:2], np.uint8)
        else:
            height, width = image.shape[:2]
            try:
                labels = decode_parsing_map(map_file, about['img_path'] + MAP_ENDING, (height, width))
            except WrongSizeError as error:
                raise BrokenSampleError(
                    f'{about["img_path"]}: its parsing map is {error.size[0]}x{error.size[1]} pixels, '
                    f'its image {width}x{height}.'
                ) from error
        return {'img': image, 'parsing_map': labels, **about}

    def __getitems__(self, indices: Sequence[int]) -> Sequence[dict]:
        """Return the samples ``indices`` after the pipeline: as columns where all its transforms take them."""
        self.full_init()
        indices = list(indices)  # seeds this process where the batch is a SeededBatch
        if not self._by_columns or not take_columns(self.pipeline.transforms):
            return super().__getitems__(indices)
        header = self.archives[0].header
        assert header.size is not None
        columns = {'planes': np.empty((len(indices), 3, *header.size), np.uint8)}
        if self._by_table:
            columns['patch_labels'] = np.empty((len(indices), *header.grid), np.uint16)
        for place, idx in enumerate(indices):
            self.first_readable(idx, functools.partial(self._read_into, columns, place))
        if self._by_table and columns['patch_labels'].max() >= _SETS:
            return super().__getitems__(indices)  # one by one, which tells or leaves out the broken one
        return run_columns(self.pipeline.transforms, columns)

    def _read_into(self, columns: dict[str, np.ndarray], place: int, idx: int) -> None:
        archive, row = self.place(idx)
        planes = columns['planes'][place]
        if archive.header.encoding == 'raw':
            archive.read_planes(row, planes)
        else:
            image = _decoded(archive, row, archive.read(row, with_map=False)[0])
            cv2.split(image, [planes[2], planes[1], planes[0]])
        if self._by_table:
            columns['patch_labels'][place] = archive.labels[row]

    def _candidates(self, idx: int) -> Iterable[int]:
        """Sample ``idx``, the one after it, and the first one of each following shard, at most 32 together."""
        yield idx
        idx %= len(self)
        firsts = np.flatnonzero(np.diff(self.shard_numbers(), prepend=-1))
        following = np.roll(firsts, -int(np.searchsorted(firsts, idx, side='right'))).tolist()
        candidates = dict.fromkeys([idx, (idx + 1) % len(self), *following])
        yield from itertools.islice(candidates, 1, MAX_BROKEN_RUN)


def _decoded(archive: Archive, row: int, data: bytes) -> np.ndarray:
    """Pixels uint8 (H, W, 3), BGR, of a face's file."""
    height, width = int(archive.index['height'][row]), int(archive.index['width'][row])
    if archive.header.encoding == 'raw':
        planes = np.frombuffer(data, np.uint8).reshape(3, height, width)
        return cv2.merge([planes[2], planes[1], planes[0]])
    try:
        return decode_image(data, '', (height, width))
    except WrongSizeError as error:
        raise BrokenSampleError(
            f'{archive.path(row)}: is {error.size[0]}x{error.size[1]} pixels, but the index says {width}x{height}.'
        ) from error
    except BrokenSampleError as error:  # the name costs a look into the keys, so it is found only when needed
        raise BrokenSampleError(f'{archive.path(row)}{ENCODINGS[archive.header.encoding]}{error}') from error
