"""In a clone: the same as ``fsfm-mm predict``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('predict', prog='python tools/predict.py'))
