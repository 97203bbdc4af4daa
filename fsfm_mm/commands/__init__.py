"""The command ``fsfm-mm``: one file a subcommand, each with ``main(argv, prog)`` that returns the exit code.

A command reads its arguments, and looks whether what they name is there, before it imports anything heavy.
``tools/*.py`` are the same commands in a clone.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from fsfm_mm.commands.output import printable_output
from fsfm_mm.text import did_you_mean, text_table
from fsfm_mm.version import __version__

#: Subcommand (its file: '-' becomes '_') to what it does.
COMMANDS = {
    'train': 'train any config: pretraining or fine-tuning, in one process or many',
    'test': 'test a classifier on one or several sets: tables, intervals, curves',
    'predict': "score the faces in anybody's pictures and videos",
    'replay': 'repeat the step at which a loss stopped being finite, and say where',
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
        Its exit code. Wrong arguments raise SystemExit, as argparse does. An error that the command does not
        know is one sentence, too: EX_SOFTWARE, with the traceback in a file, or EX_IOERR where the system refuses a
        file.
    """
    # Before torch loads OpenMP: threads that spin while they wait slow a CPU run down up to tenfold as soon as
    # data workers or other processes need the cores, too.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    os.environ.setdefault('NO_COLOR', '1')  # mmengine's log lines: an escape sequence could be of a name
    module = importlib.import_module(f'fsfm_mm.commands.{name.replace("-", "_")}')
    prog = prog or f'fsfm-mm {name}'
    with printable_output():
        try:
            return module.main(argv, prog)
        except KeyboardInterrupt:  # before a command has begun to listen to signals, or where it does not
            print(f'{prog.rpartition("/")[2]}: stopped by Ctrl-C', file=sys.stderr)
            return 130
        except Exception as error:  # what a command knows of, it says itself
            return _tell(error, prog.rpartition('/')[2])


def _tell(error: Exception, name: str) -> int:
    """Say what stopped a command, in one sentence; returns its exit code, of sysexits.h where there is one."""
    from fsfm_mm.files.stopping import StoppedError
    from fsfm_mm.settings.explaining import error_message, with_traceback

    if isinstance(error, StoppedError):
        print(f'{name}: {error}', file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        print(f'{name}: {error_message(error)}', file=sys.stderr)
        return os.EX_IOERR
    sentence = f'stopped by an error of the program: {type(error).__name__}: {error_message(error)}'
    print(f'{name}: {with_traceback(sentence, error, name=name)}', file=sys.stderr)
    return os.EX_SOFTWARE


def usage() -> str:
    """What ``fsfm-mm --help`` prints."""
    rows = '\n'.join(f'  {line}' for line in text_table(list(COMMANDS.items()), '<'))
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
        meant = did_you_mean(str(first), COMMANDS, 1)
        print(
            f'fsfm-mm: there is no command {first!r}{meant}; there are {", ".join(COMMANDS)}.',
            file=sys.stderr,
        )
        return 2
    return run(str(first), arguments[1:])
