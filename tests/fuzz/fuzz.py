"""Damages files by the thousand and reads them: each is refused in one sentence that names it, in time and in memory.

``python tests/fuzz/fuzz.py --cases 30000`` tries so many, spread over all readers; ``--only map --first 812 --cases 1``
tries one again, which is always the same, and ``--keep FOLDER`` leaves the damaged file there.
"""

import argparse
import contextlib
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fuzz_readers import READERS

from fsfm_mm.files.parallel import Attempt, Pool

#: Bounds of one case: characters of a sentence, seconds of the processor, MiB above what a process has at rest.
LONGEST, SECONDS, MEMORY = 300, 10.0, 1024
#: Seconds after which a case counts as hung, and MiB that its process can have at all: the machine shall live on.
HANGS, MOST_MEMORY = 120.0, 6 * 1024
CHUNK = 50


@dataclass
class Found:
    """What some cases gave."""

    counts: Counter = field(default_factory=Counter)
    offences: list[str] = field(default_factory=list)
    seconds: float = 0.0
    memory: float = 0.0

    def add(self, other: 'Found') -> None:
        self.counts += other.counts
        self.offences += other.offences
        self.seconds, self.memory = max(self.seconds, other.seconds), max(self.memory, other.memory)


def _memory(key: str) -> float:
    """VmRSS or VmHWM of this process in MiB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def offence_of(error: Exception, folder: Path, name: str) -> str:
    """What is wrong with how a file is refused; '' where nothing is."""
    message = str(error)
    if type(error) is not ValueError and not type(error).__module__.startswith('fsfm_mm.'):
        return f'raw {type(error).__name__}: {message[:200]!r}'
    if Path(name).name not in message and str(folder) not in message:
        return f'names no file: {message[:300]!r}'
    return offence_of_sentence(message)


def offence_of_sentence(message: str) -> str:
    if len(message) > LONGEST:
        return f'{len(message)} characters: {message[:400]!r}'
    return '' if message.isprintable() else f'not printable: {message!r}'


def try_case(
    name: str, number: int, seed: int, folder: Path, whole: dict[str, bytes], keep: str = ''
) -> Found:
    """Damage a file of a reader, and read it."""
    reader, rng = READERS[name], random.Random(f'{seed} {name} {number}')
    file, damage = rng.choice(reader.damages)
    data = damage(whole[file], rng)
    (folder / file).write_bytes(data)
    reader.seal(folder, file)
    offences: list[str] = []
    Path('/proc/self/clear_refs').write_text('5')  # the highest memory counts from here
    before, start = _memory('VmRSS'), time.process_time()
    try:
        told = reader.read(folder) or ()
        offences += filter(None, map(offence_of_sentence, told))
        outcome = 'told' if told else 'read'
    except Exception as error:  # what else it may be is what is asked
        outcome, offence = 'refused', offence_of(error, folder, file)
        offences += [offence] if offence else []
    seconds, memory = time.process_time() - start, _memory('VmHWM') - before
    if seconds > SECONDS:
        offences.append(f'{seconds:.1f} seconds')
    if memory > MEMORY and len(data) < 10 << 20:
        offences.append(f'{memory:.0f} MiB for {len(data)} bytes')
    if offences and keep:
        Path(keep, f'{name.replace(" ", "_")}-{number}-{Path(file).name}').write_bytes(data)
    for other, content in whole.items():
        if other == file or other == 'archive/archive.json':
            (folder / other).write_bytes(content)
    found = Found(Counter({outcome: 1}), seconds=seconds, memory=memory)
    found.offences = [f'{name} {number} ({file}, {len(data)} bytes): {offence}' for offence in offences]
    return found


def fuzz_here(
    name: str, numbers: range, seed: int = 0, keep: str = '', attempt: Attempt | None = None
) -> Found:
    """Try cases of one reader in this process."""
    found, attempt = Found(), attempt or Attempt()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        READERS[name].write(folder)
        whole = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}
        assert not READERS[name].read(folder)  # what is whole is read, and what is loaded late is there
        for position, number in enumerate(numbers):
            if position in attempt.skip:
                found.offences.append(f'{name} {number}: {attempt.skip[position]}')
                continue
            attempt.tell((position,))
            found.add(try_case(name, number, seed, folder, whole, keep))
    return found


def _begin(seed: int, keep: str, number: int):
    limit = MOST_MEMORY << 20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)  # decoders of C libraries complain of each broken file
    os.dup2(null, 1)
    os.dup2(null, 2)
    return lambda task, attempt: fuzz_here(task[0], range(*task[1]), seed, keep, attempt)


def fuzz(
    names: list[str],
    cases: int,
    seed: int = 0,
    first: int = 0,
    workers: int = 1,
    seconds: float = 0.0,
    keep: str = '',
) -> dict[str, Found]:
    """Try cases of several readers, in processes of their own.

    Args:
        names: Of :data:`READERS`.
        cases: Of all together.
        seed: Another one damages otherwise.
        first: Number of the first case of each.
        workers: Processes.
        seconds: Stop after so many; 0 tries all.
        keep: Folder for the files that were not refused as they should; '' keeps none.

    Returns:
        What was found, by reader.
    """
    each = -(-cases // len(names))
    tasks = [
        (name, (begin, min(begin + CHUNK, first + each)))
        for begin in range(first, first + each, CHUNK)
        for name in names
    ]
    found = {name: Found() for name in names}
    end = time.monotonic() + seconds
    done = Pool(workers, timeout=HANGS).work(
        partial(_begin, seed, keep),
        tasks,
        lambda task, position: f'case {task[1][0] + position} of {task[0]}',
    )
    with contextlib.closing(done):
        for (name, _), part in done:
            found[name].add(part)
            if seconds and time.monotonic() > end:
                break
    return found


def table(found: dict[str, Found]) -> str:
    """What was found, for people."""
    rows = [
        f'{"reader":26}{"cases":>7}{"read":>7}{"told":>7}{"refused":>9}{"offences":>10}{"s":>7}{"MiB":>7}'
    ]
    for name, one in found.items():
        counts = one.counts
        rows.append(
            f'{name:26}{counts.total():7}{counts["read"]:7}{counts["told"]:7}{counts["refused"]:9}'
            f'{len(one.offences):10}{one.seconds:7.2f}{one.memory:7.0f}'
        )
    total, bad = (sum(f.counts.total() for f in found.values()), sum(len(f.offences) for f in found.values()))
    return '\n'.join([*rows, f'{total} cases, {bad} offences'])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--cases', type=int, default=1700, help='of all readers together')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--first', type=int, default=0, help='number of the first case of each reader')
    parser.add_argument('--only', nargs='+', choices=READERS, default=list(READERS), metavar='READER')
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument(
        '--keep', default='', help='folder for the files that were not refused as they should'
    )
    args = parser.parse_args()
    found = fuzz(args.only, args.cases, args.seed, args.first, args.workers, keep=args.keep)
    for one in found.values():
        print(*one.offences, sep='\n', end='\n' if one.offences else '')
    print(table(found))
    return 1 if any(one.offences for one in found.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
