"""From folders of photos and videos to pretraining data: faces found, cut out, parsed and written."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config

from fsfm_mm.commands.arguments import CommandParser, short_name
from fsfm_mm.commands.output import say
from fsfm_mm.commands.preparing import (
    EXIT_CODES,
    PATCH_SIZE,
    PUBLISHED_CHOICES,
    WRONG_ARGUMENTS,
    add_crops_option,
    add_execution_options,
    add_face_options,
    add_frames_option,
    add_reader_option,
    archive_format,
    detector_name,
    detector_of,
    execution_of,
    exit_code,
    guarded,
    published_detector,
    share_of,
    tell_outcome,
    with_weights,
)
from fsfm_mm.datasets.labelled.crops import PUBLISHED_MARGINS
from fsfm_mm.preparation.run import prepare
from fsfm_mm.preparation.settings import CROP_MARGIN, WRITERS, Settings, presets
from fsfm_mm.preparation.sources.finding import find_items
from fsfm_mm.preparation.writers.folders import CHROMA
from fsfm_mm.registry import FACE_DETECTORS, FACE_PARSERS

EPILOG = f"""\
examples:
  %(prog)s photos data/my_faces
  %(prog)s photos videos more/videos data/my_faces --frames 8 --faces all
  %(prog)s photos data/my_faces --detector blazeface --parser mesh   # from packages alone, no hub
  %(prog)s photos data/my_faces --parser template      # needs no weights, rough maps
  %(prog)s photos data/my_faces --crops published      # as published weights saw faces
  %(prog)s crops data/my_faces --detector none         # pictures are faces already
  %(prog)s photos data/my_faces --format archive       # fastest to train on
  torchrun --nproc-per-node 4 tools/data/prepare_pretrain.py photos data/my_faces   # or SLURM's srun

