"""From raw photos and videos to training data: find faces, cut them out, label their pixels, write them.

``fsfm_mm.preparation.run.prepare`` does the whole; ``fsfm-mm prepare`` is its command.
"""

from fsfm_mm.preparation import detectors, parsers  # noqa: F401  (registers them)
