"""What of a run's log is shown on the console: what matters to who looks on; all of it is in the log file.

mmengine prints its environment, the whole config and the order of the hooks at every start, hundreds of lines. A log
level of DEBUG shows them, as before.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

from mmengine.logging import MMLogger
from tqdm import tqdm

from fsfm_mm.text import printable

#: File and function of mmengine's messages that are for the log file: those of which we say more in less.
_FOR_THE_FILE = {
    ('runner.py', '_log_env'),
    ('runner.py', '__init__'),  # the order of the hooks
    ('_flexible_runner.py', '_log_env'),
    ('_flexible_runner.py', '__init__'),
    ('checkpoint_hook.py', 'before_train'),  # where checkpoints go
    ('checkpoint_hook.py', '_save_checkpoint'),
}
_NOISE = ('Distributed training is not used', 'Exp name: ')


class ShortFormatter(logging.Formatter):
    """Time and message; the level, too, of a warning or an error."""

    def format(self, record: logging.LogRecord) -> str:
        """A line."""
        level = f'{record.levelname.lower()}: ' if record.levelno >= logging.WARNING else ''
        return f'{self.formatTime(record, "%H:%M:%S")} {level}{super().format(record)}'


@contextlib.contextmanager
def terse_loggers() -> Iterator[None]:
    """Let the loggers that are made within say on the console what matters, whatever the log file gets.

    mmengine's Runner logs hundreds of lines while it is built, by a logger that it makes itself.
    """
    make = MMLogger.__init__

    @functools.wraps(make)
    def make_terse(self: MMLogger, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        for handler in self.handlers:
            handler.addFilter(make_printable)
        for handler in console_handlers(self):
            if handler.level > logging.DEBUG:
                handler.setFormatter(ShortFormatter())
                handler.addFilter(_matters)

    MMLogger.__init__ = make_terse
    try:
        yield
    finally:
        MMLogger.__init__ = make


def make_printable(record: logging.LogRecord) -> bool:
    """A filter that lets all pass: names of files in a message are escaped, the lines of tables stay."""
    record.msg, record.args = printable(record.getMessage(), '\n\t'), ()
    return True


def console_handlers(logger: logging.Logger) -> list[logging.StreamHandler]:
    """The handlers of a logger that write to the console."""
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]


def _matters(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        return True
    place = os.path.basename(record.pathname), record.funcName
    return place not in _FOR_THE_FILE and not record.getMessage().startswith(_NOISE)


def leave_training_lines_out(record: logging.LogRecord) -> bool:
    """A filter for a console that shows progress by itself: without the LoggerHook's line of every n iterations."""
    return (os.path.basename(record.pathname), record.funcName) != ('logger_hook.py', 'after_train_iter')


def write_beside_bars(logger: logging.Logger) -> None:
    """Let the lines of a logger on the console leave bars of tqdm whole."""
    for handler in console_handlers(logger):
        handler.emit = functools.partial(_emit_beside_bars, handler.emit)  # type: ignore[method-assign]


def _emit_beside_bars(emit: Any, record: logging.LogRecord) -> None:
    with tqdm.external_write_mode(file=sys.stdout):
        emit(record)