{EXIT_CODES}More in docs/preparation.md.
"""
PARSERS = presets(FACE_PARSERS)
#: Of what :data:`CONFIG` sets.
SIZE = 224
#: Sources from which on shards hold 1024 each: fewer are cut so that every worker has some.
MANY = 4096
CONFIG = 'fsfm_vit-s_own-faces'
DATA_ROOT = 'data/my_faces'
#: Who reads each format in training.
DATASETS = {'folders': 'FaceParsingDataset', 'archive': 'ArchivedFaces'}


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm prepare') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG, WRONG_ARGUMENTS)
    parser.add_argument(
        'sources', nargs='+', metavar='SOURCE', help='pictures, videos or folders of them, nested or not'
    )
    parser.add_argument('out', metavar='OUT', help='folder of the result, e.g. data/my_faces')
    what = parser.add_argument_group('what to do')
    add_crops_option(what, 'ours')
    add_face_options(what, None, 224, 40)
    what.add_argument(
        '--parser',
        metavar='NAME|FILE',
        help=f'who labels the pixels: {", ".join(PARSERS)}, none, or a .py or .json file '
        "with the config of any segmenter, parser = dict(type='SegmenterParser', ...); mesh needs packages only and is "
        'approximate, template has no weights of its own and is rough [farl]',
    )
    what.add_argument(
        '--parser-weights', metavar='FILE', help='weights of the parser; mesh: a wheel [fetched once]'
    )
    what.add_argument(
        '--config', metavar='FILE', help='file with detector = dict(...), parser = dict(...), custom_imports'
    )
    add_frames_option(what)
    add_reader_option(what)
    form = parser.add_argument_group('what to write')
    form.add_argument(
        '--format',
        choices=WRITERS,
        default='folders',
        help='files, or an archive of tar files [folders]',
    )
    form.add_argument(
        '--image-format', choices=['png', 'jpeg', 'raw'], help='raw: archive only [png; archive: jpeg]'
    )
    form.add_argument('--quality', type=int, default=95, help='of JPEG [95]')
    form.add_argument('--chroma', choices=CHROMA, default='4:4:4', help='colour resolution of JPEG [4:4:4]')
    form.add_argument(
        '--patch-size', type=int, metavar='PIXELS', help="archive only: the backbone's patches [16]"
    )
    form.add_argument(
        '--chunk-size',
        type=int,
        metavar='FACES',
        help='sources of one tar file [by their number, 1024 at most]',
    )
    form.add_argument('--map-format', choices=['npy', 'png'], help='of the maps in folders [npy]')
    add_execution_options(parser)
    return parser.parse_args(argv)


def _from_file(path: str) -> Config:
    if not Path(path).is_file():
        known = ', '.join([*PARSERS, 'none'])
        raise ValueError(f'{path} is neither a file nor one of {known}.')
    from fsfm_mm.settings.reading import read_config

    try:
        return read_config(path)
    except ValueError as error:
        raise ValueError(f'{path} is no .py or .json file with a config: {error}.') from error


def components(args: argparse.Namespace) -> tuple[dict, dict | None, tuple[str, ...], dict | None]:
    """Configs of detector and parser, modules to import for them, and who finds landmarks inside the crops.

    The parser's landmarks are looked for inside the crops, by YuNet, where the detector gives none, as the published
    maps came about, whose detector is dlib. ``--detector-weights`` are YuNet's then.

    Raises:
        ValueError: A file is missing or holds no such config, or weights are given to what has none.
    """
    config = _from_file(args.config).to_dict() if args.config else {}
    parser: dict | None = config.get('parser', PARSERS['farl'])
    if args.parser:
        parser = None if args.parser == 'none' else PARSERS.get(args.parser)
        if parser is None and args.parser != 'none':
            config = {**config, **_from_file(args.parser).to_dict()}
            parser = config.get('parser', config)
    detector = config.get('detector', dict(type='YuNet'))
    for name, part in (('detector', detector), ('parser', parser)):
        if part is not None and 'type' not in part:
            raise ValueError(f"the {name}'s config must be a dict with a type, found {part!r}.")
    if needs_landmarks(parser) and gives_no_landmarks(args, detector):
        inside = with_weights('detector', FACE_DETECTORS, dict(type='YuNet'), args.detector_weights)
        detector = detector_of(args, detector, None)
    else:
        inside, detector = None, detector_of(args, detector, args.detector_weights)
    parser = with_weights('parser', FACE_PARSERS, parser, args.parser_weights)
    imports = config.get('custom_imports', {}).get('imports', ())
    return detector, parser, (imports,) if isinstance(imports, str) else tuple(imports), inside


def choose_crops(args: argparse.Namespace) -> str:
    """Fill in the options that ``--crops`` decides; returns what the crops are called.

    Raises:
        ValueError: Another option contradicts the published crops.
    """
    if args.crops == 'published' and args.detector != 'none':
        if args.config and 'detector' in _from_file(args.config):
            raise ValueError(
                '--crops published chooses the detector: leave it out of --config, or take --crops ours.'
            )
        args.detector = published_detector(args)
        whom = PUBLISHED_CHOICES[args.detector]
        if args.faces not in (None, whom):
            raise ValueError(
                f'--crops published takes the {whom} face, not {args.faces}: take --crops ours with it.'
            )
        args.margin, args.faces = PUBLISHED_MARGINS[args.detector], whom
        return 'published'
    args.margin = CROP_MARGIN if args.margin is None else args.margin
    args.faces = args.faces or 'largest'
    return 'as they came' if args.detector == 'none' else 'ours'


def needs_landmarks(parser: dict | None) -> bool:
    """Whether a parser's config is of one that gives no map without landmarks."""
    kind = None if parser is None else FACE_PARSERS.module_dict.get(parser['type'])
    return getattr(kind, 'needs_landmarks', False) and not (parser or {}).get('default_landmarks', False)


def gives_no_landmarks(args: argparse.Namespace, detector: dict) -> bool:
    """Whether the chosen detector is known to give none."""
    kind = FACE_DETECTORS.module_dict.get(detector_of(args, detector, None)['type'])
    return getattr(kind, 'gives_landmarks', None) is False


