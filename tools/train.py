"""In a clone: the same as ``fsfm-mm train``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('train', prog='python tools/train.py'))
