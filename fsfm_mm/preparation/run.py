"""A whole run: plan, work, join; interrupted and started again as often as one likes."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from fsfm_mm.files import replacing, write_atomically
from fsfm_mm.files.parallel import Begin, Pool
from fsfm_mm.files.prepared import SUMMARY_FILE
from fsfm_mm.files.writing import check_folder
from fsfm_mm.preparation.chunks import Workshop, cannot_write, chunk_worker
from fsfm_mm.preparation.manifest import (
    MANIFEST_FILE,
    FaceRecord,
    encoded,
    manifest_records,
    parts_done,
    read_part,
)
from fsfm_mm.preparation.plan import WORK_FOLDER, Chunk, Plan, begin, check_place, is_complete, make_plan
from fsfm_mm.preparation.progress import Progress, Tally
from fsfm_mm.preparation.settings import Execution, Settings
from fsfm_mm.preparation.sources.items import Item
from fsfm_mm.preparation.writers.base import FaceWriter
from fsfm_mm.statistics import statistics
from fsfm_mm.text import printable


@dataclass(frozen=True)
class Share:
    """Which chunks this process takes: ``index``, ``index + count``, ...

    Attributes:
        index: 0 .. count - 1.
        count: Number of shares.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f'the shard must lie within 0 and num_shards - 1, found shard {self.index} of {self.count}.'
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Share:
        """The share of a rank that torchrun or SLURM's srun started; everything outside of them.

        ``SLURM_NTASKS`` is not asked: a batch script has it too, where nobody works on the other shares.
        """
        for rank, world in (('RANK', 'WORLD_SIZE'), ('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS')):
            if rank in environment and world in environment:
                return cls(int(environment[rank]), int(environment[world]))
        return cls()


@dataclass
class Outcome:
    """What a run has come to.

    Attributes:
        complete: Whether everything is there and joined.
        repeated: Whether it was complete before.
        limits: What is to be said of maps that are only roughly right; '' for others.
        tally: What has become of the sources: of all, or of this share while others are at work.
    """

    complete: bool
    repeated: bool
    limits: str
    tally: Tally


def prepare(
    items: Sequence[Item],
    out: str | os.PathLike,
    settings: Settings,
    execution: Execution | None = None,
    about: dict[str, Any] | None = None,
    share: Share | None = None,
    engine: str = 'processes',
    missing: Sequence[str] = (),
) -> Outcome:
    """Prepare faces from sources, or go on with that.

    Args:
        items: The sources, in the order of the manifest.
        out: Folder of the output; new, empty, or with the beginning of the same run.
        settings: What decides the result.
        execution: How it is computed.
        about: Further entries of ``prepare.json``, such as ``sources``.
        share: Part of the work for this process; whichever share ends last joins the parts.
        engine: 'processes' on this machine, or 'ray' for those of a Ray cluster that shares the disk.
        missing: Names of sources that a list of the set names and that are not there: the manifest says so.

    Returns:
        What has become of the sources.

    Raises:
        ValueError: The output belongs to something else, settings are wrong, or weights are missing.
        ConnectionError: Weights cannot be fetched.
        StoppedError: The disk refuses, sources or memory are gone, or workers cannot run. What was done is kept.
    """
    out, execution, share = Path(out), execution or Execution(), share or Share()
    check_folder(out, 'the output')  # before anything is read
    plan = make_plan(items, settings, about or {}, missing)
    # on the CPU and dropped again: it only tells wrong settings and missing weights before any work
    shop = Workshop.build(settings, out, Execution(device='cpu', imports=execution.imports))
    limits = '' if shop.parser is None else shop.parser.limits
    workers, gpu = execution.num_workers(shop.takes_device()), execution.device != 'cpu'
    pool = Pool(workers, execution.timeout, shop.imports(), engine, gpu)
    check_place(out, plan)
    repeated = is_complete(out)
    mine = plan.chunks[share.index :: share.count]
    done = parts_done(out)
    todo = [] if repeated else [chunk for chunk in mine if chunk.number not in done]
    if todo:  # before the folder is taken: other settings are still possible when weights lack
        shop.prepare()
    try:
        if not repeated:
            begin(out, plan)
            _work(pool, partial(chunk_worker, settings, execution, out.absolute()), mine, todo)
        tally = _tally(out, mine if share.count > 1 else plan.chunks)
        complete = finish(out, plan, shop.writer, limits)
    except OSError as error:
        raise cannot_write(error, out) from error
    if complete:
        tally = Tally(seconds=tally.seconds)
        for record in manifest_records(out / MANIFEST_FILE):
            tally.add(record)
    return Outcome(complete, repeated, limits, tally)


