"""In a clone: the same as ``fsfm-mm pack``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('pack', prog='python tools/data/pack.py'))
