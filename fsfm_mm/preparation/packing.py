"""From a data set in the published folder layout to an archive, in chunks that may be interrupted."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.datasets.pretraining.folders import FaceParsingDataset
from fsfm_mm.datasets.reading import BrokenSampleError
from fsfm_mm.datasets.resizing import resize_image, resize_labels
from fsfm_mm.datasets.transforms.loading import LoadFace
from fsfm_mm.preparation.finish import MANIFEST_FILE, ManifestRecords, finish
from fsfm_mm.preparation.items import Item
from fsfm_mm.preparation.parts import Part, parts_done, write_part
from fsfm_mm.preparation.plan import SUMMARY_FILE, Chunk, begin, check_place, is_complete, make_plan
from fsfm_mm.preparation.progress import Progress, Tally
from fsfm_mm.preparation.records import FaceRecord
from fsfm_mm.preparation.settings import Settings, build_writer
from fsfm_mm.preparation.store import CannotWriteError
from fsfm_mm.preparation.workers import StoppedError, _end_with_parent, one_thread
from fsfm_mm.preparation.writers.base import PreparedFace
from fsfm_mm.regions import LABEL_NAMES
from fsfm_mm.statistics import count_values


@dataclass(frozen=True)
class _Task:
    """A chunk to pack.

    Attributes:
        chunk: Its images.
        maps: Map of each image; None where no maps are wanted.
        form: Config of the writer.
        size: Side of the faces in pixels.
        out: Folder of the output.
    """

    chunk: Chunk
    maps: tuple[str | None, ...]
    form: Mapping[str, Any]
    size: int
    out: Path


def pack(
    data: str | os.PathLike,
    out: str | os.PathLike,
    form: Mapping[str, Any],
    size: int = 224,
    need_maps: bool = True,
    missing_maps: str = 'error',
    workers: int = 0,
    chunk_size: int = 1024,
) -> Tally:
    """Pack a data set, or go on with that.

    Pixels and labels are those that :class:`~fsfm_mm.datasets.FaceParsingDataset` and ResizeFace give.

    Args:
        data: Folder with ``images/`` and ``parsing_maps/``.
        out: Folder of the output; new, empty, or with the beginning of the same packing.
        form: Config of the writer, e.g. ``dict(type='archive', image_format='raw')``.
        size: Side of the packed faces in pixels; others are resized.
        need_maps: False leaves the maps out.
        missing_maps: What to do with images without a map: 'error' or 'skip'.
        workers: Processes; 0 works in this one.
        chunk_size: Faces of a shard.

    Returns:
        What has become of the images.

    Raises:
        ValueError: The data set is incomplete, or the output belongs to something else.
        StoppedError: The disk refuses, or a worker process has died. What was done is kept.
    """
    writer, out = build_writer(form), Path(out).absolute()
    items, maps = _listing(os.fspath(data), need_maps, missing_maps)
    parser = dict(type='StoredMaps') if need_maps else None
    approximate = need_maps and _approximate(Path(data, SUMMARY_FILE))
    settings = Settings(dict(type='NoDetector'), parser, form, 'largest', 1.0, size, 0, chunk_size)
    plan = make_plan(items, settings, {'sources': [os.fspath(data)]})
    check_place(out, plan)
    try:
        if not is_complete(out):
            begin(out, plan)
            done = parts_done(out)
            tasks = [
                _Task(chunk, tuple(maps[item.key] for item in chunk.items), form, size, out)
                for chunk in plan.chunks
                if chunk.number not in done
            ]
            _work(tasks, workers, Progress(len(items), len(items) - sum(task.chunk.weight for task in tasks)))
        finish(out, plan, writer, approximate)
    except OSError as error:
        raise StoppedError(str(CannotWriteError.of(error, out))) from error
    tally = Tally(sources=len(items))
    for record in ManifestRecords(out / MANIFEST_FILE):
        tally.add(record.status, record.source, record.message)
    return tally


def _listing(data: str, need_maps: bool, missing_maps: str) -> tuple[list[Item], dict[str, str | None]]:
    """The images in the order of the data set, and the map of each by its key."""
    dataset = FaceParsingDataset(data, need_maps=need_maps, missing_maps=missing_maps)
    images = os.path.join(data, dataset.img_dir)
    items, maps = [], {}
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        source = os.path.relpath(info['img_path'], images)
        key = os.path.splitext(source)[0]
        items.append(Item(info['img_path'], source, 0, key))
        maps[key] = info['map_path']
    return items, maps


def _approximate(summary: Path) -> bool:
    """What the preparation of the data says of its maps; False where they come from elsewhere.

    Raises:
        ValueError: Its file holds something else.
    """
    if not summary.is_file():
        return False
    try:
        about = json.loads(summary.read_bytes())
    except ValueError as error:
        raise ValueError(
            f'{summary}: no JSON ({error}): prepare the set again, or delete the file.'
        ) from error
    if not isinstance(about, dict):
        raise ValueError(f'{summary}: expected a JSON object: prepare the set again, or delete the file.')
    return bool(about.get('approximate_maps'))


def _work(tasks: Sequence[_Task], workers: int, progress: Progress) -> None:
    try:
        for chunk, statuses in _results(tasks, workers):
            progress.done(chunk, statuses)
    except BrokenProcessPool as error:
        raise StoppedError('a worker process has died, perhaps for lack of memory') from error
    finally:
        progress.close()


def _results(tasks: Sequence[_Task], workers: int) -> Iterator[tuple[Chunk, Counter[str]]]:
    if workers == 0:
        yield from map(_pack_chunk, tasks)
        return
    context = multiprocessing.get_context(
        'forkserver'
    )  # a fork of this process could wait for its threads for ever
    count = min(workers, max(len(tasks), 1))
    with ProcessPoolExecutor(count, context, initializer=_begin_worker) as pool, _cancelled(pool):
        for future in as_completed([pool.submit(_pack_chunk, task) for task in tasks]):
            yield future.result()


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


@contextmanager
def _cancelled(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Leave with what is being worked on, not with all that waits."""
    try:
        yield
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pack_chunk(task: _Task) -> tuple[Chunk, Counter[str]]:
    """Read, resize and write one chunk."""
    records, faces = [], []
    counts = np.zeros((3, 256), np.int64)
    with one_thread():
        for item, map_path in zip(task.chunk.items, task.maps):
            record = FaceRecord(item.source)
            records.append(record)
            try:
                face = _read(item, map_path, task.size, record)
            except BrokenSampleError as error:
                record.status, record.message = 'unreadable', str(error)
                continue
            faces.append(face)
            counts += count_values(face.image)
        build_writer(task.form).write_chunk(task.out, task.chunk.number, faces)
        write_part(task.out, Part(task.chunk.number, records, counts, {}))
    return task.chunk, Counter(record.status for record in records)


def _read(item: Item, map_path: str | None, size: int, record: FaceRecord) -> PreparedFace:
    sample: dict[str, Any] = {'img_path': item.path} | ({} if map_path is None else {'map_path': map_path})
    sample = LoadFace().transform(sample)
    image = np.ascontiguousarray(resize_image(sample['img'], (size, size)))
    if map_path is None:
        return PreparedFace(item.key, image, None, record)
    labels = resize_labels(sample['parsing_map'], (size, size))
    shares = np.bincount(labels.ravel(), minlength=len(LABEL_NAMES)) / labels.size
    record.labels = {name: round(float(share), 6) for name, share in zip(LABEL_NAMES, shares)}
    return PreparedFace(item.key, image, labels, record)
