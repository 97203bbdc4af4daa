"""Working on chunks in any process: the same files whoever does it, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fsfm_mm.files.listing import printable
from fsfm_mm.files.parallel import Attempt, Pool, Watcher
from fsfm_mm.preparation.chunks import Workshop, cannot_write
from fsfm_mm.preparation.manifest import write_part
from fsfm_mm.preparation.plan import Chunk
from fsfm_mm.preparation.settings import Execution, Settings


@dataclass(frozen=True)
class Job:
    """What every process needs to know.

    Attributes:
        settings: What decides the result.
        execution: How it is computed.
        out: Folder of the output.
        imports: Modules that take long and are needed by all.
    """

    settings: Settings
    execution: Execution
    out: Path
    imports: tuple[str, ...] = ()

    def work(
        self, chunks: Sequence[Chunk], watcher: Watcher[Chunk], engine: str = 'processes'
    ) -> Iterator[tuple[Chunk, Counter[str]]]:
        """Work on chunks: write their files, and then their parts.

        Args:
            chunks: The work.
            watcher: Hears how far the chunks are: pictures and frames, and faces.
            engine: See :class:`fsfm_mm.files.parallel.Pool`.

        Yields:
            A chunk that is done, and how many of its records have each status.

        Raises:
            ValueError: Ray is wanted and not installed.
            StoppedError: The output cannot be written, the machine fails, or processes die without working on a source.
        """
        execution = self.execution
        gpu = execution.device != 'cpu'
        pool = Pool(execution.num_workers(), execution.timeout, self.imports, engine, gpu)
        return pool.work(partial(begin, self), chunks, _name, watcher)


def begin(job: Job, number: int) -> Callable[[Chunk, Attempt], Counter[str]]:
    """Load the models of a process; returns what works on a chunk."""
    shop = Workshop.build(job.settings, job.out, job.execution, number)
    shop.prepare()  # here, or missing weights would be a failure of every file
    return partial(_work_on, shop)


def _work_on(shop: Workshop, chunk: Chunk, attempt: Attempt) -> Counter[str]:
    part = shop.prepare_chunk(chunk, attempt)
    try:
        write_part(shop.out, part)
    except OSError as error:
        raise cannot_write(error, shop.out) from error
    return part.statuses()


def _name(chunk: Chunk, position: int) -> str:
    return printable(chunk.items[position].path)
