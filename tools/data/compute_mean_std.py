"""In a clone: the same as ``fsfm-mm stats``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('stats', prog='python tools/data/compute_mean_std.py'))