def _work(
    pool: Pool, worker: Begin[Chunk, Counter[str]], mine: Sequence[Chunk], missing: Sequence[Chunk]
) -> None:
    if not missing:
        return
    total = sum(chunk.weight for chunk in mine)
    progress = Progress(total, total - sum(chunk.weight for chunk in missing))
    try:
        for chunk, statuses in pool.work(worker, missing, _name, progress):
            progress.done(chunk, statuses)
    finally:
        progress.close()


def _name(chunk: Chunk, position: int) -> str:
    return printable(chunk.items[position].path)


def _tally(out: Path, chunks: Iterable[Chunk]) -> Tally:
    """Count what the parts say; nothing where another process has joined them already."""
    tally = Tally()
    for chunk in chunks:
        try:
            head, lines = read_part(out, chunk.number)
        except FileNotFoundError:
            continue
        tally.seconds.update(head['seconds'])
        for _, record in lines:
            tally.add(record)
    return tally


STATISTICS_FILE = 'mean_std.json'
#: What a killed process leaves of a file, see ``fsfm_mm.files.replacing``.
_LEFTOVER = re.compile(r'\..*\.\d+\.part')


def finish(out: Path, plan: Plan, writer: FaceWriter, limits: str) -> bool:
    """Join the parts when all are there; any number of processes may try, at any time.

    Args:
        out: Folder of the output.
        plan: The run.
        writer: Its writer.
        limits: What is to be said of maps that are only roughly right.

    Returns:
        Whether the run is complete now.

    Raises:
        OSError: The disk refuses.
    """
    if not is_complete(out):
        if parts_done(out) < set(range(len(plan.chunks))):
            return False
        try:
            with FileLock(out / WORK_FOLDER / 'finish.lock'):
                if not is_complete(out):
                    _join(out, plan, writer, limits)
        except FileNotFoundError:  # another process has finished and tidied up in the meantime
            if not is_complete(out):
                raise
    shutil.rmtree(out / WORK_FOLDER, ignore_errors=True)
    return True


def _join(out: Path, plan: Plan, writer: FaceWriter, limits: str) -> None:
    _remove_leftovers(out)
    counts = np.zeros((3, 256), np.int64)
    statuses: Counter[str] = Counter()
    with replacing(out / MANIFEST_FILE) as file, open(file, 'wb') as manifest:
        for chunk in plan.chunks:
            head, lines = read_part(out, chunk.number)
            counts += np.array(head['counts'], np.int64)
            for line, record in lines:
                statuses[record.status] += 1
                manifest.write(encoded(line + '\n'))
        for name in plan.missing:
            statuses['missing'] += 1
            manifest.write(encoded(FaceRecord(name, status='missing').to_json() + '\n'))
    writer.finish(out, len(plan.chunks), manifest_records(out / MANIFEST_FILE))
    if statuses['ok'] and plan.about['size']:  # of crops as the model will see them
        content = statistics(counts, statuses['ok'], plan.about['size'], 'bicubic', [])
        write_atomically(out / STATISTICS_FILE, json.dumps(content, indent=2) + '\n', sync=True)
    about = {
        **plan.about,
        'approximate_maps': bool(limits),
        **({'map_limits': limits} if limits else {}),
        'statuses': dict(sorted(statuses.items())),
    }
    write_atomically(out / SUMMARY_FILE, json.dumps(about, indent=2) + '\n', sync=True)


def _remove_leftovers(out: Path) -> None:
    """Remove what killed processes left half written; nobody writes any more when all parts are there."""
    for folder, _, names in os.walk(out):
        for name in names:
            if _LEFTOVER.fullmatch(name):
                Path(folder, name).unlink(missing_ok=True)  # another share may be at it, too
