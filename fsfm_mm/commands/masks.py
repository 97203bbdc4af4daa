"""Draw what the masking strategies hide of given faces: pictures, a table and one HTML page.

FACES are folders with ``images/`` and ``parsing_maps/``, or single pictures. A picture's map lies in ``parsing_maps/``
instead of ``images/``, or beside it as ``NAME.npy``; in a photo without one the face is found, cut out and parsed as
``fsfm-mm prepare`` does it. ``--generated N`` draws faces, so no data is needed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsfm_mm.commands.arguments import CommandParser, end
from fsfm_mm.commands.face_parts import add_parser_options, components
from fsfm_mm.commands.output import say
from fsfm_mm.commands.preparing import add_detector_options
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.files.writing import check_file
from fsfm_mm.preparation.chunks import Workshop
from fsfm_mm.preparation.manifest import STATUSES
from fsfm_mm.preparation.settings import Execution, Settings
from fsfm_mm.preparation.sources.finding import find_items
from fsfm_mm.preparation.sources.items import FrameChoice

if TYPE_CHECKING:
    from fsfm_mm.datasets.transforms import PatchMask

EPILOG = """\
examples:
  %(prog)s --generated 4
  %(prog)s photo.jpg
  %(prog)s photo.jpg --detector blazeface --parser mesh    # from packages alone, no hub
  %(prog)s data/my_faces --num 8 --out work_dirs/masks
  %(prog)s data/my_faces --strategies CRFR-P --regions each
  %(prog)s --generated 4 --import my_masking --strategies CRFR-P LowerFaceMask
  %(prog)s --generated 4 --config configs/fsfm/fsfm_demo.py
