"""``KEY=VALUE`` of a command line: names with dots, and values as they are typed.

mmengine's ``DictAction`` takes spaces out of values, so that a folder ``my photos`` becomes ``myphotos``. Its
documented forms are read here as there: ``a,b`` and ``[a,b]`` are lists, ``(a,b)`` is a tuple, brackets may be nested.
"""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Iterator
from typing import Any

OPEN, CLOSED = '([{', ')]}'
#: Numbers without the underscores that Python allows: ``2020_01`` is a name.
INTEGER = re.compile(r'[+-]?[0-9]+')
NUMBER = re.compile(r'[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|nan)')
PAIR = re.compile(r'\s*([A-Za-z_]\w*)\s*=(.*)', re.DOTALL)


class SettingsAction(argparse.Action):
    """``--cfg-options KEY=VALUE ...``: a dict of names with dots and values, see :func:`parse_value`."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Add the settings; the last value of a name counts."""
        settings = copy.copy(getattr(namespace, self.dest, None) or {})
        for item in values:
            try:
                key, value = parse_setting(item)
            except ValueError as error:
                raise argparse.ArgumentError(self, str(error)) from error
            settings[key] = value
        setattr(namespace, self.dest, settings)


def parse_setting(item: str) -> tuple[str, Any]:
    """Name and value of ``KEY=VALUE``; the value may hold more ``=``.

    Raises:
        ValueError: There is no ``=``, no name, or the brackets of the value do not close.
    """
    key, equals, text = item.partition('=')
    key = key.strip()
    if not equals:
        raise ValueError(f'expected KEY=VALUE, found {item!r}')
    if not all(key.split('.')):
        raise ValueError(f'expected KEY=VALUE with a name such as model.backbone.arch, found {item!r}')
    return key, parse_value(text, key)


def parse_value(text: str, key: str = 'KEY') -> Any:
    """A value as it is typed.

    ==================================  ============================================================
    ``3``, ``1e-4``                     a number
    ``True``, ``false``, ``None``       these
    ``a,b``, ``[a, b]``                 a list
    ``(a, b)``                          a tuple
    ``{a: 1}``, ``dict(a=1)``           a dict
    ``'1,2'``, ``"[a]"``                in quotes: this text, whatever it looks like
    ``my photos``, ``C:\\new``, ``a=b``  anything else: this text, spaces, quotes and backslashes kept
    ==================================  ============================================================

    Args:
        text: The value; spaces around it and around the items of a list do not count.
        key: The setting, for the message.

    Raises:
        ValueError: A bracket at the beginning, or before a comma, is not closed.
    """
    text = text.strip()
    if _is_quoted(text):
        return text[1:-1]
    inside = _inside(text)
    if inside is not None:
        if text[0] == '(':
            return tuple(parse_value(item, key) for item in _items(inside, key))
        if text[0] == '[':
            return [parse_value(item, key) for item in _items(inside, key)]
        return dict(_pair(item, text, key) for item in _items(inside, key))
    if ',' in text:
        items = _items(text, key)
        if len(items) > 1 or text.endswith(','):
            return [parse_value(item, key) for item in items]
    return _scalar(text)


def _scalar(text: str) -> Any:
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    return {'true': True, 'false': False}.get(text.lower(), None if text == 'None' else text)


def _is_quoted(text: str) -> bool:
    """Whether one pair of quotes holds the whole text."""
    return len(text) > 1 and text[0] in '\'"' and text.find(text[0], 1) == len(text) - 1


def _inside(text: str) -> str | None:
    """What a pair of brackets that is around the whole text holds; None where there is none."""
    start = 4 if text.startswith('dict(') else 0
    if not text or text[start] not in OPEN or text[-1] not in CLOSED:
        return None
    return text[start + 1 : -1] if _closing(text, start) == len(text) - 1 else None


def _closing(text: str, start: int) -> int | None:
    """Place of the bracket that closes the one at ``start``; None where none does."""
    return next((place for place, _, depth in _nested(text, start) if depth == 0), None)


def _nested(text: str, start: int = 0) -> Iterator[tuple[int, str, int]]:
    """Place, letter and open brackets after it, of what is in no quotes; -1 open ones where a wrong one closes."""
    opened: list[str] = []
    for place, letter in _unquoted(text, start):
        if letter in OPEN:
            opened.append(letter)
        elif letter in CLOSED and (not opened or OPEN[CLOSED.index(letter)] != opened.pop()):
            yield place, letter, -1
            return
        yield place, letter, len(opened)


def _unquoted(text: str, start: int = 0) -> list[tuple[int, str]]:
    """Letters that are in no quoted item, with their places; a quote counts where an item begins (not in ``it's``)."""
    letters, place, begins = [], start, True
    while place < len(text):
        letter = text[place]
        if begins and letter in '\'"':
            end = text.find(letter, place + 1)
            if end > 0:
                place, begins = end + 1, False
                continue
        letters.append((place, letter))
        if not letter.isspace():
            begins = letter in OPEN + ',:='
        place += 1
    return letters


def _items(text: str, key: str) -> list[str]:
    """The parts between commas that are in no brackets; an empty one at the end does not count."""
    items, begin, depth = [], 0, 0
    for place, letter, depth in _nested(text):
        if letter == ',' and depth == 0:
            items.append(text[begin:place])
            begin = place + 1
    if depth:
        raise ValueError(
            f'{key}: the brackets in {text!r} do not match; put quotes around a text that has them'
        )
    return [*items, text[begin:]] if text[begin:].strip() else items


def _pair(item: str, text: str, key: str) -> tuple[str, Any]:
    """Name and value of ``a: 1`` in braces, or of ``a=1`` in ``dict(...)``."""
    if text.startswith('dict('):
        found = PAIR.fullmatch(item)
        if found:
            return found[1], parse_value(found[2], key)
    else:
        colon = next((place for place, letter in _unquoted(item) if letter == ':'), None)
        if colon is not None:
            return str(parse_value(item[:colon], key)), parse_value(item[colon + 1 :], key)
    raise ValueError(f'{key}: expected {{NAME: VALUE, ...}} or dict(NAME=VALUE, ...), found {item.strip()!r}')
