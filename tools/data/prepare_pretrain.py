"""From folders of photos and videos to pretraining data: faces found, cut out, parsed and written."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from mmengine.config import Config

import fsfm_mm  # noqa: F401  (first: filters import noise, registers everything)
from fsfm_mm.preparation.faces import CHOICES, CROP_MARGIN
from fsfm_mm.preparation.finish import STATISTICS_FILE
from fsfm_mm.preparation.items import FrameChoice
from fsfm_mm.preparation.progress import summary
from fsfm_mm.preparation.run import ENGINES, Outcome, Share, prepare
from fsfm_mm.preparation.settings import WRITERS, Execution, Settings
from fsfm_mm.preparation.sources import find_items
from fsfm_mm.preparation.workers import StoppedError

EPILOG = """\
examples:
  python tools/data/prepare_pretrain.py photos data/my_faces
  python tools/data/prepare_pretrain.py photos videos more/videos data/my_faces --frames 8 --faces all
  python tools/data/prepare_pretrain.py photos data/my_faces --parser template      # needs no weights, rough maps
  python tools/data/prepare_pretrain.py crops data/my_faces --detector none         # pictures are faces already
  python tools/data/prepare_pretrain.py photos data/my_faces --format packed        # fastest to train on
  torchrun --nproc-per-node 4 tools/data/prepare_pretrain.py photos data/my_faces   # or SLURM's srun

Interrupted? The same command goes on where it stopped. Exit code: 0 all well; 1 stopped or wrong arguments;
2 done, but files could not be read or crashed (with --strict also: a source gave no face); 130 Ctrl-C; 143 terminated.
More in docs/preparation.md.
"""
DETECTORS = {'yunet': 'YuNet', 'retinaface': 'FacerRetinaFace', 'dlib': 'DlibFrontal', 'none': 'NoDetector'}
PARSERS: dict[str, dict[str, Any]] = {
    'farl': dict(type='FaRLParser', model='lapa/448'),
    'farl-celebm': dict(type='FaRLParser', model='celebm/448'),
    'template': dict(type='TemplateParser'),
}
CONFIG = 'configs/fsfm/fsfm_vit-s_own-faces.py'
DATA_ROOT = 'data/my_faces'
#: Who reads each format in training.
DATASETS = {'folders': 'FaceParsingDataset', 'packed': 'PackedFaces', 'shards': 'ShardedFaces'}


def frame_choice(text: str) -> FrameChoice:
    """Read ``32``, ``every:10`` or ``all``."""
    mode, _, value = ('count', '', text) if text.isdigit() else text.partition(':')
    modes = {'count': 'count', 'every': 'stride', 'all': 'all'}
    if mode not in modes or (mode == 'all') != (value == '') or not (value or '1').isdigit():
        raise argparse.ArgumentTypeError(f'expected a number, every:NUMBER or all, found {text!r}')
    try:
        return FrameChoice(modes[mode], int(value or 1))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class _Parser(argparse.ArgumentParser):
    """Exit code 1 for wrong arguments: argparse's own 2 says here that some files failed."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f'{self.prog}: {message}\n')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = _Parser(description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'sources', nargs='+', metavar='SOURCE', help='pictures, videos or folders of them, nested or not'
    )
    parser.add_argument('out', metavar='OUT', help='folder of the result, e.g. data/my_faces')
    what = parser.add_argument_group('what to do')
    what.add_argument(
        '--detector', choices=DETECTORS, help='who finds the faces; none: pictures are faces already [yunet]'
    )
    what.add_argument('--detector-weights', metavar='FILE', help='weights of the detector [fetched once]')
    what.add_argument(
        '--parser',
        metavar='NAME|FILE',
        help='who labels the pixels: farl, farl-celebm, template (no weights, rough), none, or a .py or .json file '
        "with the config of any segmenter, parser = dict(type='SegmenterParser', ...) [farl]",
    )
    what.add_argument('--parser-weights', metavar='FILE', help='weights of the parser [fetched once]')
    what.add_argument(
        '--config', metavar='FILE', help='file with detector = dict(...), parser = dict(...), custom_imports'
    )
    what.add_argument(
        '--faces',
        choices=CHOICES,
        default='largest',
        help='whom to cut out; in videos: which person [largest]',
    )
    what.add_argument(
        '--frames',
        type=frame_choice,
        default='32',
        metavar='N|every:N|all',
        help='of each video, spread over it [32]',
    )
    what.add_argument(
        '--margin', type=float, default=CROP_MARGIN, help='side of the square / longer side of the face [1.3]'
    )
    what.add_argument('--size', type=int, default=224, help='side of the crops in pixels [224]')
    what.add_argument(
        '--min-face', type=int, default=40, metavar='PIXELS', help='leave smaller faces out [40]'
    )
    form = parser.add_argument_group('what to write')
    form.add_argument(
        '--format',
        choices=WRITERS,
        default='folders',
        help='files, memory-mapped packs or tar shards [folders]',
    )
    form.add_argument(
        '--image-format', choices=['png', 'jpeg', 'raw'], help='raw: packed only [png; packed: jpeg]'
    )
    form.add_argument('--quality', type=int, default=95, help='of JPEG [95]')
    form.add_argument('--map-format', choices=['npy', 'png'], help='of the maps in folders [npy]')
    how = parser.add_argument_group('how to work (the result is the same)')
    how.add_argument(
        '--workers', type=int, metavar='N', help='processes; 0: none but this one [one for each core]'
    )
    how.add_argument(
        '--device', default='auto', help='auto, cpu, cuda, cuda:N; workers share several GPUs [auto]'
    )
    how.add_argument('--batch-size', type=int, default=16, help='crops that are parsed together [16]')
    how.add_argument(
        '--timeout',
        type=float,
        default=900,
        metavar='SECONDS',
        help='silence after which a file is given up [900]',
    )
    how.add_argument(
        '--num-shards',
        type=int,
        metavar='N',
        help='share the work among N commands, machines ... [ranks of torchrun, SLURM]',
    )
    how.add_argument('--shard', type=int, metavar='I', help='number of this command, 0 .. N-1')
    how.add_argument(
        '--engine',
        choices=ENGINES,
        default='processes',
        help='ray: the machines of a Ray cluster [processes]',
    )
    how.add_argument('--strict', action='store_true', help='exit code 2 also where a source gave no face')
    return parser.parse_args(argv)


