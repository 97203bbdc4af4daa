"""List the configs that come with the package, or print one as it is after inheritance and --cfg-options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fsfm_mm.commands.arguments import CommandParser, add_short_options, end, short_options
from fsfm_mm.settings.config_files import list_configs
from fsfm_mm.settings.options import OPTIONS
from fsfm_mm.settings.reading import read_config
from fsfm_mm.settings.values import SettingsAction
from fsfm_mm.text import text_table

EPILOG = """\
examples:
  %(prog)s --list
  %(prog)s fsfm_demo
  %(prog)s configs/fsfm/fsfm_demo.py --cfg-options model.backbone.img_size=112
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm config') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG)
    parser.add_argument('config', nargs='?', help='config file, or the name of one of ours')
    parser.add_argument('--list', action='store_true', help='the configs of the package, a line each')
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE', help='changes to apply'
    )
    add_short_options(parser, [name for name in OPTIONS if name != 'device'])
    args = parser.parse_args(argv)
    if args.list == (args.config is not None):
        parser.error('name a config, or --list them')
    return args


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm config') -> int:
    """Print the list or the config; returns the exit code."""
    args = parse_args(argv, prog)
    if args.list:
        print('\n'.join(text_table(list(list_configs()), '<')))
        return 0
    try:
        cfg = read_config(args.config, args.cfg_options, short_options(args), import_custom=False)
    except ValueError as error:
        end(prog, error)
    print(cfg.pretty_text)
    return 0
