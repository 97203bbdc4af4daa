"""Tables of text for people: even columns for a terminal, and Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def text_table(
    rows: Sequence[Sequence[str]],
    align: str = '<>',
    gap: str = '  ',
    least: Sequence[int] = (0,),
    rule: bool = False,
) -> list[str]:
    """Lines of a table, every column as wide as its widest cell.

    Args:
        rows: Cells of each row, the header first where there is one; rows of one length.
        align: ``<`` (left) or ``>`` (right) of each column; the last one holds for all further columns.
        gap: Between two columns.
        least: Least width of each column, in characters; the last one holds for all further columns.
        rule: Draw a line of dashes below the first row.

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
        lines.insert(1, gap.join('-' * width for width in widths))
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


def _signs(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Alignment of every column."""
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise ValueError(f'the rows of a table must be of one length, found {lengths}')
    if not align or not set(align) <= set('<>'):
        raise ValueError(f"align must be signs '<' and '>', found {align!r}")
    width = lengths[0] if lengths else 0
    return [*align, *align[-1:] * width][:width]
