"""What data sets in files of many faces share: several roots, numbering, the pipeline of the folder layout."""

from __future__ import annotations

import bisect
import itertools
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from fsfm_mm.datasets.base import FaceDataset
from fsfm_mm.regions import LABEL_NAMES


class FaceSet(Protocol):
    """One opened set of faces."""

    def __len__(self) -> int:
        """Number of faces."""
        ...

    def path(self, row: int) -> str:
        """What to call face ``row``: its file and its name or number there."""
        ...

    @property
    def has_maps(self) -> bool:
        """Whether labels lie beside the pixels."""
        ...


AnySet = TypeVar('AnySet', bound=FaceSet)


class ArchivedFaces(FaceDataset, Generic[AnySet]):
    """Base of the data sets that keep many faces in one file.

    Args:
        data_root: Place of a set, or several, whose faces follow one another.
        need_maps: False where the labels are not wanted (MAE) or not there: all patches are background.
        missing_maps: Of :class:`FaceParsingDataset`, without effect: such a set has all maps or none.
        pipeline: Transforms; by default the packing alone.
        **kwargs: ``mask``, ``on_broken``, ``indices``, ``lazy_init`` ...: see :class:`FaceDataset`.

    Raises:
        ValueError: A set cannot be opened, holds no face, or has no labels although they are needed.
    """

    METAINFO = {'label_names': LABEL_NAMES}

    def __init__(
        self,
        data_root: str | Sequence[str],
        need_maps: bool = True,
        missing_maps: str = 'error',
        pipeline: Sequence[dict | Callable] = (dict(type='PackFaces'),),
        **kwargs: Any,
    ) -> None:
        roots = [data_root] if isinstance(data_root, str | os.PathLike) else list(data_root)
        if not roots:
            raise ValueError('data_root must name at least one set, but is empty.')
        self.data_roots = [os.fspath(root) for root in roots]
        self.need_maps = need_maps
        self.sets: list[AnySet] = []
        self._starts: list[int] = []
        super().__init__(pipeline=pipeline, data_prefix={}, serialize_data=False, **kwargs)

    @abstractmethod
    def open_set(self, root: str) -> AnySet:
        """Open one set; raises ValueError with a sentence where that is impossible."""

    def load_data_list(self) -> Any:
        """Open the sets; returns the numbers of all faces, int64 (N,)."""
        self.sets = [self.open_set(root) for root in self.data_roots]
        for root, faces in zip(self.data_roots, self.sets):
            if not len(faces):
                raise ValueError(f'{root}: the set holds no face.')
            if self.need_maps and not faces.has_maps:
                raise ValueError(
                    f'{root}: was written without maps, so it has no labels: need_maps=False does without.'
                )
        *self._starts, total = itertools.accumulate((len(faces) for faces in self.sets), initial=0)
        return np.arange(total)

    def place(self, idx: int) -> tuple[int, int]:
        """Number of the set that holds sample ``idx``, and the face's row there."""
        number = int(self.data_list[idx])
        which = bisect.bisect_right(self._starts, number) - 1
        return which, number - self._starts[which]

    def data_path(self, idx: int) -> str:
        """File of sample ``idx``, and its name or number there."""
        self.full_init()
        which, row = self.place(idx)
        return self.sets[which].path(row)
