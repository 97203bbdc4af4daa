"""Faces with parsing maps in the published folder layout, for self-supervised pretraining."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from fsfm_mm.datasets.base import FaceDataset, roots_of
from fsfm_mm.datasets.listing import list_samples
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, MAP_EXTENSIONS, by_stem
from fsfm_mm.files.pictures import BrokenSampleError, map_npy
from fsfm_mm.regions import LABEL_NAMES, NUM_LABELS
from fsfm_mm.registry import DATASETS
from fsfm_mm.text import few


class LabelTable:
    """Precomputed per-patch labels of a whole data set, read row by row from the disk.

    Args:
        path: A ``.npy`` file, uint16 (N, h*w) for a square grid or (N, h, w).

    Raises:
        ValueError: The file is missing or is not such a table.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        table = map_npy(path, 'label_table ')
        grid = _grid(table.shape)
        if table.dtype != np.uint16 or grid is None:
            raise ValueError(
                f'{path}: label_table must be uint16 of shape (N, h*w) for a square grid or (N, h, w), '
                f'but is {table.dtype} {table.shape}.'
            )
        self._table = table.reshape(len(table), *grid)

    def __len__(self) -> int:
        return len(self._table)

    def row(self, index: int) -> np.ndarray:
        """Return the labels of one image, uint16 (h, w); raises BrokenSampleError where bits are unknown."""
        row = np.array(self._table[index])
        if row.max(initial=0) >= 1 << NUM_LABELS:
            raise BrokenSampleError(
                f'{self.path}: row {index} holds {row.max()}, but {NUM_LABELS} labels make sets below '
                f'{1 << NUM_LABELS}.'
            )
        return row

    def __reduce__(self) -> tuple:
        # Copies and spawned workers open the file again: pickling the memory map would read all of it.
        return LabelTable, (self.path,)


def _grid(shape: tuple[int, ...]) -> tuple[int, int] | None:
    if len(shape) == 3:
        return shape[1], shape[2]
    side = math.isqrt(shape[1]) if len(shape) == 2 else 0
    return (side, side) if side and side * side == shape[1] else None


@DATASETS.register_module()
class FaceParsingDataset(FaceDataset):
    """Face crops ``root/images/**/X.{jpg,jpeg,png,webp,bmp}`` with ``root/parsing_maps/**/X.{npy,png}``.

    Folders may be nested; a map lies at the same relative path as its image. Samples come in the order of
    ``data_root``, and within a root in the sorted order of the relative image paths.

    Args:
        data_root: Folder of the data set, or several, whose samples follow one another.
        img_dir: Folder of the images in each root.
        map_dir: Folder of the parsing maps in each root.
        label_table: Precomputed ``.npy`` table, uint16 (N, h*w) or (N, h, w), one row for each of *all* N
            images in the order above (``indices`` selects afterwards). Gives ``patch_labels`` without
            reading any map, and BuildPatchLabels leaves them alone. Only for pictures that are not
            cropped (RandomFaceCrop refuses).
        need_maps: False for plain images, as MAE needs them. The samples then get a map that is all
            background, so the same pipeline serves any strategy; without a facial region every
            strategy masks uniformly, with an empty region mask.
        missing_maps: 'error' when an image has no map, or 'skip' to leave such images out and log how many.
        on_broken: 'error' or 'skip' for unusable files, see :class:`~fsfm_mm.datasets.FaceDataset`.
        **kwargs: ``pipeline``, ``indices``, ``lazy_init`` ... of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: A folder is missing or has no images, images lack maps, two files stand for one
            sample, or the table does not fit. Each message names what was found where.
    """

    METAINFO = {'label_names': LABEL_NAMES}

    def __init__(
        self,
        data_root: str | Sequence[str],
        img_dir: str = 'images',
        map_dir: str = 'parsing_maps',
        label_table: str | None = None,
        need_maps: bool = True,
        missing_maps: str = 'error',
        on_broken: str = 'error',
        **kwargs: Any,
    ) -> None:
        if missing_maps not in ('error', 'skip'):
            raise ValueError(f"missing_maps must be 'error' or 'skip', but is {missing_maps!r}.")
        if label_table is not None and not need_maps:
            raise ValueError('label_table gives the labels of the maps, which need_maps=False leaves out.')
        self.data_roots = roots_of(data_root)
        self.img_dir, self.map_dir = img_dir, map_dir
        self.label_table, self.need_maps, self.missing_maps = label_table, need_maps, missing_maps
        self._table: LabelTable | None = None
        super().__init__(on_broken=on_broken, data_prefix={}, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the samples: ``img_path`` with ``map_path`` (None without maps) or ``table_row``."""
        entries = [entry for root in self.data_roots for entry in self._entries(root)]
        if self.label_table is not None:
            self._table = LabelTable(self.label_table)
            if len(self._table) != len(entries):
                raise ValueError(
                    f'{self.label_table}: label_table has {len(self._table)} rows, but there are '
                    f'{len(entries)} images in {", ".join(self.data_roots)}.'
                )
            for row, entry in enumerate(entries):
                entry['table_row'] = row
        elif self.need_maps:
            entries = self._with_maps(entries)
        return entries

    def get_data_info(self, idx: int) -> dict:
        """Return the sample's paths and, from a label table, its ``patch_labels``."""
        info = super().get_data_info(idx)
        if 'table_row' in info:
            assert self._table is not None
            info['patch_labels'] = self._table.row(info.pop('table_row'))
        return info

    def _entries(self, root: str) -> Iterator[dict]:
        """Samples of one root; with maps wanted, ``map_path`` is '' where there is none."""
        img_root = os.path.join(root, self.img_dir)
        images = by_stem(_list_or_raise(img_root, IMAGE_EXTENSIONS, 'images'), img_root)
        if self.label_table is not None or not self.need_maps:
            extra: dict = {} if self.need_maps else {'map_path': None}
            return (dict(img_path=os.path.join(img_root, image), **extra) for image in images.values())
        map_root = os.path.join(root, self.map_dir)
        maps = by_stem(_list_or_raise(map_root, MAP_EXTENSIONS, 'parsing maps'), map_root)
        return (
            {
                'img_path': os.path.join(img_root, image),
                'map_path': os.path.join(map_root, maps[stem]) if stem in maps else '',
            }
            for stem, image in images.items()
        )

    def _with_maps(self, entries: list[dict]) -> list[dict]:
        """Apply ``missing_maps``."""
        kept = [entry for entry in entries if entry['map_path']]
        if len(kept) == len(entries):
            return entries
        missing = [entry['img_path'] for entry in entries if not entry['map_path']]
        what = f'{len(missing)} of {len(entries)} images have no parsing map: {few(missing, more=", ...")}'
        if self.missing_maps == 'error' or not kept:
            raise ValueError(
                f"{what}. Expected each at the same relative path below '{self.map_dir}' as .npy or .png; "
                "missing_maps='skip' leaves such images out, need_maps=False reads no maps at all."
            )
        print_log(f'Left out: {what}.', logger='current', level=logging.WARNING)
        return kept


def _list_or_raise(folder: str, extensions: tuple[str, ...], what: str) -> list[str]:
    if not os.path.isdir(folder):
        raise ValueError(f'{folder}: no such folder; expected {what} ({", ".join(extensions)}) there.')
    files = list_samples(folder, extensions)
    if not files:
        raise ValueError(f'{folder}: no {what} found; expected files {", ".join(extensions)} below it.')
    return files