def _from_file(path: str) -> Config:
    if not Path(path).is_file():
        known = ', '.join([*PARSERS, 'none'])
        raise ValueError(f'{path} is neither a file nor one of {known}.')
    return Config.fromfile(path)


def components(args: argparse.Namespace) -> tuple[dict, dict | None, tuple[str, ...]]:
    """Configs of detector and parser, and modules to import for them.

    Raises:
        ValueError: A file is missing or holds no such config, or weights are given to what has none.
    """
    config = _from_file(args.config).to_dict() if args.config else {}
    detector = config.get('detector', dict(type='YuNet'))
    if args.detector:
        detector = dict(type=DETECTORS[args.detector])
    parser: dict | None = config.get('parser', PARSERS['farl'])
    if args.parser:
        parser = None if args.parser == 'none' else PARSERS.get(args.parser)
        if parser is None and args.parser != 'none':
            config = {**config, **_from_file(args.parser).to_dict()}
            parser = config.get('parser', config)
    for name, part in (('detector', detector), ('parser', parser)):
        if part is not None and 'type' not in part:
            raise ValueError(f"the {name}'s config must be a dict with a type, found {part!r}.")
    for option, part in (('detector', detector), ('parser', parser)):
        weights = getattr(args, f'{option}_weights')
        if weights is None:
            continue
        if part is None or part['type'] in ('NoDetector', 'TemplateParser', 'DlibFrontal'):
            raise ValueError(f'--{option}-weights: this {option} has no weights.')
        part.update(weights=weights)
    if detector['type'] == 'NoDetector' and parser is not None and parser['type'] == 'TemplateParser':
        raise ValueError('--parser template needs the landmarks of a detector: leave out --detector none.')
    return detector, parser, tuple(config.get('custom_imports', {}).get('imports', ()))


