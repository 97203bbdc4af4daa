"""In a clone: the same as ``fsfm-mm card``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('card', prog='python tools/converters/show_card.py'))
