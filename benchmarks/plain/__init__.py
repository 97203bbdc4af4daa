"""What fsfm_mm is measured against: FSFM pretraining as a typical research script would write it.

Written from the papers' text alone. It computes the same losses and gradients as the library's modules with the
same weights and masks (a test holds that), in the plain way: PNG pictures and ``.npy`` maps read with PIL and
numpy, float transforms per image, masks in a Python loop, default collation with an object per sample; a
convolution over all patches, gathers and un-shuffling, explicit softmax, every patch predicted, losses by
multiplying with masks; default AdamW with a group per parameter, a momentum loop, and ``.item()`` at every step.

It lies beside the benchmark, because a speed-up is only a number that others can repeat if both sides of it are at
hand. It is registered nowhere, so no config can train with it.
"""

from plain.data import PlainCollate, PlainFaces
from plain.masking import plain_crfr_p, plain_masks
from plain.model import PlainFSFM
from plain.training import PlainTraining

__all__ = ['PlainCollate', 'PlainFSFM', 'PlainFaces', 'PlainTraining', 'plain_crfr_p', 'plain_masks']
