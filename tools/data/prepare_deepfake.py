"""In a clone: the same as ``fsfm-mm prepare-deepfake``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('prepare-deepfake', prog='python tools/data/prepare_deepfake.py'))
