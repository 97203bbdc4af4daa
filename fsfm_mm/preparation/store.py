"""Crops that wait to be written: few in memory, many (of a long video) in a file without a name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from fsfm_mm.preparation.pipeline import Cut
from fsfm_mm.preparation.writers.base import PreparedFace

#: Crops of a chunk that are kept in memory; those of long videos go to a nameless file beyond it.
_MEMORY = 1 << 28


class CannotWriteError(Exception):
    """The output cannot be written; the message says where and why, in one sentence."""

    @classmethod
    def of(cls, error: OSError, out: Path) -> CannotWriteError:
        """From what the operating system says."""
        where = error.filename2 or error.filename or out
        return cls(f'{where} cannot be written: {error.strerror or error}')


class CropStore:
    """Crops and their maps, in memory as long as they are few, else in a file without a name.

    Args:
        folder: Where the file is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = tempfile.SpooledTemporaryFile(_MEMORY, dir=str(folder))  # noqa: SIM115 - closed by close()
        self._slots: list[tuple[int, int]] = []  # place and side of each crop; its map follows its pixels
        self._end = 0

    def add(self, crop: np.ndarray) -> int:
        """Keep a crop uint8 (S, S, 3); returns its place."""
        side = crop.shape[0]
        self._write(self._end, crop)
        self._slots.append((self._end, side))
        self._end += 4 * side**2
        return len(self._slots) - 1

    def add_labels(self, slot: int, labels: np.ndarray) -> None:
        """Keep the map uint8 (S, S) of a crop."""
        place, side = self._slots[slot]
        self._write(place + 3 * side**2, labels)

    def crop(self, slot: int) -> np.ndarray:
        """The crop uint8 (S, S, 3) of a place."""
        place, side = self._slots[slot]
        return self._read(place, (side, side, 3))

    def labels(self, slot: int) -> np.ndarray:
        """The map uint8 (S, S) of a place."""
        place, side = self._slots[slot]
        return self._read(place + 3 * side**2, (side, side))

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def _write(self, place: int, array: np.ndarray) -> None:
        assert array.dtype == np.uint8
        try:
            self._file.seek(place)
            self._file.write(np.ascontiguousarray(array).tobytes())
        except OSError as error:
            raise CannotWriteError.of(error, self._folder) from error

    def _read(self, place: int, shape: tuple[int, ...]) -> np.ndarray:
        self._file.seek(place)
        return np.frombuffer(bytearray(self._file.read(int(np.prod(shape)))), np.uint8).reshape(shape)


class StoredFaces(Sequence[PreparedFace]):
    """The faces of a chunk that are to be written, read from the store one at a time.

    Args:
        cuts: The faces, each with a slot.
        store: Where their crops and maps are.
        with_maps: Whether there are maps.
        alive: Called whenever a face is read.
    """

    def __init__(
        self, cuts: Sequence[Cut], store: CropStore, with_maps: bool, alive: Callable[[], None]
    ) -> None:
        self._cuts, self._store, self._with_maps, self._alive = cuts, store, with_maps, alive

    def __len__(self) -> int:
        return len(self._cuts)

    @overload
    def __getitem__(self, index: int) -> PreparedFace: ...

    @overload
    def __getitem__(self, index: slice) -> StoredFaces: ...

    def __getitem__(self, index: int | slice) -> PreparedFace | StoredFaces:
        if isinstance(index, slice):
            return StoredFaces(self._cuts[index], self._store, self._with_maps, self._alive)
        self._alive()
        cut = self._cuts[index]
        assert cut.slot is not None
        labels = self._store.labels(cut.slot) if self._with_maps else None
        return PreparedFace(cut.key, self._store.crop(cut.slot), labels, cut.record)
