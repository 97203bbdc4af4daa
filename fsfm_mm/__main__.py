"""``python -m fsfm_mm``: the command ``fsfm-mm``."""

import sys

from fsfm_mm.commands import main

sys.exit(main())
