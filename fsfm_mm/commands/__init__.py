"""The command ``fsfm-mm``: one file a subcommand, each with ``main(argv, prog)`` that returns the exit code.

A command reads its arguments, and looks whether what they name is there, before it imports anything heavy.
``tools/*.py`` are the same commands in a clone.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from fsfm_mm.version import __version__

#: Subcommand (its file: '-' becomes '_') to what it does.
COMMANDS = {
    'train': 'train any config: pretraining or fine-tuning, in one process or many',
    'test': 'test a classifier on one or several sets: tables, intervals, curves',
    'leave-one-out': 'train and test one config for each target domain and seed',
    'prepare': 'from photos and videos to pretraining data',
    'prepare-deepfake': 'from a deepfake set as it was downloaded to face crops',
    'prepare-antispoof': 'from an anti-spoofing set as it was downloaded to frames and lists',
    'pack': 'put images and parsing maps into an archive, which is faster to read',
    'stats': 'mean and standard deviation of a data set',
    'check': 'the doctor: what is wrong with a data set?',
    'masks': 'draw what the masking strategies hide of given faces',
    'convert': "checkpoints of other projects to ours, ours to timm's",
    'card': 'show what a checkpoint knows of itself',
    'config': 'list the configs, or print one as it is after inheritance',
}


def run(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run a subcommand.

    Args:
        name: One of :data:`COMMANDS`.
        argv: Its arguments; None for those of this process.
        prog: How it was called, for its help and messages.

    Returns:
        Its exit code. Wrong arguments raise SystemExit, as argparse does.
    """
    # Before torch loads OpenMP: threads that spin while they wait slow a CPU run down up to tenfold as soon as
    # data workers or other processes need the cores, too.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    module = importlib.import_module(f'fsfm_mm.commands.{name.replace("-", "_")}')
    return module.main(argv, prog or f'fsfm-mm {name}')


def usage() -> str:
    """What ``fsfm-mm --help`` prints."""
    width = max(map(len, COMMANDS)) + 2
    rows = '\n'.join(f'  {name:<{width}}{text}' for name, text in COMMANDS.items())
    return (
        'usage: fsfm-mm COMMAND [arguments]\n\n'
        'Pretrain, evaluate and use face-security foundation models.\n\n'
        f'commands:\n{rows}\n\n'
        'fsfm-mm COMMAND --help explains one; fsfm-mm --version.'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``fsfm-mm``; returns the exit code, 2 for a subcommand that there is not."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else None
    if first in (None, '-h', '--help', 'help'):
        print(usage(), file=sys.stderr if first is None else sys.stdout)
        return 2 if first is None else 0
    if first in ('-V', '--version'):
        print(f'fsfm_mm {__version__}')
        return 0
    if first not in COMMANDS:
        close = difflib.get_close_matches(str(first), COMMANDS, 1)
        print(
            f'fsfm-mm: there is no command {first!r}' + (f' (did you mean {close[0]}?)' if close else '')
            + f'; there are {", ".join(COMMANDS)}.',
            file=sys.stderr,
        )  # fmt: skip
        return 2
    return run(str(first), arguments[1:])
