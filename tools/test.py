"""In a clone: the same as ``fsfm-mm test``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('test', prog='python tools/test.py'))
