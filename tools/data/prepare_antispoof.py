"""In a clone: the same as ``fsfm-mm prepare-antispoof``."""

import sys

from fsfm_mm.commands import run

if __name__ == '__main__':
    sys.exit(run('prepare-antispoof', prog='python tools/data/prepare_antispoof.py'))
