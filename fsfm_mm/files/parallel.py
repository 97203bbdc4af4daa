"""The one pool of worker processes: one that dies or hangs costs the file it worked on, which is named."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from fsfm_mm.files.stopping import StoppedError, uninterrupted
from fsfm_mm.files.threads import one_thread, restore_threads

T = TypeVar('T')
R = TypeVar('R')

ENGINES = ('processes', 'ray')
#: An item is given up after it has killed so many processes; and the work, after so many that worked on none.
ATTEMPTS = 2
_LOST_ATTEMPTS = 3
#: Loading a model may take long.
_START_SECONDS = 600.0


@dataclass(frozen=True)
class Attempt:
    """One attempt at a task, as the function that does it sees it.

    Attributes:
        tell: To be called with the places (in the task) of the items that are worked on next, none where it is
            none of them, and whatever the watcher takes beside the task: a sign of life, and who is to blame for
            a death.
        skip: Places of items that killed earlier processes, with a sentence that says so: not to be touched.
        one_by_one: An earlier attempt died of several items: one by one, the one can be told.
    """

    tell: Callable[..., None] = lambda *_: None
    skip: Mapping[int, str] = field(default_factory=dict)
    one_by_one: bool = False


#: Does a task, and raises StoppedError where nobody else should go on either.
Do = Callable[[T, Attempt], R]
#: Given the number of its process, loads what the tasks need; can be pickled.
Begin = Callable[[int], Do[T, R]]


class Watcher(Generic[T]):
    """Hears how the work goes; this one passes on what the user should know, on stderr, and nothing else."""

    def at(self, task: T, *progress: Any) -> None:
        """So far is a task: what its attempt tells; nothing where it begins anew after a death."""

    def say(self, sentence: str) -> None:
        """Something that the user should know now."""
        tqdm.write(sentence, file=sys.stderr)  # beside a bar


@dataclass(frozen=True)
class Pool:
    """How to work on many tasks; the results are the same in any way.

    Attributes:
        workers: Processes on this machine; 0 works in the calling process, which a crash then ends.
        timeout: Seconds without a sign of life after which an item counts as hung.
        imports: Modules that every process needs, imported once and inherited by all.
        engine: 'processes' on this machine, or 'ray' for those of a Ray cluster whose nodes share the disk.
        gpu: Whether a process of Ray's needs a GPU, where there are any.
    """

    workers: int
    timeout: float = 900.0
    imports: tuple[str, ...] = ()
    engine: str = 'processes'
    gpu: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f'the engine must be one of {", ".join(ENGINES)}, found {self.engine!r}.')

    def work(
        self,
        begin: Begin[T, R],
        tasks: Sequence[T],
        name: Callable[[T, int], str],
        watcher: Watcher[T] | None = None,
    ) -> Iterator[tuple[T, R]]:
        """Do tasks.

        Args:
            begin: Loads what they need, once in each process.
            tasks: What is to be done; each has items, numbered from 0.
            name: What to call an item of a task in messages.
            watcher: Hears how it goes.

        Yields:
            Each task with its result, in any order.

        Raises:
            ValueError: Ray is wanted and not installed.
            StoppedError: A task says so, or processes fail where they work on no item.
        """
        watcher = watcher or Watcher()
        if self.engine == 'ray':
            crashed: list[T] = []
            yield from _work_with_ray(begin, tasks, self.gpu, crashed)
            # these find out the item that is to blame
            here = Pool(max(self.workers, 1), self.timeout, self.imports)
            yield from here.work(begin, crashed, name, watcher) if crashed else ()
        elif self.workers == 0:
            yield from _work_here(begin, tasks, watcher)
        elif tasks:
            yield from _Crew(self, begin, name, watcher).work(tasks)


def _work_here(begin: Begin[T, R], tasks: Sequence[T], watcher: Watcher[T]) -> Iterator[tuple[T, R]]:
    before: dict[str, int] = {}
    one_thread(before)
    try:
        do = begin(0)
        for task in tasks:
            one_thread(before)  # also those that came late
            yield task, do(task, Attempt(lambda _, *progress: watcher.at(task, *progress)))  # noqa: B023
    finally:
        restore_threads(before)


def _serve(connection: Connection, begin: Begin, imports: Sequence[str], number: int) -> None:
    """A worker's life: tasks come in, signs of life and results go out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for module in imports:
            importlib.import_module(module)
        one_thread({})
        do = begin(number)
        connection.send(('ready',))
        while True:
            task, skip, one_by_one = connection.recv()
            one_thread({})
            result = do(task, Attempt(partial(_tell_parent, connection), skip, one_by_one))
            connection.send(('done', result))
    except EOFError:  # no more work
        return
    except Exception as error:
        if _is_orphan(error):
            return
        expected = isinstance(error, StoppedError)
        what = str(error) if expected else f'a worker process failed ({type(error).__name__}: {error})'
        connection.send(('stop', what))
        if not expected:
            raise