def output_format(args: argparse.Namespace) -> dict[str, Any]:
    """Config of the writer.

    Raises:
        ValueError: An option that this format does not have.
    """
    image = args.image_format
    if args.map_format and args.format != 'folders':
        raise ValueError('--map-format belongs to --format folders.')
    if args.patch_size is not None and args.format != 'archive':
        raise ValueError('--patch-size belongs to --format archive: folders keep whole maps only.')
    if image == 'raw' and args.format != 'archive':
        raise ValueError('--image-format raw belongs to --format archive.')
    if args.format == 'folders':
        form = dict(type='folders', image_format=image or 'png', map_format=args.map_format or 'npy')
        return {**form, 'quality': args.quality, 'chroma': args.chroma}
    form = archive_format(args)
    if args.patch_size is not None and args.size % args.patch_size:
        raise ValueError(f'--size {args.size} must be a multiple of --patch-size {args.patch_size}.')
    return form


def next_command(
    out: str, form: str, size: int = SIZE, patch_size: int = PATCH_SIZE, maps: bool = True
) -> str:
    """The command that trains on the result, as it is to be typed.

    Args:
        out: Folder of the result.
        form: Its format.
        size: Side of its crops in pixels; where it cannot be cut into patches, training resizes them.
        patch_size: Side of the patches in pixels.
        maps: Whether it has maps.
    """
    command = f'fsfm-mm train {CONFIG} --work-dir work_dirs/my_faces'
    if Path(out) != Path(DATA_ROOT):
        command += f' --data {shlex.quote(out)}'
    changes: dict[str, Any] = {} if form == 'folders' else {'train_dataloader.dataset.type': DATASETS[form]}
    if size != SIZE and size % patch_size == 0:
        changes |= {'model.backbone.img_size': size, 'train_dataloader.dataset.pipeline.1.size': size}
    if patch_size != PATCH_SIZE:
        changes |= {
            'model.backbone.patch_size': patch_size,
            'train_dataloader.dataset.pipeline.2.patch_size': patch_size,
        }
    if not maps:
        changes['train_dataloader.dataset.need_maps'] = False
    options = ' '.join(shlex.quote(f'{key}={value}') for key, value in changes.items())
    return f'{command} --cfg-options {options}' if options else command


def command(args: argparse.Namespace) -> int:
    """Do what the command line says and tell the outcome; returns the exit code."""
    crops = choose_crops(args)
    detector, parser, imports, inside = components(args)
    form = output_format(args)
    items = find_items(args.sources, args.frames, exclude=args.out)
    chunk_size = args.chunk_size
    if chunk_size is None and args.format != 'folders' and len(items) >= MANY:
        chunk_size = 1024
    settings = Settings(
        detector,
        parser,
        form,
        args.faces,
        args.margin,
        args.size,
        args.min_face,
        chunk_size,
        inside,
        follow=crops != 'published',
        upright=args.upright,
        video_reader=args.video_reader,
    )
    execution = execution_of(args, imports)
    about = {
        'sources': args.sources,
        'frames': asdict(args.frames),
        'crops': crops,
        'detector_name': detector_name(dict(detector)),
    }
    outcome = prepare(items, args.out, settings, execution, about, share_of(args), args.engine)
    tell_outcome(args.out, outcome, f' (maps only roughly right: {outcome.limits})' if outcome.limits else '')
    if outcome.complete and outcome.tally.statuses['ok']:
        patch_size = args.patch_size or PATCH_SIZE
        if parser is None:
            print(
                'There are no maps, so masks will be random and there will be no region loss, much as in MAE.'
            )
        say(f'next: {next_command(args.out, args.format, args.size, patch_size, parser is not None)}')
    elif outcome.complete:
        print('There is no face to train on: look at the list above, --min-face and --detector.')
    return exit_code(outcome, args.strict)


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm prepare') -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv, prog)
    return guarded(short_name(prog), lambda: command(args))
