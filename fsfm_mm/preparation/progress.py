"""What the user sees while it works, and at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fsfm_mm.files.parallel import Watcher
from fsfm_mm.files.progress import ProgressBar
from fsfm_mm.preparation.manifest import FAILURES, STATUSES, FaceRecord
from fsfm_mm.preparation.plan import Chunk
from fsfm_mm.text import few, printable, text_table

_EXAMPLES = 3
#: Sources without any face that are named; the manifest has all of them.
_NAMED = 5


class Progress(Watcher[Chunk]):
    """A bar on a terminal, a line now and then in a log file; both on stderr.

    Args:
        total: Pictures and frames of this run or shard.
        done: Those that an earlier run has done.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self._bar, self._before = ProgressBar(total, 'pictures and frames', done), done
        self._weight = self._faces = self._failures = 0  # of chunks that are done in this run
        self._current: dict[int, tuple[int, int]] = {}

    def at(self, chunk: Chunk, weight: int = 0, faces: int = 0) -> None:
        """So many pictures and frames, and faces, of a chunk are behind us (again fewer after a death)."""
        self._current[chunk.number] = (weight, faces)
        self._show()

    def done(self, chunk: Chunk, statuses: Counter[str]) -> None:
        """A chunk is written."""
        self._current.pop(chunk.number, None)
        self._failures += sum(statuses[status] for status in FAILURES)
        self._weight += chunk.weight
        self._faces += statuses['ok']
        self._show()

    def close(self) -> None:
        """End the bar."""
        self._bar.close()

    def _show(self) -> None:
        weight = self._weight + sum(weight for weight, _ in self._current.values())
        faces = self._faces + sum(faces for _, faces in self._current.values())
        self._bar.show(self._before + weight, f'{faces} faces, {self._failures} failures')


@dataclass
class Tally:
    """What has become of the sources, for the summary and the exit code.

    Attributes:
        statuses: Number of records with each status.
        examples: The first sources with each status but 'ok', with the message.
        seconds: Time that all processes together spent in each stage.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)
    _sources: dict[tuple[int, str], bool] = field(default_factory=dict)

    def add(self, record: FaceRecord) -> None:
        """Count a record."""
        if record.status != 'missing':
            source = record.root, record.source
            self._sources[source] = record.status == 'ok' or self._sources.get(source, False)
        self.statuses[record.status] += 1
        examples = self.examples.setdefault(record.status, [])
        text = record.message or printable(record.source)
        if record.status != 'ok' and len(examples) < _EXAMPLES and text not in examples:
            examples.append(text)

    @property
    def sources(self) -> int:
        """Number of sources that are there."""
        return len(self._sources)

    @property
    def barren(self) -> list[str]:
        """Sources that gave no face."""
        return [source for (_, source), fruitful in self._sources.items() if not fruitful]

    @property
    def failures(self) -> int:
        """Records of sources, frames and faces that could not be worked on."""
        return sum(self.statuses[status] for status in FAILURES)


def summary(out: Path, tally: Tally, note: str = '') -> str:
    """The last words of a run.

    Args:
        out: Folder of the output.
        tally: What has become of the sources.
        note: Said beside the place, e.g. that the maps are approximate.
    """
    lines = [f'{tally.sources} sources -> {tally.statuses["ok"]} faces in {printable(out)}{note}']
    for status, meaning in STATUSES.items():
        count = tally.statuses[status]
        if status != 'ok' and count:
            shown = tally.examples[status]
            named = few(shown, _EXAMPLES, '; and {} more', '; ', count)
            lines.append(f'  {count:>6} {status}: {meaning}. {named}')
    if tally.barren:
        names = few([printable(name) for name in tally.barren], _NAMED)
        lines.append(f'  {len(tally.barren):>6} sources without any face: {names}')
    return '\n'.join(lines + profile(tally.seconds, tally.statuses['ok']))


def profile(seconds: Mapping[str, float], faces: int) -> list[str]:
    """Lines about the time of each stage, the slowest marked."""
    total = sum(seconds.values())
    if not total or not faces:
        return []
    slowest = max(seconds, key=lambda stage: seconds[stage])
    rows = [
        [
            stage,
            f'{time_of:.1f} s',
            f'{time_of / total:.0%}',
            f'{1000 * time_of / faces:.1f} ms a face',
            '<- most of the time' if stage == slowest else '',
        ]
        for stage, time_of in sorted(seconds.items(), key=lambda pair: -pair[1])
    ]
    head = f'{faces / total:.1f} faces a second and core; {total:.1f} s of work:'
    return [head, *(f'  {line}' for line in text_table(rows, '<>>><'))]
