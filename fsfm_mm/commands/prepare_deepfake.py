"""From a deepfake set as it was downloaded to face crops in train/val/test and real/fake folders."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fsfm_mm.commands.arguments import CommandParser, short_name
from fsfm_mm.commands.output import say
from fsfm_mm.commands.preparing import (
    EXIT_CODES,
    WRONG_ARGUMENTS,
    add_crops_option,
    add_execution_options,
    add_face_options,
    add_frames_option,
    add_reader_option,
    check_place,
    crop_settings,
    detector_name,
    execution_of,
    exit_code,
    guarded,
    share_of,
    tell_outcome,
)
from fsfm_mm.commands.telling import tell_counts, tell_missing
from fsfm_mm.datasets.labelled.names import SPLITS
from fsfm_mm.datasets.labelled.published_rules import ALL_MANIPULATIONS, DIFF_SUBSETS
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS
from fsfm_mm.preparation.counts import expected_of
from fsfm_mm.preparation.run import prepare
from fsfm_mm.preparation.sources.forgeries import Listing, folder_listing, forgery_listing

EPILOG = f"""\
examples:
  %(prog)s ffpp FaceForensics++ data/ffpp_c23               # all, c23, official splits
  %(prog)s ffpp FaceForensics++ data/ffpp_df --manipulations Deepfakes --compression c40
  %(prog)s celebdf_v2 Celeb-DF-v2 data/celeb_df_v2 --splits test
  %(prog)s folders my_videos data/mine      # my_videos/[train|val|test/]real*, fake*

Results: OUT/SPLIT/CLASS/VIDEO_frame_INDEX.png and OUT/manifest.jsonl, which LabelledFaces and fsfm-mm test read.
{EXIT_CODES}More in docs/preparation.md; layouts of the sources in docs/downstream_data.md.
"""


def parse_args(
    argv: Sequence[str] | None = None, prog: str = 'fsfm-mm prepare-deepfake'
) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG, WRONG_ARGUMENTS)
    parser.add_argument(
        'set', choices=[*PUBLISHED_SETS, 'folders'], help='which set; folders: real*/ and fake*/ of your own'
    )
    parser.add_argument('source', metavar='SOURCE', help='folder of the set as it was downloaded')
    parser.add_argument('out', metavar='OUT', help='folder of the result, e.g. data/ffpp_c23')
    what = parser.add_argument_group('what to take')
    what.add_argument(
        '--splits',
        nargs='+',
        choices=SPLITS,
        help='which splits [all; of folders without train, val, test: test]',
    )
    what.add_argument('--compression', choices=['raw', 'c0', 'c23', 'c40'], help='ffpp [c23]')
    what.add_argument(
        '--manipulations',
        nargs='+',
        choices=ALL_MANIPULATIONS,
        metavar='NAME',
        help='ffpp: which, FaceShifter too [the other four]',
    )
    what.add_argument(
        '--subsets', nargs='+', choices=DIFF_SUBSETS, metavar='NAME', help='diff: which [all four]'
    )
    what.add_argument(
        '--youtube-real',
        action='store_true',
        help='celebdf_v2: also YouTube-real (not in published numbers)',
    )
    what.add_argument(
        '--masks',
        action='store_true',
        help="ffpp, dfd_*: in forged videos take the face that the set's own masks show",
    )
    add_frames_option(what)
    add_reader_option(what)
    what.add_argument(
        '--real-frames',
        type=int,
        metavar='N',
        help='of real videos [as --frames; ffpp: times the manipulations]',
    )
    add_crops_option(what, 'published; of folders: ours')
    add_face_options(what, None, None, 0, faces=False)
    add_execution_options(parser)
    return parser.parse_args(argv)


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Options of the set's rule that the command line gives."""
    options: dict[str, Any] = {
        name: value
        for name in ('compression', 'manipulations', 'subsets')
        if (value := getattr(args, name)) is not None
    }
    if args.youtube_real:
        options['youtube_real'] = True
    return options


def plan_of(args: argparse.Namespace) -> Listing:
    """The work that the command line asks for.

    Raises:
        ValueError: The source is not as expected, or an option does not belong to the set.
    """
    options = options_of(args)
    if args.set == 'folders':
        if options or args.masks:
            named = ', '.join(f'--{name.replace("_", "-")}' for name in [*options, *['masks'] * args.masks])
            raise ValueError(f'folders: {named} belongs to a published set.')
        return folder_listing(args.source, args.splits or (), args.frames, args.real_frames)
    return forgery_listing(
        args.set, args.source, args.splits, args.frames, args.real_frames, options, args.masks
    )


def tell_plan(args: argparse.Namespace, plan: Listing) -> None:
    """Print how many videos there are, what lacks of those listed, and what differs from the published numbers."""
    named = PUBLISHED_SETS.get(args.set)
    if named and not named.tried:
        print(f'{args.set}: layout from its documentation, not tried on the set: look at the numbers')
    for place, listed in sorted(plan.listed.items()):
        count = plan.videos[place]
        published = named.counts.get(place[0]) if named and named.count_by else None
        note = f' (published: {published})' if published not in (None, count) else ''
        of = f' of {listed}' if listed not in (None, count) else ''
        say(f'{"/".join(place)}: {count}{of} videos{note}')
    if plan.frames:
        print(f'{plan.frames["fake"]} frames of a fake video, {plan.frames["real"]} of a real one')
    for note in plan.notes:
        say(note)
    tell_missing(plan.missing)


def command(args: argparse.Namespace) -> int:
    """Do what the command line says and tell the outcome; returns the exit code."""
    check_place(args.source, args.out)
    plan = plan_of(args)
    tell_plan(args, plan)
    crops = args.set in PUBLISHED_SETS and PUBLISHED_SETS[args.set].crops
    if crops and args.detector is None:
        args.detector = 'none'
    if args.crops is None:  # one's own pictures are cut as those of one's own pretraining
        args.crops = 'published' if args.set in PUBLISHED_SETS else 'ours'
    settings = crop_settings(args)
    name = detector_name(dict(settings.detector))
    form = 'as they came' if name == 'none' else args.crops
    print(f'crops: {form}' + ('' if name == 'none' else f' ({name}, margin {settings.margin})'))
    about = {
        'set': args.set,
        'sources': [args.source],
        'frames': asdict(args.frames),
        'crops': form,
        'detector_name': name,
        'options': options_of(args),
        'expected': expected_of(plan),
    }
    outcome = prepare(
        plan.items, args.out, settings, execution_of(args), about, share_of(args), args.engine, plan.missing
    )
    tell_outcome(args.out, outcome)
    counts = tell_counts(args.out, outcome, plan)
    if outcome.complete and outcome.tally.statuses['ok']:
        say(f'next: fsfm-mm check {args.out}')
    return exit_code(outcome, args.strict, len(counts.barren))


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm prepare-deepfake') -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv, prog)
    return guarded(short_name(prog), lambda: command(args))
