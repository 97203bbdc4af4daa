"""In a clone: the same as ``fsfm-mm convert``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('convert', prog='python tools/converters/convert_checkpoint.py'))
