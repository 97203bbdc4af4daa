"""Text for people: names made harmless, tables, CSV, the first of many names, names that were meant."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import os
import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

#: What a terminal obeys, what ends a line, what turns the direction of writing or is not seen, and what stands for
#: bytes that are no UTF-8.
_UNPRINTABLE = re.compile(
    '[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb'
    '\ud800-\udfff\U000e0000-\U000e007f]'
)


def printable(text: str | os.PathLike, keep: str = '') -> str:
    r"""For people: bytes that are no UTF-8 are written ``\xff``, control characters ``\n``, bidi marks ``\u202e``.

    Names of files come from anybody. As they are, they could colour a terminal, add lines to a log or show another
    ending than theirs.

    Args:
        text: A path, or a sentence or table with names in it.
        keep: Characters that stay: the line ends of a table.
    """
    return _UNPRINTABLE.sub(
        lambda match: match[0] if match[0] in keep else _escaped(match[0]), os.fsdecode(text)
    )


def _escaped(character: str) -> str:
    if '\udc80' <= character <= '\udcff':  # what Python makes of such a byte
        return f'\\x{ord(character) - 0xDC00:02x}'
    return character.encode('unicode_escape').decode()


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
    rows = [[printable(cell) for cell in row] for row in rows]
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
    lines = [f'| {printable(" | ".join(row))} |' for row in rows]
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
        names: All of them, or the first; each is made :func:`printable`.
        most: Names that are said.
        more: Follows where there are more; ``{}`` is how many.
        between: Between two names.
        count: Number of all, where ``names`` are only the first.
    """
    rest = (len(names) if count is None else count) - min(len(names), most)
    return between.join(map(printable, names[:most])) + (more.format(rest) if rest > 0 else '')


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters; of a longer one the middle is left out."""
    if len(text) <= most:
        return text
    end = max(most // 3, 0)
    return f'{text[: max(most - end - 5, 0)]} ... {text[len(text) - end :]}'[: max(most, 0)]


class _Brief(reprlib.Repr):
    """Bounded in depth, length and time: what a file holds may refer to itself a billion times."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 60, 60
        self.maxlist = self.maxtuple = self.maxdict = 4

    def repr_int(self, x: int, level: int) -> str:  # Python refuses to write more than 4300 digits
        return super().repr_int(x, level) if abs(x) < 1 << 256 else 'a number of more than 70 digits'

    def repr_instance(self, x: Any, level: int) -> str:
        if x is None or isinstance(x, float | bytes | bool):
            return super().repr_instance(x, level)
        return f'a {type(x).__name__}'


def brief(value: Any) -> str:
    """A value from a file, for a sentence: at most 80 characters, whatever it is."""
    return shortened(_Brief().repr(value), 80)


def near_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Names that may have been meant, the likeliest first.

    Upper and lower case and signs do not count. A name of which a part was typed, or which is a part of what was
    typed, comes before one that looks alike.

    Args:
        name: What was typed.
        known: What there is.
        most: At most so many.
    """
    by_letters: dict[str, list[str]] = {}
    for candidate in dict.fromkeys(known):
        by_letters.setdefault(_letters(candidate), []).append(candidate)
    wanted = _letters(name)
    parts = [
        letters
        for letters in sorted(by_letters, key=lambda letters: abs(len(letters) - len(wanted)))
        if min(len(letters), len(wanted)) > 2 and (letters in wanted or wanted in letters)
    ]
    alike = difflib.get_close_matches(wanted, by_letters, most)
    return [found for letters in dict.fromkeys([*parts, *alike]) for found in by_letters[letters]][:most]


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """A remark in parentheses, beginning with a space, with the names that may have been meant; '' without any."""
    found = near_names(name, known, most)
    return f' (did you mean {" or ".join(found)}?)' if found else ''


def _letters(name: str) -> str:
    return re.sub(r'[\W_]', '', name.lower())


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