def _is_orphan(error: BaseException | None) -> bool:
    """Whether something failed because the parent was killed, in the middle of a word to it for instance."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while error is not None and not isinstance(error, ConnectionError):
        error = error.__cause__ or error.__context__
    if error is not None:
        parent.join(1)  # its connections break a moment before it is gone
    return not parent.is_alive()


def _tell_parent(connection: Connection, positions: Sequence[int], *progress: Any) -> None:
    connection.send(('at', tuple(positions), *progress))


def _end_with_parent() -> None:
    """End at once when the parent is gone (kill -9): nobody listens any more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _start_server(context: ForkServerContext, modules: Sequence[str]) -> None:
    """Start the fork server with everything imported: 50 ms for a new process instead of seconds.

    It inherits that Ctrl-C is held back, or else it would complain when that comes while it imports.
    """
    context.set_forkserver_preload(list(modules))
    resource_tracker.ensure_running()  # first: it lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Open(Generic[T]):
    """A task that is to be done, and what happened in earlier attempts."""

    task: T
    deaths: Counter[int] = field(default_factory=Counter)
    skip: dict[int, str] = field(default_factory=dict)
    one_by_one: bool = False
    lost: int = 0


@dataclass
class _Worker(Generic[T]):
    """A process and what it does."""

    number: int
    process: BaseProcess
    connection: Connection
    ready: bool = False
    open: _Open[T] | None = None
    positions: tuple[int, ...] = ()
    sign: float = 0.0


