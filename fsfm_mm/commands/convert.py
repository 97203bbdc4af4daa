"""Convert a checkpoint of another project to ours, or ours to timm.

The kind of the source is named; nothing is guessed, and every key is accounted for, or nothing is written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsfm_mm.checkpoints.name_maps import REFERENCE_KINDS, SOURCES, TARGETS
from fsfm_mm.checkpoints.zoo import zoo_names
from fsfm_mm.commands.arguments import CANNOT_READ, CommandParser, end, need_files
from fsfm_mm.commands.output import say
from fsfm_mm.files.writing import check_file, check_folder, refuse_existing

EPILOG = """\
examples:
  # the reference's pretraining, with its target network; pretrain_ds_mean_std.txt beside it goes into the card
  %(prog)s checkpoint-400.pth fsfm_b.pth --from fsfm-pretrain --target-file checkpoint-te-400.pth
  # published weights by name
  %(prog)s fsfm-vit-base-vggface2 fsfm_b.pth --from fsfm-pretrain
  # a fine-tuned detector; what you know of its crops goes into the card
  %(prog)s checkpoint-best.pth detector.pth --from fsfm-finetuned --card crop_margin=1.3 detector=dlib
  # a ViT-S that mmpretrain has with 6 heads and with 12: the shapes do not tell
  %(prog)s deit-small.pth deit.pth --from mmpretrain --num-heads 6
  # ours to timm, as a folder: timm.create_model('local-dir:vit', pretrained=True), which needs no fsfm_mm
  %(prog)s work_dirs/x vit --from fsfm_mm --to timm
  # as a file: after import fsfm_mm.components,
  # timm.create_model('fsfm_vit_small_patch16_224', checkpoint_path='vit.pth')
  %(prog)s work_dirs/x/epoch_10.pth vit.pth --from fsfm_mm --to timm
  # ours for the reference's own code (of a pretraining two files), with pretrain_ds_mean_std.txt beside it
  %(prog)s work_dirs/x checkpoint-best.pth --from fsfm_mm --to fsfm-finetuned
"""


def card_entry(text: str) -> tuple[str, Any]:
    """NAME=VALUE of ``--card``; the value is JSON where it can be read as such, otherwise a text."""
    name, equals, value = text.partition('=')
    if not equals:
        raise argparse.ArgumentTypeError(f'expected NAME=VALUE, found {text!r}')
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm convert') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument(
        'src',
        help="checkpoint file, our work directory (its last checkpoint), timm's folder, or a name of published weights",
    )
    parser.add_argument(
        'out',
        help='file to write: .pth or .safetensors; with --to timm also a folder (a name without ending)',
    )
    parser.add_argument('--from', dest='source', required=True, choices=(*SOURCES, 'fsfm_mm'))
    parser.add_argument('--to', dest='target', default='fsfm_mm', choices=(*TARGETS, *REFERENCE_KINDS))
    parser.add_argument(
        '--target-file', help="the target network's file of fsfm-pretrain, to read or with --to to write"
    )
    parser.add_argument('--drop', nargs='+', default=[], metavar='PREFIX', help='leave these keys out')
    parser.add_argument('--card', nargs='+', default=[], type=card_entry, metavar='NAME=VALUE')
    parser.add_argument('--overwrite', action='store_true', help='replace OUT where there is one')
    parser.add_argument(
        '--num-heads',
        type=int,
        help='heads of the attention, where neither the file nor its kind tells (width 384: 12 in FS-VFM and MoCo v3, '
        '6 in DeiT, DINO and AugReg)',
    )
    parser.add_argument(
        '--weights',
        choices=('ema', 'raw'),
        help="averaged or raw weights, where the file has both [what its kind's own tools load]",
    )
    parser.add_argument(
        '--grid',
        metavar='ROWSxCOLUMNS',
        help='of the patches, as in 14x10, where they are no square and the file does not tell',
    )
    parser.add_argument(
        '--patch-size', type=int, help='resample the patches of an encoder to this side (16 to 14 or 8)'
    )
    parser.add_argument(
        '--trust', action='store_true', help='unpickle without limits: the file can then run any program'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm convert') -> int:
    """Convert and tell what was done; returns the exit code."""
    args = parse_args(argv, prog)
    try:
        is_file = args.src not in zoo_names() and not (
            args.source in ('fsfm_mm', 'timm') and Path(args.src).is_dir()
        )
        second = None if args.target in REFERENCE_KINDS else args.target_file  # which is written there
        need_files([args.src, second] if is_file else [second], CANNOT_READ)
        facts = dict(args.card)
        if args.num_heads is not None and facts.setdefault('num_heads', args.num_heads) != args.num_heads:
            raise ValueError(
                f'--num-heads {args.num_heads} and --card num_heads={facts["num_heads"]} differ.'
            )
        if not args.overwrite:
            refuse_existing(args.out, 'OUT')
        check_folder(Path(args.out).parent, 'the folder of OUT')
        for option, path in {'OUT': args.out, '--target-file': None if second else args.target_file}.items():
            if path is not None and Path(path).suffix:
                check_file(path, option)

        from fsfm_mm.checkpoints.convert_files import convert_file
        from fsfm_mm.checkpoints.pretrained import locate

        path, source, known = locate(args.src, args.source)
        if source != args.source:
            raise ValueError(f'{args.src} is of kind {source!r}, not {args.source!r}.')
        if args.target in REFERENCE_KINDS:
            return to_reference(args, Path(path))
        card, report = convert_file(
            path,
            args.out,
            args.source,
            args.target,
            args.target_file,
            args.trust,
            args.drop,
            facts,
            known,
            args.weights,
            args.grid,
            args.patch_size,
        )
    except (ValueError, TypeError, OSError) as error:
        end(prog, error)
    print(report.summary())
    known = {
        key: value
        for key, value in card.to_dict().items()
        if value and key not in ('config', 'versions', 'model')
    }
    say(f'card: {json.dumps(known, ensure_ascii=False)}')
    say(f'written: {args.out}')
    return 0


def to_reference(args: argparse.Namespace, path: Path) -> int:
    """Write the reference's own files; raises ValueError where they cannot be made of this one."""
    from fsfm_mm.checkpoints.to_reference import write_reference_files
    from fsfm_mm.files.checkpoint_folders import checkpoint_file

    others = (args.num_heads, args.weights, args.grid, args.patch_size)
    if args.source != 'fsfm_mm' or args.drop or args.card or any(other is not None for other in others):
        raise ValueError(f'--to {args.target} takes one of our checkpoints as it is: --from fsfm_mm alone')
    for file in write_reference_files(
        checkpoint_file(path), args.out, args.target, args.target_file, args.trust
    ):
        say(f'written: {file}')
    return 0
