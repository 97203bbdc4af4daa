"""In a clone: the same as ``fsfm-mm masks``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('masks', prog='python tools/visualization/show_masks.py'))
