"""Show the card of a checkpoint: classes, normalisation, sizes, crop, threshold, where it comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from fsfm_mm.commands.arguments import CANNOT_READ, CommandParser, end, need_files
from fsfm_mm.text import text_table

EPILOG = """\
examples:
  %(prog)s work_dirs/deepfake/epoch_10.pth
  %(prog)s detector.safetensors --json --config
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm card') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument('file', help='checkpoint with a card, or a work directory: its last whole one')
    parser.add_argument('--config', action='store_true', help="also the training config's text")
    parser.add_argument('--json', action='store_true', help='as JSON')
    parser.add_argument(
        '--trust', action='store_true', help='unpickle without limits: the file can then run any program'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm card') -> int:
    """Print the card; returns the exit code."""
    args = parse_args(argv, prog)
    try:
        if not Path(args.file).is_dir():
            need_files([args.file], CANNOT_READ)

        from fsfm_mm.checkpoints import load_checkpoint_file, read_card
        from fsfm_mm.files.checkpoint_folders import checkpoint_file

        path = checkpoint_file(args.file)
        found = read_card(load_checkpoint_file(path, args.trust), path)
        if found is None:
            raise ValueError(
                f'{path} has no card: it was not saved by a run with CardHook, nor converted by '
                'fsfm-mm convert.'
            )
        card = found.to_dict()
    except (ValueError, OSError) as error:
        end(prog, error)
    config = card.pop('config')
    if args.json:
        print(
            json.dumps({**card, **({'config': config} if args.config else {})}, indent=2, ensure_ascii=False)
        )
        return 0
    rows = []
    for name, value in card.items():
        if name == 'model' and value:
            text = f'{value.get("type")}, can be built from this file: fsfm_mm.load (all of it with --json)'
        else:
            text = ', '.join(f'{k} {v}' for k, v in value.items()) if isinstance(value, dict) else value
        rows.append([name, 'not known' if text in (None, '') else str(text)])
    print('\n'.join(text_table(rows, '<')))
    if args.config:
        print(f'\n{config or "no config in the card"}')
    return 0
