"""Text for people: tables with even columns for a terminal, Markdown tables, CSV, and the first of many names."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Sequence


def text_table(
    rows: Sequence[Sequence[str]],
    align: str = '<>',
    gap: str = '  ',
    least: Sequence[int] = (0,),
    rule: int = 0,
) -> list[str]:
    """Lines of a table, every column as wide as its widest cell.

    Args:
        rows: Cells of each row, the header first where there is one; rows of one length.
        align: ``<`` (left) or ``>`` (right) of each column; the last one holds for all further columns.
        gap: Between two columns.
        least: Least width of each column, in characters; the last one holds for all further columns.
        rule: Draw a line of dashes below so many rows; 0 draws none.

    Returns:
        The lines, none ending in a space.

    Raises:
        ValueError: For rows of different lengths, or an alignment of other signs.
    """
    signs = _signs(rows, align)
    if not signs:
        return []
    lows = itertools.chain(least, itertools.repeat(least[-1]))
    widths = [max(low, *map(len, column)) for low, column in zip(lows, zip(*rows))]
    lines = [
        gap.join(f'{cell:{sign}{width}}' for cell, sign, width in zip(row, signs, widths)).rstrip()
        for row in rows
    ]
    if rule:
        lines.insert(rule, gap.join('-' * width for width in widths))
    return lines


def markdown_table(rows: Sequence[Sequence[str]], align: str = '<>') -> list[str]:
    """Lines of a Markdown table; cells are Markdown, so a ``|`` in them is for the caller to escape.

    Args:
        rows: As of :func:`text_table`; the first is the header.
        align: As of :func:`text_table`.

    Raises:
        ValueError: As :func:`text_table`.
    """
    signs = _signs(rows, align)
    lines = [f'| {" | ".join(row)} |' for row in rows]
    lines[1:1] = [f'|{"|".join("---:" if sign == ">" else "---" for sign in signs)}|'] * bool(lines)
    return lines


def few(
    names: Sequence[str],
    most: int = 5,
    more: str = ' and {} more',
    between: str = ', ',
    count: int | None = None,
) -> str:
    """The first names for a sentence, and what is said where there are more.

    Args:
        names: All of them, or the first.
        most: Names that are said.
        more: Follows where there are more; ``{}`` is how many.
        between: Between two names.
        count: Number of all, where ``names`` are only the first.
    """
    rest = (len(names) if count is None else count) - min(len(names), most)
    return between.join(names[:most]) + (more.format(rest) if rest > 0 else '')


def _signs(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Alignment of every column."""
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise ValueError(f'the rows of a table must be of one length, found {lengths}')
    if not align or not set(align) <= set('<>'):
        raise ValueError(f"align must be signs '<' and '>', found {align!r}")
    width = lengths[0] if lengths else 0
    return [*align, *align[-1:] * width][:width]


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows of cells as CSV with line ends of one character."""
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    return text.getvalue()
