"""One chunk of sources, from reading to written files; the same work whoever drives it."""

from __future__ import annotations

import errno
import inspect
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fsfm_mm.files.parallel import Attempt
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation.cutting.clock import Clock
from fsfm_mm.preparation.cutting.cutter import Cut, Cutter, nothing
from fsfm_mm.preparation.detectors.base import FaceDetector
from fsfm_mm.preparation.manifest import FAILURES, FaceRecord, write_part
from fsfm_mm.preparation.parsers.base import FaceParser
from fsfm_mm.preparation.parsers.label_maps import label_fractions
from fsfm_mm.preparation.plan import WORK_FOLDER, Chunk, weight
from fsfm_mm.preparation.settings import Execution, Settings, build_components, build_writer
from fsfm_mm.preparation.sources.items import Item
from fsfm_mm.preparation.writers.base import FaceWriter, PreparedFace
from fsfm_mm.statistics import count_values
from fsfm_mm.text import printable

#: Crops of a chunk that are kept in memory; those of long videos go to a nameless file beyond it.
_MEMORY = 1 << 28


def cannot_write(error: OSError, out: Path) -> StoppedError:
    """What the operating system says of an output, in one sentence."""
    where = error.filename2 or error.filename or out
    return StoppedError(f'{where} cannot be written: {error.strerror or error}')


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
            raise cannot_write(error, self._folder) from error

    def _read(self, place: int, shape: tuple[int, ...]) -> np.ndarray:
        self._file.seek(place)
        return np.frombuffer(bytearray(self._file.read(int(np.prod(shape)))), np.uint8).reshape(shape)


#: A file that is there no more, or a disk or server that is.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ENODEV)


def _machine_failures() -> tuple[type[BaseException], ...]:
    """What a detector or parser raises when the machine is to blame, not the file."""
    torch = sys.modules.get('torch')  # whoever does not compute with it does not wait for it
    names = ('OutOfMemoryError', 'AcceleratorError')
    return (
        MemoryError,
        ConnectionError,
        *(getattr(torch, name) for name in names if hasattr(torch, name)),
    )


def _machine_failed(error: BaseException) -> StoppedError:
    """The machine fails, so going on would blame file after file; from what a detector or parser raised."""
    reason = str(error).splitlines()[0].rstrip('.') if str(error) else ''
    what = f'{type(error).__name__}: {reason}' if reason else type(error).__name__
    advice = '' if isinstance(error, ConnectionError) else '; try a smaller --batch-size or fewer --workers'
    return StoppedError(f'detector or parser cannot work on this machine ({what}){advice}')


@dataclass
class Workshop:
    """Detector, parser and writer of one process, built once.

    Attributes:
        settings: What decides the result.
        out: Folder of the output.
        detector: Finds faces.
        parser: Labels pixels; None for crops without maps.
        landmarks: Finds the parser's landmarks inside crops that came without; None where nobody needs to.
        writer: Writes.
        batch_size: Crops that are parsed together.
    """

    settings: Settings
    out: Path
    detector: FaceDetector
    parser: FaceParser | None
    landmarks: FaceDetector | None
    writer: FaceWriter
    batch_size: int = 16

    @classmethod
    def build(cls, settings: Settings, out: Path, execution: Execution, worker: int = 0) -> Workshop:
        """Build everything from configs.

        Args:
            settings: What decides the result.
            out: Folder of the output.
            execution: Device, batch size and imports.
            worker: Number of the process on this machine; chooses among several GPUs.
        """
        parts = build_components(settings, execution, worker)
        return cls(settings, out, *parts, build_writer(settings.format), execution.batch_size)

    def prepare(self) -> None:
        """Load the models now."""
        for part in (self.detector, self.parser, self.landmarks):
            if part is not None:
                part.prepare()

    def takes_device(self) -> bool:
        """Whether detector or parser compute where they are told to."""
        kinds = [type(part) for part in (self.detector, self.parser, self.landmarks) if part is not None]
        return any('device' in inspect.signature(kind).parameters for kind in kinds)

    def imports(self) -> tuple[str, ...]:
        """What is worth importing before processes part: torch, where anything computes with it."""
        resizes = self.settings.size is not None and self.detector.only_size is None
        return ('torch',) if resizes or self.takes_device() else ()

    def prepare_chunk(self, chunk: Chunk, attempt: Attempt) -> Counter[str]:
        """Work on a chunk: read, detect, cut, parse, write.

        Args:
            chunk: The sources.
            attempt: Hears what is being worked on (with the pictures and frames, and the faces, that are behind
                us), and knows the sources that killed earlier processes.

        Returns:
            How many of its records have each status. Its files are written, and then its part.

        Raises:
            StoppedError: The disk refuses; memory, GPU or network fail; or sources are gone.
        """
        job = _ChunkJob(self, chunk, attempt, 1 if attempt.one_by_one else self.batch_size)
        try:
            job.cut_and_parse()
            return job.write()
        finally:
            job.store.close()

    def prepare_in_memory(self, items: Sequence[Item]) -> tuple[list[PreparedFace], list[FaceRecord]]:
        """The same of a few sources, with nothing written: the faces, and what became of every source."""
        job = _ChunkJob(self, Chunk(0, tuple(items)), Attempt(), self.batch_size)
        try:
            job.cut_and_parse()
            return list(job.faces_to_write()), [cut.record for _, cut in job.cuts]
        finally:
            job.store.close()


