"""One table of scores over several test sets, as console text, Markdown, CSV and JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from fsfm_mm.files import write_atomically
from fsfm_mm.text import csv_text, markdown_table, text_table

#: Marks columns that used the test set's own labels to choose something.
MARK = '*'
#: Columns of a terminal that the text fits into, and the least of them that are left for a set's name.
WIDTH, LEAST_NAME = 100, 12
#: How a note begins that explains intervals; the text leaves it out where it has no room for them.
INTERVAL = '[low, high]'
#: How a note begins that says why there is no honest table beside a published one.
LEFT_OUT = 'the honest protocol was left out'
_FOOTNOTE = f'{MARK} chosen on the test set itself (published protocol): not what a deployed detector reaches'


class Heading(NamedTuple):
    """One of the few metrics that a task needs, as the text shows it.

    Attributes:
        column: Its column in the report.
        name: The field's name of it: 'FPR'.
        words: The same in everybody's words, above the name; empty where the name says it.
    """

    column: str
    name: str
    words: str = ''


@dataclass(frozen=True)
class ScoreReport:
    """Rows are test sets, columns metrics; every rendering comes from here.

    The text is for a terminal: with ``headings`` it has these columns only and fits :data:`WIDTH`. The files for
    programs (CSV, JSON) have everything.

    Args:
        rows: Test set to its metrics; a metric that is absent or None there is shown as missing.
        intervals: Test set to metric to (low, high), where known.
        target_selected: Columns to mark, with a footnote; those with ``@target`` in their name always are.
        notes: Lines below the table.
        title: Heading, or empty.
        headings: Columns of the text; all columns where there are none.
        counts: Test set to its ``reals`` and ``fakes`` (videos where these are evaluated), and ``samples``.
        checkpoints: Test set to the checkpoint that was tested on it.
        deviations: Test set to metric to a standard deviation, e.g. over seeds.
        caveat: What no file of these results may leave out, in a few words; the CSV has it in a column, too.

    Raises:
        ValueError: Without rows, for a value that is not finite, or an interval without its value.
    """

    rows: Mapping[str, Mapping[str, float | None]]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    target_selected: Collection[str] = ()
    notes: Sequence[str] = ()
    title: str = ''
    headings: Sequence[Heading] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    deviations: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    caveat: str = ''

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError('a report needs at least one test set, found none')
        for name, metrics in self.rows.items():
            for key, value in metrics.items():
                if value is not None and not math.isfinite(value):
                    raise ValueError(f'{name}, {key}: expected a number or None (undefined), found {value}')
        for name, found in self.intervals.items():
            for key, ends in found.items():
                if self.value(name, key) is None or not all(map(math.isfinite, ends)):
                    raise ValueError(f'{name}, {key}: interval {ends} without a value, or not finite')

    @property
    def columns(self) -> list[str]:
        """All metrics, in the order of first occurrence."""
        return list(dict.fromkeys(key for metrics in self.rows.values() for key in metrics))

    def value(self, name: str, column: str) -> float | None:
        """A cell, None where missing."""
        return self.rows.get(name, {}).get(column)

    def interval(self, name: str, column: str) -> tuple[float, float] | None:
        """Confidence interval of a cell, None where unknown."""
        return self.intervals.get(name, {}).get(column)

    def is_marked(self, column: str) -> bool:
        """Whether something in the column was chosen on the test set."""
        return '@target' in column or column in self.target_selected

    def with_mean_and_std(self) -> ScoreReport:
        """The report with two more rows: mean, and standard deviation (n - 1) where a column has two values.

        Raises:
            ValueError: Where a test set is called ``mean`` or ``std``.
        """
        if {'mean', 'std'} & set(self.rows):
            raise ValueError("test sets called 'mean' or 'std' clash with the rows to be added")
        means: dict[str, float | None] = {}
        deviations: dict[str, float | None] = {}
        for column in self.columns:
            values = [v for v in (self.value(name, column) for name in self.rows) if v is not None]
            if values:
                mean = means[column] = math.fsum(values) / len(values)
            if len(values) > 1:
                squares = math.fsum((v - mean) ** 2 for v in values)
                deviations[column] = math.sqrt(squares / (len(values) - 1))
        return replace(self, rows={**self.rows, 'mean': means, 'std': deviations})

    @property
    def single_pictures(self) -> bool:
        """Whether every video is one picture, so that columns by frame say what those by video say."""
        return bool(self.counts) and all(
            found['samples'] == found['reals'] + found['fakes'] for found in self.counts.values()
        )

    def _shown(self) -> list[str]:
        """Columns for people: those by frame are left out where they repeat those by video."""
        columns = self.columns
        if not self.single_pictures:
            return columns
        return [c for c in columns if c.replace('frame/', 'video/', 1) not in columns or 'frame/' not in c]

    def _cell(self, name: str, column: str, digits: int, with_range: bool = True) -> str:
        """A value as a short text, with its interval or deviation."""
        value, ends = self.value(name, column), self.interval(name, column)
        deviation = self.deviations.get(name, {}).get(column)
        if value is None:
            return '-'
        text = f'{value:.{digits}f}'
        if with_range and ends is not None:
            text += f' [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]'
        if with_range and deviation is not None:
            text += f' ± {deviation:.{digits}f}'
        return text

    def _mark(self, column: str, name: str) -> str:
        return name + MARK if self.is_marked(column) else name

    def _cells(self, digits: int, columns: Sequence[str]) -> list[list[str]]:
        """Header and rows of some columns as short texts."""
        header = ['test set', *(self._mark(column, column) for column in columns)]
        return [header, *([name, *(self._cell(name, c, digits) for c in columns)] for name in self.rows)]

    def _headed(self, digits: int, ranges: int) -> list[list[str]]:
        """Two lines of headings and the rows, the first ``ranges`` metrics with intervals or deviations."""
        known = [heading for heading in self.headings if heading.column in self.columns]
        unit = 'pictures' if self.single_pictures or 'frame/' in known[0].column else 'videos'
        kinds = ['reals', 'fakes'] if self.counts else []
        words = ['', *(kind[:-1] for kind in kinds), *(heading.words for heading in known)]
        names = ['test set', *(unit for _ in kinds), *(self._mark(h.column, h.name) for h in known)]
        rows = [
            [
                name,
                *(str(self.counts.get(name, {}).get(kind, '')) for kind in kinds),
                *(self._cell(name, h.column, digits, i < ranges) for i, h in enumerate(known)),
            ]
            for name in self.rows
        ]
        return [words, names, *rows]

    def _footnotes(self) -> list[str]:
        marked = [_FOOTNOTE] if any(map(self.is_marked, self.columns)) else []
        return [*marked, *self.notes]

    def to_text(self, digits: int = 4) -> str:
        """A table for the console: first column to the left, numbers to the right; see ``headings``."""
        notes, title = self._footnotes(), [self.title] if self.title else []
        if not any(heading.column in self.columns for heading in self.headings):
            lines = text_table(self._cells(digits, self.columns), rule=1)
            return '\n'.join([*title, *lines, *notes]) + '\n'
        for ranges in (len(self.headings), 1, 0):
            cells = self._headed(digits, ranges)
            lines = text_table(cells, rule=2)
            if max(map(len, lines)) <= WIDTH:
                break
        else:
            longest = max(len(row[0]) for row in cells)
            room = max(longest - max(map(len, lines)) + WIDTH, LEAST_NAME)
            lines = text_table([[_cut(row[0], room), *row[1:]] for row in cells], rule=2)
        if not ranges:
            notes = [note for note in notes if not note.startswith(INTERVAL)]
        shown = {heading.column for heading in self.headings}
        if not shown & {column for column in self.columns if self.is_marked(column)}:
            notes = [note for note in notes if note != _FOOTNOTE]
        wrapped = [
            line
            for note in notes
            for line in textwrap.wrap(
                note, WIDTH, subsequent_indent='  ', break_long_words=False, break_on_hyphens=False
            )
        ]
        return '\n'.join([*title, '', *lines, '', *wrapped]) + '\n'

    def to_markdown(self, digits: int = 4) -> str:
        """A Markdown table with its heading and footnotes."""
        rows = [
            [cell.replace('|', r'\|').replace('*', r'\*') for cell in row]
            for row in self._cells(digits, self._shown())
        ]
        head = [f'### {self.title}', ''] if self.title else []
        notes = [line.replace(MARK, r'\*', 1) if line == _FOOTNOTE else line for line in self._footnotes()]
        tail = [line for note in notes for line in ('', note)]
        return '\n'.join([*head, *markdown_table(rows), *tail]) + '\n'

    def to_csv(self) -> str:
        """Exact values, an empty cell where missing; ``<metric>_low`` and ``_high`` where intervals are known.

        Likewise ``<metric>_std`` where deviations are.
        """
        known = {c for c in self.columns if any(self.interval(name, c) for name in self.rows)}
        spread = {c for c in self.columns if any(c in self.deviations.get(name, {}) for name in self.rows)}
        header = []
        for column in self.columns:
            header += [column, *([f'{column}_low', f'{column}_high'] if column in known else [])]
            header += [f'{column}_std'] if column in spread else []
        last = ['caveat'] if self.caveat else []
        rows = [['test_set', *header, *last]]
        for name in self.rows:
            row: list[str] = [name]
            for column in self.columns:
                value = self.value(name, column)
                row.append('' if value is None else repr(float(value)))
                if column in known:
                    ends = self.interval(name, column)
                    row += ['', ''] if ends is None else [repr(float(end)) for end in ends]
                if column in spread:
                    deviation = self.deviations.get(name, {}).get(column)
                    row.append('' if deviation is None else repr(float(deviation)))
            rows.append([*row, *([self.caveat] if last else [])])
        return csv_text(rows)

    def to_json(self) -> str:
        """Exact values, null where missing, with intervals, marked columns, notes and everything else."""
        content = {
            'title': self.title,
            'caveat': self.caveat,
            'columns': self.columns,
            'target_selected': [column for column in self.columns if self.is_marked(column)],
            'rows': {name: {c: self.value(name, c) for c in self.columns} for name in self.rows},
            'intervals': {
                name: {c: list(ends) for c, ends in found.items()} for name, found in self.intervals.items()
            },
            'notes': list(self.notes),
            'headings': [list(heading) for heading in self.headings],
            'counts': {name: dict(found) for name, found in self.counts.items()},
            'checkpoints': dict(self.checkpoints),
            'deviations': {name: dict(found) for name, found in self.deviations.items()},
        }
        return json.dumps(content, indent=2, allow_nan=False, default=float) + '\n'

    def write(self, folder: str | Path, stem: str = 'scores') -> dict[str, Path]:
        """Write all four renderings, each file whole or not at all.

        Returns:
            Suffix (``txt``, ``md``, ``csv``, ``json``) to the file written.
        """
        contents = {
            'txt': self.to_text(),
            'md': self.to_markdown(),
            'csv': self.to_csv(),
            'json': self.to_json(),
        }
        return {
            suffix: write_atomically(Path(folder) / f'{stem}.{suffix}', text)
            for suffix, text in contents.items()
        }


def _cut(text: str, room: int) -> str:
    """A name in at most so many characters; of a long one begin and end are kept, which tell sets apart."""
    if len(text) <= room:
        return text
    head = (room - 1) // 2
    return f'{text[:head]}…{text[len(text) - (room - 1 - head) :]}'