"""


def chosen_strategies(args: argparse.Namespace) -> dict[str, PatchMask]:
    """Columns of the sheet; also takes ``patch_size`` and ``size`` from a config where they are not given."""
    from fsfm_mm.apis.mask_sheet import build_strategy, from_config, with_each_region
    from fsfm_mm.datasets.transforms import mask_types
    from fsfm_mm.settings.custom_imports import import_named

    import_named(args.imports, os.curdir, setting='--import')
    chosen: dict[str, PatchMask] = {}
    sizes: dict[str, int] = {}
    for path in args.config:
        strategy, found = from_config(path)
        chosen[Path(path).stem] = strategy
        if sizes and found != sizes:
            raise ValueError(
                f'{path}: the configs differ in their sizes ({sizes} and {found}); draw them one by one.'
            )
        sizes = found
    args.patch_size = args.patch_size or sizes.get('patch_size', 16)
    args.size = args.size or sizes.get('size', 224)
    names = args.strategies if args.strategies else ([] if args.config else list(mask_types()))
    for name in names:
        title, strategy = build_strategy(name, args.mask_ratio)
        chosen[title] = strategy
    if args.regions == 'drawn':
        return chosen
    return {key: value for name, s in chosen.items() for key, value in with_each_region(name, s).items()}


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm masks') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument('faces', nargs='*', help='folders of pretraining data, or pictures')
    parser.add_argument('--generated', type=int, default=0, metavar='N', help='draw N faces')
    parser.add_argument('--num', type=int, default=6, help='faces of each folder, evenly spread [6]')
    parser.add_argument('--out', default='work_dirs/masks', help='folder to write [work_dirs/masks]')
    parser.add_argument(
        '--strategies', nargs='+', help='such as CRFR-P, or types in TRANSFORMS [all of the papers]'
    )
    parser.add_argument('--config', nargs='+', default=[], help='draw the masks of these configs')
    parser.add_argument(
        '--import', dest='imports', nargs='+', default=[], help='modules with strategies of yours'
    )
    parser.add_argument(
        '--regions',
        choices=['drawn', 'each'],
        default='drawn',
        help='CRFR: a drawn region, or a column for each',
    )
    parser.add_argument('--mask-ratio', type=float, default=0.75)
    parser.add_argument('--patch-size', type=int, help="side of a patch in pixels [16, or the config's]")
    parser.add_argument('--size', type=int, help="side of the faces in pixels [224, or the config's]")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--draws', type=int, default=50, help='masks of each face in the statistics [50]')
    photos = parser.add_argument_group('photos without a map, as in fsfm-mm prepare')
    add_detector_options(photos)
    add_parser_options(photos)
    photos.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N [auto]')
    return parser.parse_args(argv)


def _drawn(args: argparse.Namespace, pipeline: list) -> list[dict]:
    if not args.generated:
        return []
    from fsfm_mm.drawn import GeneratedFaces

    faces = GeneratedFaces(length=args.generated, img_size=args.size, seed=args.seed, pipeline=pipeline)
    return [faces[i] for i in range(args.generated)]


def _parsed(args: argparse.Namespace) -> dict[str, dict]:
    """Photo -> its largest face with its map, of the pictures that have none; see ``load_faces``.

    Raises:
        ValueError: A photo cannot be read or gives no face, or weights are missing.
        ConnectionError: Weights cannot be fetched.
        StoppedError: Memory or GPU do not suffice.
    """
    from fsfm_mm.apis.mask_sheet import map_of

    photos = [path for path in args.faces if not Path(path).is_dir() and map_of(Path(path)) is None]
    if not photos:
        return {}
    detector, parser, imports, inside = components(argparse.Namespace(**{**vars(args), 'config': None}))
    if parser is None:
        raise ValueError(f'{photos[0]} has no map, and --parser none makes none: name a parser.')
    items = {path: find_items([path], FrameChoice('count', 1)) for path in photos}
    settings = Settings(detector, parser, size=args.size, min_face=0, landmarks=inside, upright=True)
    shop = Workshop.build(settings, Path(args.out), Execution(0, args.device, imports=imports))
    shop.prepare()
    if shop.parser is not None and shop.parser.limits:
        print(f'maps only roughly right: {shop.parser.limits}', file=sys.stderr)
    found = {}
    for path, source in items.items():
        faces, records = shop.prepare_in_memory(source)
        if not faces:
            told = records[0].message or STATUSES[records[0].status]
            raise ValueError(f'{path}: {told.removeprefix(f"{os.path.abspath(path)}: ").rstrip(".")}.')
        found[path] = dict(img=faces[0].image, parsing_map=faces[0].labels, img_path=path)
    return found


def run(args: argparse.Namespace) -> None:
    """Draw and write; raises ValueError for what the user can mend."""
    for name in ('num', 'draws', 'patch_size', 'size'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f'--{name.replace("_", "-")} must be 1 or more, found {value}.')
    if args.seed < 0:
        raise ValueError(f'--seed must be 0 or more, found {args.seed}.')
    out = Path(args.out)
    for name in ('masks.png', 'masks.html'):
        check_file(out / name, 'the result')
    for path in args.faces:
        if not Path(path).exists():
            raise ValueError(f'there is no file or folder {path}.')
    for path in args.config:
        if not Path(path).is_file():
            raise ValueError(f'there is no config file {path}.')

    import cv2

    from fsfm_mm.apis.mask_sheet import load_faces, print_table, rows_of, statistics, write_page
    from fsfm_mm.files import write_atomically
    from fsfm_mm.visualization import contact_sheet, label_legend, mask_legend

    strategies = chosen_strategies(args)
    parsed = _parsed(args)
    samples = load_faces(
        args.faces, args.num, args.size, args.patch_size, lambda steps: _drawn(args, steps), parsed
    )
    rows = rows_of(samples, strategies, args.seed)
    table = statistics(samples, strategies, args.seed, args.draws)
    columns, names = ['face', 'parsing map', *strategies], [sample['name'] for sample in samples]
    about = (
        f'{len(samples)} faces of {args.size}x{args.size} pixels, patches of {args.patch_size}x{args.patch_size}; '
        f'seed {args.seed}'
    )
    legends = [{'masks: visible as it is': '', **mask_legend()}, {'parsing map:': '', **label_legend()}]
    sheet = contact_sheet(rows, columns, names, legends=legends, caption=f'{about}.')
    replaced = ' (in the place of earlier ones)' if (out / 'masks.png').exists() else ''
    write_atomically(out / 'masks.png', cv2.imencode('.png', sheet[..., ::-1])[1].tobytes())
    about = f'{about}; statistics over {args.draws} draws a face.'
    write_page(out / 'masks.html', rows, columns, names, table, about)
    print_table(table)
    say(str(out / 'masks.png'))
    say(f'{out / "masks.html"}{replaced}')


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm masks') -> int:
    """Run the command; returns the exit code."""
    try:
        run(parse_args(argv, prog))
    except (ValueError, ImportError, ConnectionError, StoppedError) as error:
        end(prog, error)
    return 0
