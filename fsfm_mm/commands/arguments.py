"""What the commands share: their parser, their messages, and looking whether files are there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from fsfm_mm.settings.explaining import error_message
from fsfm_mm.settings.options import OPTIONS
from fsfm_mm.text import printable


class CommandParser(argparse.ArgumentParser):
    """A parser whose help keeps its lines; ``%(prog)s`` in the epilog becomes the command as it was called.

    Args:
        prog: How the command was called: ``fsfm-mm train`` or ``python tools/train.py``.
        description: The module's docstring.
        epilog: Examples.
        wrong_arguments: Exit code for wrong arguments; argparse's 2 means something else in some commands.
    """

    def __init__(
        self, prog: str, description: str | None, epilog: str = '', wrong_arguments: int = 2
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # --epoch would be --epochs, and win over the one before it
        )
        self.wrong_arguments = wrong_arguments

    def error(self, message: str) -> NoReturn:
        """End with usage, a message and the exit code for wrong arguments."""
        self.print_usage(sys.stderr)
        self.exit(self.wrong_arguments, f'{short_name(self.prog)}: error: {printable(message)}\n')


def add_short_options(parser: argparse.ArgumentParser, names: Iterable[str] = tuple(OPTIONS)) -> None:
    """Add options of :data:`~fsfm_mm.settings.options.OPTIONS`, with the same help in every command."""
    group = parser.add_argument_group('short options, for settings that everybody changes')
    for name in names:
        option = OPTIONS[name]
        group.add_argument(
            f'--{name}',
            metavar=option.metavar,
            type=option.read,
            choices=option.choices,
            help=option.sets.replace('`', ''),
        )


def short_options(args: argparse.Namespace) -> dict[str, Any]:
    """The short options that were given, by their names."""
    values = {name: getattr(args, name.replace('-', '_'), None) for name in OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


def short_name(prog: str) -> str:
    """Name of a command in its messages: ``train.py`` of ``python tools/train.py``, else as it is."""
    return prog.rpartition('/')[2]


def end(prog: str, error: BaseException) -> NoReturn:
    """End a command with exit code 1 and what an error says, on one printable line under its name."""
    sys.exit(f'{short_name(prog)}: {error_message(error)}')


#: What is said of a checkpoint that is not there, as of one that is damaged.
CANNOT_READ = '{} cannot be read (there is no such file).'


def need_files(paths: Iterable[str | None], sentence: str = 'there is no file {}') -> None:
    """Raise a ValueError with a sentence about the first path that is given and no file."""
    for path in paths:
        if path is not None and not Path(path).is_file():
            raise ValueError(sentence.format(path))
