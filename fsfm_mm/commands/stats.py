"""Mean and standard deviation of a face data set, for the normalisation of its own pretraining.

Reads all images below ``DATA_ROOT/images`` (or below ``DATA_ROOT`` where there is no such folder), resizes
each as training does, and counts how often every value 0..255 occurs in every channel. From these counts,
which are exact whatever the order of the files and the number of workers, come the mean and the standard
deviation of RGB pixels scaled to 0..1, *over all pixels of the set* (population; not the mean of the images'
own deviations, which is smaller). A config reads the result with
``data_preprocessor=dict(type='FaceDataPreprocessor', stats='DATA_ROOT/mean_std.json')``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from fsfm_mm.commands.arguments import CommandParser, end
from fsfm_mm.commands.output import say
from fsfm_mm.files import write_atomically
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, list_files
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.files.writing import check_file
from fsfm_mm.ops.resizing import INTERPOLATIONS
from fsfm_mm.statistics import compute_statistics, load_mean_std


def find_images(
    roots: Sequence[str], limit: int | None, left_out: Callable[[str], object] = lambda sentence: None
) -> list[str]:
    """List the images of several roots; with ``limit``, that many of them, evenly spaced over the list.

    Args:
        roots: The folders.
        limit: Images at most.
        left_out: As of :func:`~fsfm_mm.files.listing.list_files`.

    Raises:
        ValueError: A root is missing or has no images, or the limit is not positive.
    """
    paths: list[str] = []
    for root in roots:
        folder = os.path.join(root, 'images')
        folder = folder if os.path.isdir(folder) else root
        if not os.path.isdir(folder):
            raise ValueError(f'{folder}: no such folder.')
        found = list_files(folder, IMAGE_EXTENSIONS, left_out)
        if not found:
            raise ValueError(f'{folder}: no images ({", ".join(IMAGE_EXTENSIONS)}) below it.')
        paths += [os.path.join(folder, file) for file in found]
    if limit is None or limit >= len(paths):
        return paths
    if limit < 1:
        raise ValueError(f'--limit must be positive, but is {limit}.')
    return [paths[i * len(paths) // limit] for i in range(limit)]


def earlier(out: str) -> dict[str, list[float]] | None:
    """Mean and deviation that the file to write has now, None without one.

    Raises:
        ValueError: It is something else, which is not replaced.
    """
    if not os.path.exists(out):
        return None
    try:
        return load_mean_std(out)
    except ValueError as error:
        raise ValueError(f'--out: {out} exists already and is something else: name another file') from error


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm stats') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__)
    parser.add_argument('data_root', nargs='+', help='folders of the data set')
    parser.add_argument('--out', help='JSON file to write (default: mean_std.json in the first folder)')
    parser.add_argument('--limit', type=int, help='use this many images, evenly spaced over all')
    parser.add_argument(
        '--workers', type=int, default=len(os.sched_getaffinity(0)), help='processes; 0: none'
    )
    parser.add_argument('--size', type=int, default=224, help='side of the training images in pixels')
    parser.add_argument('--interpolation', choices=INTERPOLATIONS, default='bicubic')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm stats') -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv, prog)
    links: list[str] = []
    out = args.out or os.path.join(args.data_root[0], 'mean_std.json')
    try:
        for name, least in (('size', 1), ('workers', 0)):
            if getattr(args, name) < least:
                raise ValueError(f'--{name} must be {least} or more, found {getattr(args, name)}')
        check_file(out, '--out')
        paths = find_images(args.data_root, args.limit, links.append)
        before = earlier(out)
        stats = compute_statistics(paths, args.size, args.interpolation, args.workers)
        stats['broken_files'] = [*links, *stats['broken_files']]
    except (ValueError, StoppedError) as error:
        end(prog, error)
    write_atomically(out, json.dumps(stats, indent=2, ensure_ascii=False) + '\n')
    for sentence in stats['broken_files']:
        print(f'left out: {sentence}', file=sys.stderr)
    for root in args.data_root:
        splits = [split for split in ('train', 'val', 'test') if os.path.isdir(os.path.join(root, split))]
        if len(splits) > 1:
            say(
                f'over {" and ".join(splits)} of {root} together: name {os.path.join(root, splits[0])} for it alone'
            )
    say(f'{stats["num_images"]} images ({len(stats["broken_files"])} broken) -> {out}')
    now = {key: stats[key] for key in ('mean', 'std')}
    print(json.dumps(now))
    if before not in (None, now):
        print(f'in the place of {json.dumps(before)}: what was trained with these needs them still')
    return 0
