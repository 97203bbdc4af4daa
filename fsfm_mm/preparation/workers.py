"""Processes that work on chunks: one that dies or hangs costs the file it worked on, nothing more."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import torch

from fsfm_mm.preparation.chunks import CannotWriteError, MachineError, Watcher, Workshop
from fsfm_mm.preparation.manifest import Part, write_part
from fsfm_mm.preparation.plan import Chunk
from fsfm_mm.preparation.settings import Execution, Settings
from fsfm_mm.preparation.sources.finding import printable

#: A source is given up after it has killed so many processes; and a run, after so many that worked on none.
ATTEMPTS = 2
_LOST_ATTEMPTS = 3
#: Loading a model may take long.
_START_SECONDS = 600.0


class StoppedError(Exception):
    """The run cannot go on; the message says why, in one sentence. What was done is kept."""


@dataclass(frozen=True)
class Job:
    """What every process needs to know.

    Attributes:
        settings: What decides the result.
        execution: How it is computed.
        out: Folder of the output.
    """

    settings: Settings
    execution: Execution
    out: Path


def work_here(job: Job, chunks: Iterable[Chunk], watcher: Watcher) -> None:
    """Work on chunks in this process.

    Raises:
        StoppedError: The output cannot be written, or the machine fails.
    """
    with one_thread():
        shop = Workshop.build(job.settings, job.out, job.execution)
        shop.prepare()
        for chunk in chunks:
            number = chunk.number
            try:
                part = shop.prepare_chunk(chunk, lambda _, weight, faces: watcher.at(number, weight, faces))  # noqa: B023
                _save(job.out, part)
            except (CannotWriteError, MachineError) as error:
                raise StoppedError(str(error)) from error
            watcher.done(chunk, part.statuses())


def _start_server(context: ForkServerContext) -> None:
    """Start the fork server with everything imported: 50 ms for a new process instead of seconds.

    It inherits that Ctrl-C is held back, or else it would complain when that comes while it imports.
    """
    context.set_forkserver_preload([__name__])
    resource_tracker.ensure_running()  # first: it lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def one_thread():
    """One thread for OpenCV and torch, as in every worker, so that the same numbers come out."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _save(out: Path, part: Part) -> None:
    try:
        write_part(out, part)
    except OSError as error:
        raise CannotWriteError.of(error, out) from error


def _serve(connection: Connection, job: Job, number: int) -> None:
    """A worker's life: chunks come in, signs of life and results go out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        shop = Workshop.build(job.settings, job.out, job.execution, number)
        shop.prepare()
        connection.send(('ready',))
        while True:
            chunk, skip, one_by_one = connection.recv()

            part = shop.prepare_chunk(chunk, partial(_tell, connection), skip, one_by_one)
            _save(job.out, part)
            connection.send(('done', part.statuses()))
    except EOFError:  # no more work
        return
    except (CannotWriteError, MachineError) as error:
        connection.send(('stop', str(error)))
    except Exception as error:
        connection.send(('stop', f'a worker process failed ({type(error).__name__}: {error})'))
        raise


def _tell(connection: Connection, positions: Sequence[int], weight: int, faces: int) -> None:
    connection.send(('at', tuple(positions), weight, faces))


def _end_with_parent() -> None:
    """End at once when the parent is gone (kill -9): nobody listens any more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@dataclass
class _Task:
    """A chunk that is to be worked on, and what happened in earlier attempts."""

    chunk: Chunk
    deaths: Counter[int] = field(default_factory=Counter)
    skip: dict[int, str] = field(default_factory=dict)
    one_by_one: bool = False
    lost: int = 0


@dataclass
class _Worker:
    """A process and what it does."""

    number: int
    process: BaseProcess
    connection: Connection
    ready: bool = False
    task: _Task | None = None
    positions: tuple[int, ...] = ()
    sign: float = 0.0


