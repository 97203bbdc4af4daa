"""Repeat the step at which a run's loss stopped being finite, and say where the first such value arises.

A run that NonFiniteGuardHook stops leaves failed_step.pth: weights, samples and seeds of the first bad step.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsfm_mm.commands.arguments import CANNOT_READ, CommandParser, add_short_options, need_files, short_name
from fsfm_mm.engine.device import choose_device
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.settings.explaining import tell_setting
from fsfm_mm.text import few, printable, text_table

if TYPE_CHECKING:
    from fsfm_mm.engine.replay import Record, Replay

EPILOG = """\
examples:
  %(prog)s work_dirs/pretraining
  %(prog)s failed_step.pth --data /mnt/faces --device cpu      # of another machine

Exit code 0: found; 1: the step is finite here, or something is wrong.
"""
#: What each stage is called in the sentence.
STAGES = {
    'input': 'the preprocessing of the input',
    'target': 'the target',
    'patch embedding': 'the patch embedding',
    'block': 'a block',
    'decoder': 'a decoder',
    'head': 'the head',
    'loss': 'a loss',
    'model': 'the model',
    'gradient': 'the backward pass',
}


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm replay') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument('file', help='failed_step.pth, or the work directory that holds it')
    parser.add_argument(
        '--trust',
        action='store_true',
        help="import modules of the user's own that the run's config names, which can run any program",
    )
    add_short_options(parser, ('data', 'device'))
    return parser.parse_args(argv)


def find(file: str) -> Path:
    """The file that was named, itself or in its folder.

    Raises:
        ValueError: There is none.
    """
    path = Path(file)
    if not path.is_dir():
        need_files([file], CANNOT_READ)
        return path

    from fsfm_mm.files.checkpoint_folders import FAILED_STEP

    if not (path / FAILED_STEP).is_file():
        raise ValueError(f'{path} holds no {FAILED_STEP}: a run leaves it when NonFiniteGuardHook stops it.')
    return path / FAILED_STEP


def report(record: Record, done: Replay) -> list[str]:
    """What was found, as lines."""
    facts, step = record.facts, done.step
    lines = [
        f'{printable(record.path)}: iteration {step["iteration"] + 1}, process {step["rank"]} of {facts["processes"]}, '
        f'{len(step["keys"])} samples, seed {facts["seed"]}, {facts["precision"]} on {facts["device"]}',
        '',
        *_table(done),
        '',
    ]
    if done.inputs:
        lines.append(
            f'The samples themselves are not finite: {few([printable(key) for key in done.inputs])}.'
        )
    lines += [f'{name} held {words} before the step.' for name, words in done.state.items()]
    lines += [_where(done), *_compared(record, done)]
    if done.finite_in_float32 is not None:
        lines.append(
            f'In float32 the step is finite: an overflow of {facts["precision"]} (train with --amp float32).'
            if done.finite_in_float32
            else f'In float32 it is not finite either: no matter of {facts["precision"]}.'
        )
    return lines


def _table(done: Replay) -> list[str]:
    """Parts of the model up to the first whose output is not finite, then the losses."""
    rows = [('part', 'largest finite |value|', 'not finite')]
    for part in done.trace.passed:
        largest = f'{part.largest:.4g}' if part.largest or not part.bad else '-'
        rows.append((part.name, largest, f'{part.bad:,}' if part.bad else ''))
        if part.bad:
            break
    rows += [(name, f'{value:.6g}', '') for name, value in done.losses.items()]
    return text_table(rows, '<>', rule=1)


def _where(done: Replay) -> str:
    from fsfm_mm.engine.tracing import counted

    found = done.trace.finding
    if not done.failed or found is None:
        return (
            'The step is finite here: what was not in the run came from elsewhere (a hook, another version, a fault of '
            'the machine), or the pictures have changed.'
        )
    where = f'{STAGES[found.stage]}, {found.module}' if found.module else STAGES[found.stage]
    if found.stage == 'gradient' and done.trace.gradients:
        where += f', before the gradient of {done.trace.gradients[0]}'
    where += f', in {found.function}' if found.function else ''
    before = [name for name in found.weights if name in done.state]
    sentence = f'The first value that is not finite arises in {where}: '
    if before:
        return f'{sentence}it reads {before[0]}.'
    rows = [printable(done.step['keys'][row]) for row in found.samples]
    samples = f', in {few(rows)}' if 0 < len(rows) < len(done.step['keys']) else ''
    weights = f' of {", ".join(found.weights)}' if found.weights else ''
    bad = f'{counted(found.nan, found.inf, found.of)} ({found.result}){samples}'
    return f'{sentence}{found.operation}{weights} gives {bad}, from values up to {found.largest:.4g}.'


def _compared(record: Record, done: Replay) -> list[str]:
    """Whether losses that were finite in the run are the same now."""
    then = {name: value for name, value in done.step['losses'].items() if value - value == 0}
    changed = {name: value for name, value in then.items() if value != done.losses.get(name)}
    others = [f'{name} {value!r} -> {done.losses.get(name)!r}' for name, value in changed.items()]
    lines = []
    if others:
        why = 'another machine, device or version, or other data'
        if record.facts['processes'] > 1:
            why = f'those over all {record.facts["processes"]} processes are of this one alone here; or {why}'
        lines.append(f'Losses are not the same as in the run ({few(others)}): {why}.')
    if set(then) - set(changed):
        then = {name: value for name, value in then.items() if name not in changed}
        lines.append(f'As in the run, to the last bit: {", ".join(then)}.')
    if not record.facts.get('seeded'):
        lines.append(
            'The run had no ExactResumeHook: random numbers of its model (drop path, mixup) are not these.'
        )
    return lines


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm replay') -> int:
    """Repeat the step and print what was found; returns the exit code."""
    args, name = parse_args(argv, prog), short_name(prog)
    try:
        path = find(args.file)
        choose_device(args.device)
    except ValueError as error:
        sys.exit(f'{name}: {error}')

    import fsfm_mm.components  # noqa: F401  (first: filters import noise)
    from fsfm_mm.engine.replay import read_record, replay

    try:
        record = read_record(path, args.data, args.trust)
        done = replay(record)
    except StoppedError:
        raise
    except Exception as error:
        sys.exit(f'{name}: {tell_setting(error, None, name)}')
    print('\n'.join(report(record, done)))
    return 0 if done.failed else 1
