"""From images and parsing maps in folders to an archive of tar files, which is faster to read."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsfm_mm.commands.arguments import CommandParser, short_name
from fsfm_mm.commands.preparing import WRONG_ARGUMENTS, archive_format, guarded
from fsfm_mm.files.listing import IMAGE_EXTENSIONS
from fsfm_mm.preparation.packing import pack
from fsfm_mm.preparation.progress import summary
from fsfm_mm.preparation.writers.folders import CHROMA

EPILOG = """\
DATA is a folder in the published layout (DATA/images/**/X.png with DATA/parsing_maps/**/X.npy). OUT becomes a folder
with archive/, manifest.jsonl, mean_std.json and prepare.json. docs/formats.md compares the formats.

examples:
  %(prog)s data/my_faces data/my_faces_packed                              # JPEG, 30 kB a face
  %(prog)s data/my_faces data/my_faces_packed --image-format raw           # exact, fastest, 155 kB

Interrupted? The same command goes on where it stopped. Train on the result with
train_dataloader.dataset.type=ArchivedFaces train_dataloader.dataset.data_root=OUT.
Exit code: 0 all well; 1 stopped or wrong arguments; 2 done, but files could not be read; 130 Ctrl-C; 143
terminated.
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm pack') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG, WRONG_ARGUMENTS)
    add = parser.add_argument
    add('data', metavar='DATA', help='folder with images/ and parsing_maps/')
    add('out', metavar='OUT', help='folder of the result')
    add('--image-format', choices=['jpeg', 'raw', 'png'], default='jpeg', help='raw: the fastest [jpeg]')
    add('--quality', type=int, default=95, help='of JPEG, 1..100 [95]')
    add('--chroma', choices=CHROMA, default='4:4:4', help='colour resolution of JPEG [4:4:4]')
    add('--size', type=int, help='side of the faces in pixels; others are resized [their own]')
    add(
        '--patch-size',
        type=int,
        help="side of the patches of the label table: the backbone's [16]",
    )
    add('--missing-maps', choices=['error', 'skip'], default='error', help='images without a map [error]')
    add('--no-maps', action='store_true', help='leave maps out (MAE)')
    add('--chunk-size', type=int, default=1024, help='faces of one tar file [1024]')
    add(
        '--workers',
        type=int,
        default=len(os.sched_getaffinity(0)),
        help='processes; 0: none but this one [one for each core]',
    )
    return parser.parse_args(argv)


def writer_config(args: argparse.Namespace) -> dict[str, Any]:
    """Config of the writer.

    Raises:
        ValueError: A number out of range.
    """
    for name, low in (('size', 8), ('chunk_size', 1), ('workers', 0)):
        if getattr(args, name) is not None and getattr(args, name) < low:
            raise ValueError(
                f'--{name.replace("_", "-")} must be {low} or more, found {getattr(args, name)}.'
            )
    return archive_format(args)


def command(args: argparse.Namespace) -> int:
    """Pack, and tell the outcome; returns the exit code."""
    form = writer_config(args)
    images = Path(args.data, 'images')
    if not images.is_dir():  # before torch is imported to list them
        raise ValueError(f'{images}: no such folder; expected images ({", ".join(IMAGE_EXTENSIONS)}) there.')
    tally = pack(
        args.data,
        args.out,
        form,
        args.size,
        not args.no_maps,
        args.missing_maps,
        args.workers,
        args.chunk_size,
        need_table=args.patch_size is not None,
    )
    print(summary(Path(args.out), tally))
    return 2 if tally.failures else 0


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm pack') -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv, prog)
    return guarded(short_name(prog), lambda: command(args))
