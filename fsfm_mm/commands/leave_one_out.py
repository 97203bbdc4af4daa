"""Leave one domain out: train and test every config (one per target domain) with every seed; mean and deviation."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsfm_mm.commands.arguments import CommandParser, add_short_options, end, short_options
from fsfm_mm.commands.output import say
from fsfm_mm.evaluation.report import LEFT_OUT
from fsfm_mm.files.broken import parse_json, reading
from fsfm_mm.files.opening import read_text
from fsfm_mm.files.writing import check_folder, write_atomically
from fsfm_mm.settings.config_files import find_config
from fsfm_mm.settings.options import OPTIONS, TEST_OPTIONS

if TYPE_CHECKING:
    from fsfm_mm.evaluation import ScoreReport

EPILOG = """\
examples:
  %(prog)s configs/antispoof/fsfm_vit-b_mcio-{m,c,i,o}.py        # the published seeds, 0 to 4
  %(prog)s configs/antispoof/fsfm_vit-b_wcs-{w,c,s}.py --seeds 0 --out work_dirs/wcs

Runs that are finished are not done again, so the same command goes on after an interruption.
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm leave-one-out') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument('configs', nargs='+', help='one config for each target domain')
    parser.add_argument(
        '--seeds', nargs='+', type=int, help="seeds of each config [the config's published_seeds, else 0]"
    )
    parser.add_argument('--out', default='work_dirs/leave_one_out', help='folder of all runs and tables')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='settings for every run'
    )
    add_short_options(parser, [name for name in OPTIONS if name != 'seed'])
    parser.add_argument(
        '--override-card',
        action='store_true',
        help='let --cfg-options contradict the cards of encoders and checkpoints; every table then says so',
    )
    parser.add_argument(
        '--view', choices=['whole', 'centre'], help='of the tests, as of fsfm-mm test [as the config says]'
    )
    parser.add_argument('--bootstrap', type=int, default=0, help='resamples of the intervals of each run [0]')
    return parser.parse_args(argv)


def run_command(name: str, *arguments: str) -> None:
    """Run another command in a process of its own; its output is shown.

    Raises:
        ValueError: When it fails.
    """
    done = subprocess.run([sys.executable, '-m', 'fsfm_mm', name, *arguments], env=dict(os.environ))
    if done.returncode:
        raise ValueError(f'fsfm-mm {name} failed with exit code {done.returncode}: {" ".join(arguments)}')


def check_settings(work_dir: Path, settings: dict[str, object]) -> None:
    """Keep what a run is made with, and refuse to take the results of one that was made otherwise.

    Raises:
        ValueError: The run in the folder had other settings.
    """
    path = work_dir / 'leave_one_out.json'
    text = json.dumps(settings, indent=1, sort_keys=True) + '\n'
    if not path.exists():
        write_atomically(path, text)
    elif (found := read_text(path)) != text:
        before = parse_json(found, path)
        differing = ', '.join(
            f'{key} {before.get(key)} -> {value}'
            for key, value in settings.items()
            if value != before.get(key)
        )
        raise ValueError(
            f'{work_dir} holds a run with other settings ({differing}): give the same ones, or another --out'
        )


def refuse_doubles(what: str, names: Sequence[object]) -> None:
    """Refuse what would share a folder: one run would count for two, and deviations be too small."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f'{what}: {name} is given twice, and its runs would be one: name it once, or otherwise'
            )


def is_finished(results: Path) -> bool:
    """Whether a test has written all its tables; the honest one is the last, where there is one."""
    published = results / 'published.json'
    if not published.exists():
        return False
    with reading(published, ' is no table of a test', ': delete it, and it is written again'):
        notes = json.loads(read_text(published))['notes']
        left_out = any(note.startswith(LEFT_OUT) for note in notes)
    return left_out or (results / 'honest.json').exists()


def seeds_of(config: str, args: argparse.Namespace) -> list[int]:
    """The seeds of a config's runs: those that were named, else those of the published runs."""
    from fsfm_mm.settings.reading import read_config

    return args.seeds or list(read_config(config).get('published_seeds', [0]))


