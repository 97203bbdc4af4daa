"""From a face anti-spoofing set as it was downloaded to the frames and lists of the MCIO and WCS protocols."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from fsfm_mm.commands.arguments import CommandParser, short_name
from fsfm_mm.commands.output import say
from fsfm_mm.commands.preparing import (
    EXIT_CODES,
    WRONG_ARGUMENTS,
    add_execution_options,
    add_face_options,
    add_reader_option,
    check_place,
    detector_name,
    execution_of,
    exit_code,
    guarded,
    labelled_settings,
    share_of,
    tell_outcome,
)
from fsfm_mm.commands.telling import tell_counts, tell_missing, tell_names
from fsfm_mm.datasets.labelled.names import read_lines
from fsfm_mm.files.writing import check_folder
from fsfm_mm.preparation.counts import expected_of
from fsfm_mm.preparation.cutting.hdf5_frames import check_h5py, is_hdf5
from fsfm_mm.preparation.manifest import MANIFEST_FILE, manifest_records
from fsfm_mm.preparation.run import prepare
from fsfm_mm.preparation.settings import Settings
from fsfm_mm.preparation.sources.forgeries import Listing
from fsfm_mm.preparation.sources.spoofs import (
    CHIP_PADDING,
    EXPECTED,
    FORMS,
    FRAME_NAMES,
    RULES,
    SPOOF_MARGIN,
    copy_lists,
    naming_of,
    prepared_videos,
    protocol_listing,
    rule_of,
    spoof_listing,
    write_lists,
)
from fsfm_mm.text import printable, text_table

EPILOG = f"""\
sources (--rule, by default the one named as DOMAIN):
{chr(10).join(f'  {line}' for line in text_table(list(EXPECTED.items()), '<'))}