class Crew:
    """Worker processes, made anew as they die.

    They come from a fork server that never ran a thread: a process forked from one that ran OpenCV's or
    torch's threads can wait for them for ever.

    Args:
        job: What every process needs to know.
        watcher: Hears how far the chunks are.
    """

    def __init__(self, job: Job, watcher: Watcher) -> None:
        self._job, self._watcher = job, watcher
        self._context = multiprocessing.get_context('forkserver')
        _start_server(self._context)
        self._workers: list[_Worker] = []
        self._tasks: deque[_Task] = deque()
        self._failed_starts = 0

    def work(self, chunks: Iterable[Chunk]) -> None:
        """Work on chunks until all are done.

        Raises:
            StoppedError: The output cannot be written, the machine fails, or processes die without working on a source.
        """
        self._tasks = deque(_Task(chunk) for chunk in chunks)
        try:
            for number in range(min(self._job.execution.num_workers(), len(self._tasks))):
                self._workers.append(self._start(number))
            while self._tasks or any(worker.task for worker in self._workers):
                self._listen()
        finally:
            for worker in self._workers:
                worker.process.kill()  # files are whole or not there, so nothing is lost
            for worker in self._workers:
                worker.process.join()
                worker.connection.close()
            self._workers = []

    def _start(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._job, number), daemon=True)
        process.start()
        theirs.close()
        return _Worker(number, process, ours, sign=time.monotonic())

    def _listen(self) -> None:
        """Hear what there is to hear, for a second at most; then look who is dead or silent."""
        by_handle = {worker.connection: worker for worker in self._workers}
        for handle in wait(list(by_handle), timeout=1.0):
            assert isinstance(handle, Connection)
            worker = by_handle[handle]
            try:
                self._hear(worker, handle.recv())
            except (EOFError, ConnectionError):
                worker.process.join()
                self._bury(worker, f'died ({_cause(worker.process.exitcode)})')
        for worker in list(self._workers):
            patience = self._job.execution.timeout if worker.ready else _START_SECONDS
            if (worker.task or not worker.ready) and time.monotonic() - worker.sign > patience:
                worker.process.kill()
                worker.process.join()
                self._bury(worker, f'gave no sign of life for {patience:g} seconds')

    def _hear(self, worker: _Worker, message: tuple) -> None:
        worker.sign = time.monotonic()
        kind, *values = message
        if kind == 'stop':
            raise StoppedError(values[0])
        if kind == 'ready':
            worker.ready = True
        elif kind == 'at':
            assert worker.task is not None
            worker.positions = values[0]
            self._watcher.at(worker.task.chunk.number, values[1], values[2])
        elif kind == 'done':
            assert worker.task is not None
            self._watcher.done(worker.task.chunk, values[0])
            worker.task, worker.positions = None, ()
        if worker.task is None and self._tasks:
            worker.task, worker.positions = self._tasks.popleft(), ()
            task = worker.task
            worker.connection.send((task.chunk, task.skip, task.one_by_one))

    def _bury(self, worker: _Worker, what: str) -> None:
        """Take note of a death, give its chunk back, and start another process."""
        task = worker.task
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _LOST_ATTEMPTS:
                raise StoppedError(f'worker processes do not start: one {what}')
        elif task is not None:
            self._blame(task, worker.positions, what)
            self._watcher.at(task.chunk.number, 0, 0)
            self._tasks.appendleft(task)
        worker.connection.close()
        self._workers[self._workers.index(worker)] = self._start(worker.number)

    def _blame(self, task: _Task, positions: tuple[int, ...], what: str) -> None:
        if len(positions) == 1:
            (position,) = positions
            path = printable(task.chunk.items[position].path)
            task.deaths[position] += 1
            again = task.deaths[position] < ATTEMPTS
            if not again:
                task.skip[position] = f'{path}: the process that worked on it {what}, {ATTEMPTS} times'
            self._watcher.say(f'{path}: the process {what}; ' + ('trying again' if again else 'left out'))
        elif not positions:
            task.lost += 1
            if task.lost >= _LOST_ATTEMPTS:
                raise StoppedError(f'worker processes fail while they write: the last one {what}')
        task.one_by_one = True


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f'exit code {exitcode}'
    name = signal.Signals(-exitcode).name
    return f'{name}, perhaps for lack of memory' if name == 'SIGKILL' else name


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
