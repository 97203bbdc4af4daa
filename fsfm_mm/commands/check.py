"""The doctor: check a data set before time is spent on it.

Opens every file, counts, and looks for what spoils a training or its results: unreadable files, maps that are
missing or do not fit, near-duplicates, videos or persons in two splits. Exit code 0: no errors (with --strict: no
warnings either); 1: there are; 2: wrong arguments, or no data set there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsfm_mm.commands.arguments import CommandParser, short_name
from fsfm_mm.commands.output import say
from fsfm_mm.doctor.expected import KINDS, expected_set, expected_sets
from fsfm_mm.files import write_atomically
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.files.writing import check_different, check_file, refuse_foreign
from fsfm_mm.settings.explaining import error_message

if TYPE_CHECKING:
    from fsfm_mm.doctor.report import Report

EPILOG = """\
examples:
  %(prog)s data/my_faces                                # pretraining data
  %(prog)s data/ffpp --expect ffpp-c23 --html work_dirs/ffpp.html
  %(prog)s data/mine --identity '(\\w+)-take\\d+'          # persons by the names of the videos
  %(prog)s data/MCIO --extra-domains celeb
  %(prog)s data/my_faces --strict --json report.json    # in CI
  %(prog)s data/celeba --against CelebAMask-HQ/labels --labels celebamask   # how good is a parser?
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm check') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument('path', help='folder of the data set')
    parser.add_argument(
        '--kind', choices=('auto', *KINDS), default='auto', help='what it is [told by its folders]'
    )
    parser.add_argument(
        '--splits', nargs='+', default=[], help='splits of labelled data [those that are there]'
    )
    parser.add_argument(
        '--expect', choices=tuple(expected_sets()), help='the published set that it should be'
    )
    parser.add_argument(
        '--identity',
        metavar='REGEX',
        help="pattern of a video's name, each group a person; '' for none [of the published set, or guessed]",
    )
    parser.add_argument(
        '--protocol', choices=('MCIO', 'WCS'), help="of anti-spoofing data [the folder's name]"
    )
    parser.add_argument(
        '--extra-domains', nargs='+', default=[], help='anti-spoofing domains of single images'
    )
    parser.add_argument(
        '--against',
        metavar='MAPS',
        help='pretraining data: folder of true parsing maps; print intersection over union of each label',
    )
    parser.add_argument(
        '--labels',
        choices=('lapa', 'celebamask'),
        help="of --against: 0-10 as here, or CelebAMask-HQ's 0-18 [lapa]",
    )
    parser.add_argument('--html', metavar='FILE', help='write a page with pictures')
    parser.add_argument('--json', metavar='FILE', help='write the report with all files')
    parser.add_argument('--sample', type=int, default=24, help='pictures to show of the whole set [24]')
    parser.add_argument('--strict', action='store_true', help='warnings count as errors')
    parser.add_argument(
        '--workers', type=int, default=len(os.sched_getaffinity(0)), help='processes; 0: none [all cores]'
    )
    parser.add_argument(
        '--quiet', action='store_true', help='print errors and warnings only, nothing where there are none'
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> Report:
    """Check, print and write; raises ValueError for what the user can mend."""
    if args.sample < 0 or args.workers < 0:
        raise ValueError(f'--sample and --workers must be 0 or more, found {args.sample} and {args.workers}.')
    if not os.path.isdir(args.path):
        raise ValueError(f'{args.path}: no such folder.')
    check_different({'--html': args.html, '--json': args.json})
    if args.labels and not args.against:
        raise ValueError('--labels says what the maps of --against hold: name them.')
    if args.against and not os.path.isdir(args.against):
        raise ValueError(f'--against {args.against}: no such folder.')
    for option, path, begins in (  # now: a scan may take hours
        ('--html', args.html, '<title>Check of'),
        ('--json', args.json, '{\n "root":'),
    ):
        if path:
            check_file(path, option)
            refuse_foreign(path, option, begins)

    from fsfm_mm.doctor.labelled import check_labelled
    from fsfm_mm.doctor.listing import kind_of
    from fsfm_mm.doctor.page import report_page
    from fsfm_mm.doctor.pretraining import check_pretraining

    kind = kind_of(args.path, args.kind, args.expect)
    common = {'workers': args.workers, 'samples': args.sample, 'progress': not args.quiet}
    if args.against and kind != 'pretrain':
        raise ValueError(f'--against compares the maps of pretraining data, and {args.path} is {kind}.')
    if kind == 'pretrain':
        report, source = check_pretraining(args.path, **common)
        if args.against:
            from fsfm_mm.doctor.agreement import report_agreement

            report_agreement(report, args.against, args.labels or 'lapa')
    else:
        report, source = check_labelled(
            args.path,
            kind,
            args.splits,
            expected_set(args.expect),
            args.identity,
            args.protocol,
            args.extra_domains,
            **common,
        )
    # first: a scan may have taken hours, and the writing may fail
    print(report.findings_text() if args.quiet else report.to_text(), end='', flush=True)
    if args.json:
        write_atomically(args.json, report.to_json())
    if args.html:
        report_page(report, source).write(args.html)
    return report


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm check') -> int:
    """Run the command; returns its exit code."""
    args = parse_args(argv, prog)
    replaced = [path for path in (args.html, args.json) if path and os.path.isfile(path)]
    try:
        report = run(args)
    except (ValueError, OSError, StoppedError) as error:
        print(f'{short_name(prog)}: {error_message(error)}', file=sys.stderr)
        return 2
    for written in filter(None, () if args.quiet else (args.html, args.json)):
        say(f'written: {written}' + (' (in the place of an earlier one)' if written in replaced else ''))
    return int(report.failed(args.strict))
