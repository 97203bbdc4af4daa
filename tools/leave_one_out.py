"""In a clone: the same as ``fsfm-mm leave-one-out``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('leave-one-out', prog='python tools/leave_one_out.py'))
