"""Chunks on the machines of a Ray cluster whose nodes share the disk; an extra (``pip install ray``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fsfm_mm.preparation.chunks import MachineError, Watcher, Workshop
from fsfm_mm.preparation.parts import write_part
from fsfm_mm.preparation.plan import Chunk
from fsfm_mm.preparation.store import CannotWriteError
from fsfm_mm.preparation.workers import Crew, Job, StoppedError, one_thread

#: Workshops of this process by their job: models are loaded once, not once a chunk.
_SHOPS: dict[str, Workshop] = {}


def work_on(job: Job, chunk: Chunk) -> Counter[str]:
    """Work on one chunk in a process of Ray and write its part; returns the number of each status."""
    key = repr(job)
    with one_thread():
        if key not in _SHOPS:
            shop = Workshop.build(job.settings, job.out, job.execution)
            shop.prepare()  # here, or missing weights would be a failure of every file
            _SHOPS[key] = shop
        part = _SHOPS[key].prepare_chunk(chunk)
    try:
        write_part(job.out, part)
    except OSError as error:
        raise CannotWriteError.of(error, job.out) from error
    return part.statuses()


def work_with_ray(job: Job, chunks: Sequence[Chunk], watcher: Watcher) -> None:
    """Work on chunks with the processes of a Ray cluster, or of this machine where none is running.

    A chunk whose process dies again after Ray's own second attempt is worked on by worker processes here,
    which find out the file that is to blame.

    Raises:
        ValueError: Ray is not installed.
        StoppedError: The output cannot be written, or a machine fails.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError('--engine ray needs Ray: pip install ray') from error
    if not ray.is_initialized():
        ray.init()  # joins the cluster that RAY_ADDRESS names
    gpus = 0 if job.execution.device == 'cpu' else min(1, ray.cluster_resources().get('GPU', 0))
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(work_on)
    todo, crashed = list(reversed(chunks)), []
    running: dict[Any, Chunk] = {}
    at_once = 2 * max(1, int(ray.cluster_resources().get('CPU', 1)))
    while todo or running:
        while todo and len(running) < at_once:
            chunk = todo.pop()
            running[remote.remote(job, chunk)] = chunk
        (ready, *_), _ = ray.wait(list(running), num_returns=1)
        chunk = running.pop(ready)
        try:
            watcher.done(chunk, ray.get(ready))
        except (CannotWriteError, MachineError) as error:
            raise StoppedError(str(error)) from error
        except ray.exceptions.WorkerCrashedError:
            crashed.append(chunk)
    if crashed:
        Crew(job, watcher).work(crashed)
