"""In a clone: the same as ``fsfm-mm replay``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('replay', prog='python tools/replay_step.py'))