class _Crew(Generic[T, R]):
    """Worker processes, made anew as they die.

    They come from a fork server that never ran a thread: a process forked from one that ran OpenCV's or
    torch's threads can wait for them for ever.
    """

    def __init__(
        self, pool: Pool, begin: Begin[T, R], name: Callable[[T, int], str], watcher: Watcher[T]
    ) -> None:
        self._pool, self._begin, self._name, self._watcher = pool, begin, name, watcher
        self._context = multiprocessing.get_context('forkserver')
        _start_server(self._context, (__name__, _module_of(begin), *pool.imports))
        self._workers: list[_Worker[T]] = []
        self._open: deque[_Open[T]] = deque()
        self._failed_starts = 0

    def work(self, tasks: Sequence[T]) -> Iterator[tuple[T, R]]:
        """Do tasks until all are done."""
        self._open = deque(_Open(task) for task in tasks)
        try:
            for number in range(min(self._pool.workers, len(tasks))):
                self._workers.append(self._start(number))
            while self._open or any(worker.open for worker in self._workers):
                yield from self._listen()
        finally:
            for worker in self._workers:
                worker.process.kill()  # files are whole or not there, so nothing is lost
            for worker in self._workers:
                worker.process.join()
                worker.connection.close()

    def _start(self, number: int) -> _Worker[T]:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._begin, self._pool.imports, number)
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        with uninterrupted():
            process.start()
        theirs.close()
        return _Worker(number, process, ours, sign=time.monotonic())

    def _listen(self) -> Iterator[tuple[T, R]]:
        """Hear what there is to hear, for a second at most; then look who is dead or silent."""
        by_handle = {worker.connection: worker for worker in self._workers}
        for handle in wait(list(by_handle), timeout=1.0):
            assert isinstance(handle, Connection)
            worker = by_handle[handle]
            try:
                message = handle.recv()
            except (EOFError, ConnectionError):
                worker.process.join()
                self._bury(worker, f'died ({_cause(worker.process.exitcode)})')
                continue
            yield from self._hear(worker, message)
        for worker in list(self._workers):
            patience = self._pool.timeout if worker.ready else _START_SECONDS
            if (worker.open or not worker.ready) and time.monotonic() - worker.sign > patience:
                worker.process.kill()
                worker.process.join()
                self._bury(worker, f'gave no sign of life for {patience:g} seconds')

    def _hear(self, worker: _Worker[T], message: tuple) -> list[tuple[T, R]]:
        worker.sign = time.monotonic()
        kind, *values = message
        done = []
        if kind == 'stop':
            raise StoppedError(values[0])
        if kind == 'ready':
            worker.ready = True
        else:
            assert worker.open is not None
            if kind == 'at':
                worker.positions = values[0]
                self._watcher.at(worker.open.task, *values[1:])
            elif kind == 'done':
                done = [(worker.open.task, values[0])]
                worker.open = None
        if worker.open is None and self._open:
            worker.open, worker.positions = self._open.popleft(), ()
            with contextlib.suppress(ConnectionError):  # dead since: the next look at it says how
                worker.connection.send((worker.open.task, worker.open.skip, worker.open.one_by_one))
        return done

    def _bury(self, worker: _Worker[T], what: str) -> None:
        """Take note of a death, give its task back, and start another process."""
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _LOST_ATTEMPTS:
                raise StoppedError(f'worker processes do not start: one {what}')
        elif worker.open is not None:
            self._blame(worker.open, worker.positions, what)
            self._watcher.at(worker.open.task)
            self._open.appendleft(worker.open)
        worker.connection.close()
        self._workers[self._workers.index(worker)] = self._start(worker.number)

    def _blame(self, open_: _Open[T], positions: tuple[int, ...], what: str) -> None:
        if len(positions) == 1:
            (position,) = positions
            name = self._name(open_.task, position)
            open_.deaths[position] += 1
            again = open_.deaths[position] < ATTEMPTS
            if not again:
                open_.skip[position] = f'{name}: the process that worked on it {what}, {ATTEMPTS} times'
            self._watcher.say(f'{name}: the process {what}; ' + ('trying again' if again else 'left out'))
        elif not positions or open_.one_by_one:
            open_.lost += 1
            if open_.lost >= _LOST_ATTEMPTS:
                raise StoppedError(f'worker processes fail while they begin or write: the last one {what}')
        open_.one_by_one = True


def _module_of(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    return function.__module__


def _cause(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f'exit code {exitcode}'
    name = signal.Signals(-exitcode).name
    return f'{name}, perhaps for lack of memory' if name == 'SIGKILL' else name


#: What tasks need in this process of Ray's, by their work: models are loaded once, not once a task.
_BEGUN: dict[str, Do] = {}


def _do_in_ray(begin: Begin[T, R], key: str, task: T) -> R:
    if key not in _BEGUN:
        _BEGUN[key] = begin(0)
    one_thread({})
    return _BEGUN[key](task, Attempt())


def _work_with_ray(
    begin: Begin[T, R], tasks: Sequence[T], gpu: bool, crashed: list[T]
) -> Iterator[tuple[T, R]]:
    """Do tasks in the processes of a Ray cluster, or of this machine where none is running.

    Those whose process dies again after Ray's own second attempt are added to ``crashed``.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError('--engine ray needs Ray: pip install ray') from error
    if not ray.is_initialized():
        ray.init()  # joins the cluster that RAY_ADDRESS names
    resources = ray.cluster_resources()
    gpus = min(1, resources.get('GPU', 0)) if gpu else 0
    remote: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(_do_in_ray)
    key, todo = uuid.uuid4().hex, list(reversed(tasks))
    running: dict[Any, T] = {}
    at_once = 2 * max(1, int(resources.get('CPU', 1)))
    while todo or running:
        while todo and len(running) < at_once:
            task = todo.pop()
            running[remote.remote(begin, key, task)] = task
        (ready, *_), _ = ray.wait(list(running), num_returns=1)
        task = running.pop(ready)
        try:
            result = ray.get(ready)
        except StoppedError as error:  # Ray's copy of it tells the whole way from there, too
            raise StoppedError(str(getattr(error, 'cause', error))) from error
        except ray.exceptions.WorkerCrashedError:
            crashed.append(task)
            continue
        yield task, result