def one_run(config: str, seed: int, args: argparse.Namespace) -> Path:
    """Train and test one config with one seed, unless that is done; returns the folder of its tables."""
    work_dir = Path(args.out) / Path(config).stem / f'seed{seed}'
    results = work_dir / 'test'
    given = short_options(args)
    settings = {key: value for key, value in given.items() if key not in ('workers', 'device')}
    settings |= {'view': args.view} if args.view else {}
    check_settings(work_dir, {**settings, 'settings': args.cfg_options, 'override_card': args.override_card})
    if is_finished(results):
        return results
    options = ['--cfg-options', f'randomness.seed={seed}', *args.cfg_options]
    short = {name: [f'--{name}', str(value)] for name, value in given.items()}
    training = [word for words in short.values() for word in words]
    options += ['--override-card'] if args.override_card else []
    run_command('train', config, '--work-dir', str(work_dir), '--resume', *training, *options)
    checkpoints = sorted(map(str, [*work_dir.glob('iter_*.pth'), *work_dir.glob('epoch_*.pth')]))
    checkpoints += sorted(map(str, work_dir.glob('best_*.pth')))
    test = ['--out', str(results), '--bootstrap', str(args.bootstrap), *options]
    test += ['--view', args.view] if args.view else []
    testing = [word for name, words in short.items() if name in TEST_OPTIONS for word in words]
    run_command('test', config, *checkpoints, *testing, *test)
    return results


def summarise(folders: dict[str, list[Path]], protocol: str) -> ScoreReport:
    """Mean over seeds for each target, then mean and deviation over targets."""
    from fsfm_mm.checkpoints.agreement import OVERRIDDEN
    from fsfm_mm.evaluation import Heading, ScoreReport
    from fsfm_mm.evaluation.summaries import FALSE_ALARMS

    rows: dict[str, dict[str, float | None]] = {}
    deviations: dict[str, dict[str, float]] = {}
    selected: set[str] = set()
    headings: list[Heading] = []
    notes: list[str] = []
    caveat = ''
    title = f'{protocol} protocol, leave one out: mean over seeds and over targets'
    for config, runs in folders.items():
        tables = [json.loads(read_text(folder / f'{protocol}.json')) for folder in runs]
        selected.update(*(table['target_selected'] for table in tables))
        headings = headings or [Heading(*heading) for heading in tables[0].get('headings', [])]
        overridden = [note for table in tables for note in table['notes'] if note.startswith(OVERRIDDEN)]
        if overridden:
            caveat = 'card overridden'
            title = f'{protocol} protocol, leave one out, {caveat}: mean over seeds and over targets'
            notes += dict.fromkeys(f'{config}: {note}' for note in overridden)
        seeds = {
            f'{folder.parent.name} {name}': row
            for folder, table in zip(runs, tables)
            for name, row in table['rows'].items()
        }
        spread = ScoreReport(seeds).with_mean_and_std()
        rows[config] = {column: spread.value('mean', column) for column in spread.columns}
        found = {column: spread.value('std', column) for column in spread.columns}
        deviations[config] = {column: value for column, value in found.items() if value is not None}
    notes += [note for note in tables[0]['notes'] if note.startswith(FALSE_ALARMS)]  # the words
    if any(deviations.values()):
        notes.insert(0, 'mean ± standard deviation over seeds; std: that over targets')
    report = ScoreReport(
        rows,
        target_selected=selected,
        notes=notes,
        title=title,
        headings=headings,
        deviations=deviations,
        caveat=caveat,
    )
    return report.with_mean_and_std() if len(rows) > 1 else report


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm leave-one-out') -> int:
    """Run everything and print one table per protocol; returns the exit code."""
    args = parse_args(argv, prog)
    folders: dict[str, list[Path]] = {}
    try:
        for config in args.configs:
            find_config(config)
        check_folder(args.out, 'the folder --out')
        refuse_doubles('configs', [Path(config).stem for config in args.configs])
        refuse_doubles('--seeds', args.seeds or [])
        for config in args.configs:
            folders[Path(config).stem] = [one_run(config, seed, args) for seed in seeds_of(config, args)]
    except ValueError as error:
        end(prog, error)
    for protocol in ('published', 'honest'):
        lacking = [
            str(run) for runs in folders.values() for run in runs if not (run / f'{protocol}.json').exists()
        ]
        if lacking:
            say(f'the {protocol} protocol was left out, as in {lacking[0]}/published.txt, which says why')
            continue
        report = summarise(folders, protocol)
        report.write(Path(args.out), protocol)
        print(report.to_text())
    say(f'tables with every metric are in {args.out}')
    return 0
