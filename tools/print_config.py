"""In a clone: the same as ``fsfm-mm config``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('config', prog='python tools/print_config.py'))
