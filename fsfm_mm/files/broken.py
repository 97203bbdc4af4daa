"""What a broken file can raise, in one place: nearly anything becomes one sentence of bounded length with its name."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fsfm_mm.text import brief, printable, shortened

#: Characters of a sentence about a file, and of the name in it.
LONGEST, LONGEST_NAME = 300, 160
_NAMES = {
    dict: 'object',
    list: 'list',
    str: 'text',
    int: 'whole number',
    float: 'number',
    bool: 'true or false',
}


def broken(path: str | os.PathLike, told: str, error: type[ValueError] = ValueError) -> ValueError:
    """The error that says what is wrong with a file, on one printable line of at most :data:`LONGEST` characters.

    Args:
        path: The file, or 'file:line'; of a long one the middle is left out, too.
        told: What follows its name, such as ': is no JSON.'; where it is too long its middle is left out, since the
            end says what to do.
        error: Class of the error.
    """
    name = shortened(printable(path), LONGEST_NAME)
    return error(name + shortened(printable(re.sub(r'\s+', ' ', told)), LONGEST - len(name)))


@contextlib.contextmanager
def reading(
    path: str | os.PathLike, told: str, then: str = '.', error: type[ValueError] = ValueError
) -> Iterator[None]:
    """Turn whatever the body raises into the sentence '{path}{told} ({reason}){then}'.

    It belongs around calls of parsers alone: damaged bytes make numpy, PIL, torch, zipfile, tarfile and json raise
    nearly any class (TokenError, MemoryError, OverflowError, RecursionError ...), and each release others, so that no
    list of them holds.

    Args:
        path: The file.
        told: What could not be done, such as ' cannot be read as JSON'.
        then: The end of the sentence: what to do.
        error: Class of the error that comes out.
    """
    try:
        yield
    except Exception as raised:
        raise broken(path, f'{told} ({reason(raised)}){then}', error) from raised


def reason(raised: BaseException) -> str:
    """What an error says, without the name of the file: its first line."""
    if isinstance(raised, UnicodeDecodeError):
        return f'no UTF-8 text at byte {raised.start}'
    said = getattr(raised, 'strerror', None) or (str(raised).strip().splitlines() or [''])[0]
    return shortened(str(said).rstrip('. '), 200) or type(raised).__name__


def parse_json(data: bytes | str, path: str | os.PathLike, kind: type | None = dict, then: str = '.') -> Any:
    """JSON of a file.

    Args:
        data: Its text, or its bytes.
        path: What to call it in a message.
        kind: What it must be: dict or list; None takes anything.
        then: As of :func:`reading`.

    Raises:
        ValueError: It is no JSON, nested too deeply, or of another kind.
    """
    with reading(path, ': cannot be read as JSON', then):
        value = json.loads(data)
    if kind is not None and not isinstance(value, kind):
        raise broken(path, f': expected a JSON {_NAMES[kind]}, found {brief(value)}{then}')
    return value


def check_kinds(
    values: Mapping[str, Any], kinds: Mapping[str, type], path: str | os.PathLike, then: str = '.'
) -> None:
    """Raise a ValueError, as of :func:`parse_json`, where one of these values is there and of another kind."""
    for name, kind in kinds.items():
        value = values.get(name)
        if value is not None and type(value) is not kind and (kind, type(value)) != (float, int):
            raise broken(path, f': "{name}" must be a {_NAMES[kind]}, but is {brief(value)}{then}')
