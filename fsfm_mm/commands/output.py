"""Where the text of a command leaves: whatever is in names of files, a terminal gets nothing to obey."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from fsfm_mm.text import printable

#: What a bar of tqdm writes by itself to get back to its line.
_UP = re.compile('(\x1b\\[A)+')


class PrintableStream:
    """A text stream that writes control characters as escapes, but for line ends, tabs and returns.

    Args:
        stream: Where it writes to; all else is that stream's.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        self._stream.write(text if _UP.fullmatch(text) else printable(text, '\n\r\t'))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(sentence: str) -> None:
    """Print a sentence on one line, whatever is in the names in it."""
    print(printable(sentence))


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Let both outputs of this process be printable; what they cannot encode is escaped, too, instead of an error."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    sys.stdout, sys.stderr = map(PrintableStream, before)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.code, str):  # which the interpreter prints when all is over
            raise SystemExit(printable(stop.code, '\n')) from stop
        raise
    finally:
        sys.stdout, sys.stderr = before