def output_format(args: argparse.Namespace) -> dict[str, Any]:
    """Config of the writer.

    Raises:
        ValueError: An option that this format does not have.
    """
    image = args.image_format
    if args.map_format and args.format != 'folders':
        raise ValueError('--map-format belongs to --format folders.')
    if image == 'raw' and args.format != 'packed':
        raise ValueError('--image-format raw belongs to --format packed.')
    if args.format == 'folders':
        maps = args.map_format or 'npy'
        return dict(type='folders', image_format=image or 'png', quality=args.quality, map_format=maps)
    if args.format == 'packed':
        if image == 'png':
            raise ValueError('--format packed takes --image-format jpeg or raw.')
        return dict(type='packed', encoding=image or 'jpeg', quality=args.quality)
    return dict(type='shards', image_format=image or 'jpeg', quality=args.quality)


def share_of(args: argparse.Namespace) -> Share:
    """The share of this command: its options, else the rank that torchrun or SLURM gave it."""
    if (args.shard is None) != (args.num_shards is None):
        raise ValueError('--shard and --num-shards belong together.')
    return Share.from_environment(os.environ) if args.shard is None else Share(args.shard, args.num_shards)


def run(args: argparse.Namespace) -> Outcome:
    """Do what the command line says."""
    detector, parser, imports = components(args)
    settings = Settings(
        detector, parser, output_format(args), args.faces, args.margin, args.size, args.min_face
    )
    execution = Execution(args.workers, args.device, args.batch_size, args.timeout, imports)
    share = share_of(args)
    items = find_items(args.sources, args.frames, exclude=args.out)
    about = {'sources': args.sources, 'frames': asdict(args.frames)}
    return prepare(items, args.out, settings, execution, about, share, args.engine)


def next_command(out: str, form: str) -> str:
    """The command that trains on the result, as it is to be typed."""
    if re.search(r'[\s,\[\]()]', out):  # mmengine's --cfg-options drops spaces and splits at commas
        return f'copy {CONFIG}, set its data_root and stats to {out}, and give the copy to tools/train.py'
    changes = {} if form == 'folders' else {'train_dataloader.dataset.type': DATASETS[form]}
    if Path(out) != Path(DATA_ROOT):
        changes['train_dataloader.dataset.data_root'] = out
        changes['model.data_preprocessor.stats'] = str(Path(out, STATISTICS_FILE))
    command = f'python tools/train.py {CONFIG} --work-dir work_dirs/my_faces'
    options = ' '.join(shlex.quote(f'{key}={value}') for key, value in changes.items())
    return f'{command} --cfg-options {options}' if options else command


def tell(args: argparse.Namespace, outcome: Outcome) -> int:
    """Print the summary; returns the exit code."""
    if outcome.repeated:
        print(f'{args.out} is complete already; nothing was changed.')
    note = ' (maps from a template: only roughly right)' if outcome.approximate else ''
    print(summary(Path(args.out), outcome.tally, note))
    faces = outcome.tally.statuses['ok']
    if not outcome.complete:
        print(
            'This share is done; the one that ends last writes the manifest. Start any share again if in doubt.'
        )
    elif faces:
        print(f'next: {next_command(args.out, args.format)}')
    else:
        print('There is no face to train on: look at the list above, --min-face and --detector.')
    barren = sum(count for status, count in outcome.tally.statuses.items() if status != 'ok')
    failed = outcome.tally.failures or (outcome.complete and not faces) or (args.strict and barren)
    return 2 if failed else 0


def _terminate(*_: object) -> None:
    raise SystemExit(143)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    again = 'The same command goes on where it stopped.'
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return tell(args, run(args))
    except (ValueError, ConnectionError) as error:
        sys.stderr.write(f'prepare_pretrain.py: {error}\n')
    except StoppedError as error:
        sys.stderr.write(f'prepare_pretrain.py: stopped: {error}. {again}\n')
    except KeyboardInterrupt:
        sys.stderr.write(f'\ninterrupted. {again}\n')
        return 130
    except SystemExit:
        sys.stderr.write(f'terminated. {again}\n')
        raise
    return 1


if __name__ == '__main__':
    sys.exit(main())