@dataclass
class _ChunkJob:
    """What is known while a chunk is worked on."""

    shop: Workshop
    chunk: Chunk
    attempt: Attempt
    batch_size: int
    clock: Clock = field(default_factory=Clock)
    cuts: list[tuple[int, Cut]] = field(default_factory=list)
    waiting: list[tuple[int, Cut]] = field(default_factory=list)
    weight: int = 0
    faces: int = 0

    def __post_init__(self) -> None:
        self.store = CropStore(self.shop.out / WORK_FOLDER)

    def cut_and_parse(self) -> None:
        """Fill ``cuts``; crops are parsed as soon as there are enough for a batch."""
        for position, item in enumerate(self.chunk.items):
            if position in self.attempt.skip:
                cuts = [nothing(item, 'crashed', self.attempt.skip[position])]
            else:
                self._tell((position,))
                cuts = self._cut(position)
            self.cuts += [(position, cut) for cut in cuts]
            self.waiting += [(position, cut) for cut in cuts if cut.slot is not None]
            while len(self.waiting) >= self.batch_size:
                self._parse_batch()
            self.weight += weight(item)
        while self.waiting:
            self._parse_batch()

    def _tell(self, positions: Sequence[int]) -> None:
        self.attempt.tell(positions, self.weight, self.faces)

    def _cut(self, position: int) -> list[Cut]:
        item = self.chunk.items[position]
        cutter = Cutter(
            self.shop.settings,
            self.shop.detector,
            self.store.add,
            lambda: self._tell((position,)),
            self.clock,
        )
        try:
            cuts = cutter.cut(item)
        except StoppedError:
            raise
        except _machine_failures() as error:
            raise _machine_failed(error) from error
        # a detector or codec that fails at one file costs that file; the record says how
        except Exception as error:
            cuts = [nothing(item, 'crashed', f'{type(error).__name__}: {error}')]
        if position not in self.chunk.absent and any(cut.record.status in FAILURES for cut in cuts):
            _check_still_there(item)
        return cuts

    def _parse_batch(self) -> None:
        batch, self.waiting = self.waiting[: self.batch_size], self.waiting[self.batch_size :]
        self._tell(sorted({position for position, _ in batch}))
        if self.shop.parser is not None:
            with self.clock.stage('parse'):
                for (_, cut), labels in zip(batch, self._parse([cut for _, cut in batch])):
                    self._label(cut, labels)
        self.faces += sum(cut.slot is not None for _, cut in batch)

    def _parse(self, cuts: list[Cut]) -> list[np.ndarray | Exception | None]:
        """Maps of some crops; where a batch fails, crop by crop, with the failure for those that fail."""
        assert self.shop.parser is not None
        crops = [self.store.crop(cut.slot) for cut in cuts if cut.slot is not None]
        try:
            self._find_landmarks(cuts, crops)
            origins, landmarks = zip(*((cut.origin, cut.landmarks) for cut in cuts))
            return list(self.shop.parser.parse_from(origins, crops, landmarks))
        except _machine_failures() as error:
            raise _machine_failed(error) from error
        except Exception as error:  # recorded as 'crashed' with the error's text
            return [error] if len(cuts) == 1 else [self._parse([cut])[0] for cut in cuts]

    def _find_landmarks(self, cuts: list[Cut], crops: list[np.ndarray]) -> None:
        """Landmarks of the largest face inside each crop that came without them."""
        missing = (
            [] if self.shop.landmarks is None else [n for n, cut in enumerate(cuts) if cut.landmarks is None]
        )
        if not missing or self.shop.landmarks is None:
            return
        found = self.shop.landmarks.detect([crops[n] for n in missing])
        for n, faces in zip(missing, found):
            if faces:
                cuts[n].landmarks = max(faces, key=lambda face: face.area).landmarks

    def _label(self, cut: Cut, labels: np.ndarray | Exception | None) -> None:
        assert cut.slot is not None
        if isinstance(labels, np.ndarray):
            cut.record.labels = label_fractions(labels)
            self.store.add_labels(cut.slot, labels)
            return
        cut.slot = None
        if labels is None:
            cut.record.status, cut.record.message = 'unparsed', self._without_map(cut)
        elif isinstance(labels, BrokenSampleError):
            cut.record.status, cut.record.message = 'unreadable', str(labels)
        else:
            cut.record.status, cut.record.message = 'crashed', f'{type(labels).__name__}: {labels}'

    def _without_map(self, cut: Cut) -> str:
        parser = self.shop.parser
        assert parser is not None  # or nobody would miss its map
        if parser.needs_landmarks and cut.landmarks is None:
            return 'the parser needs landmarks, and no face was found inside the crop'
        return parser.nothing

    def faces_to_write(self) -> Iterator[PreparedFace]:
        """The faces, read from the store one at a time."""
        for _, cut in self.cuts:
            if cut.slot is not None:
                self._tell(())
                labels = None if self.shop.parser is None else self.store.labels(cut.slot)
                yield PreparedFace(cut.key, self.store.crop(cut.slot), labels, cut.record)

    def write(self) -> Counter[str]:
        """Write the faces, and then the part."""
        self._tell(())
        records = [cut.record for _, cut in self.cuts]
        counts = np.zeros((3, 256), np.int64)
        try:
            with self.clock.stage('write'):
                self.shop.writer.write_chunk(self.shop.out, self.chunk.number, self.faces_to_write())
                for face in self.faces_to_write():
                    if face.record.status == 'ok':  # not where the disk does not take its name
                        counts += count_values(face.image)
            write_part(self.shop.out, self.chunk.number, records, counts, self.clock.seconds)
        except OSError as error:
            raise cannot_write(error, self.shop.out) from error
        return Counter(record.status for record in records)


def _check_still_there(item: Item) -> None:
    """A file that cannot be read is the file's fault only while it is still where it was listed.

    Raises:
        StoppedError: It is gone, or the folder of its source: a disk was taken away, most likely.
    """
    inside = item.path.endswith(f'/{item.source}')
    root = item.path[: -len(item.source)] if inside else os.path.dirname(item.path) or '.'
    try:
        os.stat(item.path)
        with os.scandir(root):
            return
    except OSError as error:
        if error.errno not in _GONE:
            return
        raise StoppedError(
            f'{printable(item.path)} was there when the run began and is gone ({error.strerror}): '
            f'look whether {printable(root)} is still mounted'
        ) from error


def chunk_worker(
    settings: Settings, execution: Execution, out: Path, number: int
) -> Callable[[Chunk, Attempt], Counter[str]]:
    """Load the models of a process, any process.

    Args:
        settings: What decides the result.
        execution: How it is computed.
        out: Folder of the output.
        number: Of the process on this machine.

    Returns:
        :meth:`Workshop.prepare_chunk`.
    """
    shop = Workshop.build(settings, out, execution, number)
    shop.prepare()  # here, or missing weights would be a failure of every file
    return shop.prepare_chunk
