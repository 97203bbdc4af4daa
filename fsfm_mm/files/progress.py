"""How far long work is, on stderr: a bar on a terminal, lines in a log file; with rate and time left."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from fsfm_mm.text import printable

#: Seconds before the first line and between two, which double from one line to the next up to the last.
_FIRST_LINE, _LINE_EVERY = 5.0, 60.0


class ProgressBar:
    """Shows how much of a known number of things is done.

    Args:
        total: All of them.
        unit: What they are, in the plural.
        done: Those that an earlier run has done: they count for no rate.
        name: In front, such as that of a test set.
        shown: False shows nothing.
    """

    def __init__(self, total: int, unit: str, done: int = 0, name: str = '', shown: bool = True) -> None:
        self.total, self.unit, self.done, self.name = total, unit, done, printable(name)
        self._shown = shown
        self._start = self._last_line = time.monotonic()
        self._began_with = done
        self._first: tuple[float, int] | None = None  # when and what was done first: starting takes its time
        self._pause = _FIRST_LINE
        self._bar: Any = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(
                total=total,
                initial=done,
                unit=f' {unit}',
                desc=self.name or None,
                dynamic_ncols=True,
                smoothing=0.1,
            )

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, count: int, note: str = '') -> None:
        """So many more are done; see :meth:`show`."""
        self.show(self.done + count, note)

    def show(self, done: int, note: str = '') -> None:
        """So many are done.

        Args:
            done: Of the total; fewer than before where work was lost.
            note: Said after the rate.
        """
        now, self.done = time.monotonic(), done
        if self._first is None and done > self._began_with:
            self._first = now, done
        if self._bar is not None:
            self._bar.set_postfix_str(printable(note), refresh=False)
            self._bar.n = done
            self._bar.update(0)
        elif self._shown and now - self._last_line >= self._pause and done < self.total:
            self._last_line, self._pause = now, min(2 * self._pause, _LINE_EVERY)
            print(self.line(note), file=sys.stderr, flush=True)

    def rate(self) -> float | None:
        """How many a second; None where it is not known yet."""
        now = time.monotonic()
        since, before = self._first or (now, 0)
        if self.done > before and now > since:
            return (self.done - before) / (now - since)
        done = self.done - self._began_with
        return done / (now - self._start) if done > 0 and now > self._start else None

    def line(self, note: str = '') -> str:
        """The line of a log file."""
        rate = self.rate()
        parts = [f'{self.done} of {self.total} {self.unit}']
        if rate is not None:
            left = tqdm.format_interval((self.total - self.done) / rate)
            parts += [f'{rate:.3g} a second', f'{left} left']
        return (f'{self.name}: ' if self.name else '') + ', '.join(
            [*parts, *([printable(note)] if note else [])]
        )

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