--form published (n: frames of the video):
  MCIO  frames 6 and 6 + n // 2, each moved on to the next one with a face; chips aligned by its five landmarks,
        padding {CHIP_PADDING}; Replay's devel is a split of its own, OULU's Dev and MSU's others are left out
  WCS   the sets' own pictures of faces (of videos, CeFA's VIDEO/profile/*.jpg and WMCA's VIDEO.hdf5: frames
        i * (n // 10)) without their black borders
--form ours
        the middle frames of two halves, or of ten parts; squares of {SPOOF_MARGIN} times the face; devel and Dev
        are training data

examples:
  %(prog)s casia CASIA-FASD data/MCIO
  %(prog)s oulu OULU-NPU data/MCIO
  %(prog)s celeb CelebA_Spoof data/MCIO      # for extra_domains
  %(prog)s surf SURF_faces data/WCS --lists protocol/txt
  %(prog)s cefa CeFA data/WCS --lists protocol/txt      # VIDEO/profile/*.jpg, found by the listed names
  %(prog)s wmca WMCA_faces data/WCS --lists protocol/txt      # VIDEO.hdf5 (pip install h5py)
  %(prog)s wmca WMCA_videos data/WCS --form ours

Several domains go to one OUT, one command each. Results: OUT/frame/DOMAIN/SPLIT/CLASS/VIDEO_frame0.png (WCS:
VIDEO_00.png ...) with a manifest, and OUT/txt/DOMAIN_CLASS_SPLIT.txt, which AntiSpoofDataset reads.
{EXIT_CODES}More in docs/preparation.md.
"""


def parse_args(
    argv: Sequence[str] | None = None, prog: str = 'fsfm-mm prepare-antispoof'
) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG, WRONG_ARGUMENTS)
    parser.add_argument('domain', metavar='DOMAIN', help='name of the set in the protocol: msu, casia, ...')
    parser.add_argument('source', metavar='SOURCE', help='folder of the set as it was downloaded')
    parser.add_argument('out', metavar='OUT', help='folder of the protocol, e.g. data/MCIO')
    what = parser.add_argument_group('what to take')
    what.add_argument(
        '--protocol',
        choices=FRAME_NAMES,
        help='frames of a video and their names [the name of OUT, else MCIO]',
    )
    what.add_argument('--rule', choices=RULES, help='how the source is sorted, see below')
    what.add_argument(
        '--lists', metavar='DIR', help="the protocol's own lists: SOURCE has the pictures that they name"
    )
    what.add_argument(
        '--form',
        choices=FORMS,
        default='published',
        help='frames, crops and splits, see below [published]',
    )
    add_face_options(what, None, 224, 0, faces=False)
    add_reader_option(what)
    add_execution_options(parser)
    return parser.parse_args(argv)


def plan_of(args: argparse.Namespace) -> Listing:
    """The work that the command line asks for; raises ValueError where the source is not as expected."""
    if args.lists and args.rule:
        raise ValueError(
            '--lists says which pictures to take, --rule says how to find videos: give one of them.'
        )
    if args.lists:
        return protocol_listing(args.source, args.lists, args.domain, args.protocol)
    return spoof_listing(args.source, args.domain, args.protocol, args.rule, args.form)


def settings_of(args: argparse.Namespace, plan: Listing) -> Settings:
    """What decides the crops.

    Raises:
        ValueError: An option contradicts the published form.
    """
    if args.form == 'ours':
        return labelled_settings(args, margin=SPOOF_MARGIN)
    if args.margin is not None:
        raise ValueError(
            f'--margin {args.margin} is of squares, and the published form has none: take --form ours with it.'
        )
    if args.protocol == 'MCIO' or naming_of(rule_of(args.domain, args.rule), args.protocol) == 'image':
        # pictures that are faces already are taken as they are
        padding = None if args.detector == 'none' else CHIP_PADDING
        return labelled_settings(args, margin=1.0, follow=False, chip_padding=padding)
    if args.detector not in (None, 'none'):
        raise ValueError(
            f'WCS as published takes pictures of faces as they are, without --detector {args.detector}: take '
            '--form ours with it.'
        )
    videos = [item.path for item in plan.items if item.frames and not is_hdf5(item.path)]
    if videos and args.detector is None:
        raise ValueError(
            f'WCS as published takes pictures of faces as they are, but {printable(videos[0])} is a video: say '
            '--detector none if it shows a face only, else --form ours.'
        )
    return labelled_settings(args, 'NoDetector', 1.0, follow=False, cut_black_borders=True)


def domain_folder(args: argparse.Namespace) -> Path:
    """Where the faces of this set go."""
    return Path(args.out) / 'frame' / args.domain


def command(args: argparse.Namespace) -> int:
    """Do what the command line says, write the lists and tell the outcome; returns the exit code."""
    check_place(args.source, args.out)
    if args.protocol is None:
        name = os.path.basename(os.path.realpath(args.out))
        args.protocol = name if name in FRAME_NAMES else 'MCIO'
    check_folder(Path(args.out) / 'txt', 'the folder of the lists')
    plan = plan_of(args)
    for (split, name), count in sorted(plan.videos.items()):
        listed = plan.listed[split, name]
        say(f'{split}/{name}: {count}{f" of {listed}" if listed not in (None, count) else ""} videos')
    for note in plan.notes:
        say(note)
    tell_missing(plan.missing, 'pictures')
    if any(is_hdf5(item.path) for item in plan.items):
        check_h5py()
    settings, out = settings_of(args, plan), domain_folder(args)
    about = {
        'set': args.domain,
        'sources': [args.source],
        'protocol': args.protocol,
        'form': args.form,
        'detector_name': detector_name(dict(settings.detector)),
        'expected': expected_of(plan),
    }
    outcome = prepare(
        plan.items, out, settings, execution_of(args), about, share_of(args), args.engine, plan.missing
    )
    tell_outcome(str(out), outcome)
    counts = tell_counts(out, outcome, plan)
    if not outcome.complete:
        return exit_code(outcome, args.strict)
    for file, count in lists(args).items():
        print(f'txt/{file}: {count} videos')
    incomplete = [] if args.lists else _incomplete(args)
    tell_names('not in the lists, since frames of them have no face or are not there', incomplete)
    return exit_code(outcome, args.strict, len(counts.barren) + len(incomplete))


def _incomplete(args: argparse.Namespace) -> list[str]:
    """Videos that the lists leave out."""
    records = manifest_records(domain_folder(args) / MANIFEST_FILE)
    naming = naming_of(rule_of(args.domain, args.rule), args.protocol)
    return prepared_videos(naming, (record.file for record in records))[1]


def lists(args: argparse.Namespace) -> dict[str, int]:
    """Write the lists, or copy the protocol's own; returns the lines of each."""
    if args.lists:
        return {
            name: len(read_lines(str(Path(args.out) / 'txt' / name)))
            for name in copy_lists(args.out, args.lists, args.domain)
        }
    records = manifest_records(domain_folder(args) / MANIFEST_FILE)
    naming = naming_of(rule_of(args.domain, args.rule), args.protocol)
    return write_lists(args.out, args.domain, naming, (record.file for record in records))


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm prepare-antispoof') -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv, prog)
    return guarded(short_name(prog), lambda: command(args))
