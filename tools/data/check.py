"""In a clone: the same as ``fsfm-mm check``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('check', prog='python tools/data/check.py'))
