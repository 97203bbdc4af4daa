"""One table of scores over several test sets, as console text, Markdown, CSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fsfm_mm.files import write_atomically
from fsfm_mm.text import csv_text, markdown_table, text_table

#: Marks columns that used the test set's own labels to choose something.
MARK = '*'
_FOOTNOTE = f'{MARK} chosen on the test set itself (published protocol): not what a deployed detector reaches'


@dataclass(frozen=True)
class ScoreReport:
    """Rows are test sets, columns metrics; every rendering comes from here.

    Args:
        rows: Test set to its metrics; a metric that is absent or None there is shown as missing.
        intervals: Test set to metric to (low, high), where known.
        target_selected: Columns to mark, with a footnote; those with ``@target`` in their name always are.
        notes: Lines below the table.
        title: Heading, or empty.

    Raises:
        ValueError: Without rows, for a value that is not finite, or an interval without its value.
    """

    rows: Mapping[str, Mapping[str, float | None]]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    target_selected: Collection[str] = ()
    notes: Sequence[str] = ()
    title: str = ''

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

    def _cells(self, digits: int) -> list[list[str]]:
        """Header and rows as short texts."""
        header = ['test set', *(c + MARK if self.is_marked(c) else c for c in self.columns)]
        table = [header]
        for name in self.rows:
            cells = [name]
            for column in self.columns:
                value, ends = self.value(name, column), self.interval(name, column)
                text = '-' if value is None else f'{value:.{digits}f}'
                cells.append(text if ends is None else f'{text} [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]')
            table.append(cells)
        return table

    def _footnotes(self) -> list[str]:
        marked = [_FOOTNOTE] if any(map(self.is_marked, self.columns)) else []
        return [*marked, *self.notes]

    def to_text(self, digits: int = 4) -> str:
        """A table for the console: first column to the left, numbers to the right."""
        lines = text_table(self._cells(digits), rule=True)
        return '\n'.join([*([self.title] if self.title else []), *lines, *self._footnotes()]) + '\n'

    def to_markdown(self, digits: int = 4) -> str:
        """A Markdown table with its heading and footnotes."""
        rows = [[cell.replace('|', r'\|').replace('*', r'\*') for cell in row] for row in self._cells(digits)]
        head = [f'### {self.title}', ''] if self.title else []
        notes = [line.replace(MARK, r'\*', 1) if line == _FOOTNOTE else line for line in self._footnotes()]
        tail = [line for note in notes for line in ('', note)]
        return '\n'.join([*head, *markdown_table(rows), *tail]) + '\n'

    def to_csv(self) -> str:
        """Exact values, an empty cell where missing; ``<metric>_low`` and ``_high`` where intervals are known."""
        known = {c for c in self.columns if any(self.interval(name, c) for name in self.rows)}
        header = [h for c in self.columns for h in ([c, f'{c}_low', f'{c}_high'] if c in known else [c])]
        rows = [['test_set', *header]]
        for name in self.rows:
            row: list[str] = [name]
            for column in self.columns:
                value = self.value(name, column)
                row.append('' if value is None else repr(float(value)))
                if column in known:
                    ends = self.interval(name, column)
                    row += ['', ''] if ends is None else [repr(float(end)) for end in ends]
            rows.append(row)
        return csv_text(rows)

    def to_json(self) -> str:
        """Exact values, null where missing, with intervals, marked columns and notes."""
        content = {
            'title': self.title,
            'columns': self.columns,
            'target_selected': [column for column in self.columns if self.is_marked(column)],
            'rows': {name: {c: self.value(name, c) for c in self.columns} for name in self.rows},
            'intervals': {
                name: {c: list(ends) for c, ends in found.items()} for name, found in self.intervals.items()
            },
            'notes': list(self.notes),
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
