"""In a clone: the same as ``fsfm-mm prepare``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('prepare', prog='python tools/data/prepare_pretrain.py'))
