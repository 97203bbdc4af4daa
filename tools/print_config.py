"""Print a config as it is after inheritance and --cfg-options."""

from __future__ import annotations

import argparse
import sys

import fsfm_mm  # noqa: F401  (first: filters import noise)
from fsfm_mm.engine.settings import SettingsAction, read_config


def main(argv: list[str] | None = None) -> None:
    """Print the config."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE', help='changes to apply'
    )
    args = parser.parse_args(argv)
    try:
        cfg = read_config(args.config, args.cfg_options, import_custom_modules=False)
    except ValueError as error:
        sys.exit(f'print_config.py: {error}')
    print(cfg.pretty_text)


if __name__ == '__main__':
    main()
