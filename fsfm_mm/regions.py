"""Face-parsing labels and facial regions: the only place where they are written down.

The labels are those of the LaPa data set in the order in which facer's ``farl/lapa/448`` parser emits
them. 'Left' and 'right' brow and eye are the *subject's*: the right brow (2) is on the image's left.
The region groups and their order are those of FSFM (CVPR 2025, section 3.1).
"""

from __future__ import annotations

import numpy as np

#: Name of every parsing label; the position is the label's value.
LABEL_NAMES: tuple[str, ...] = (
    'background',
    'skin',
    'right_brow',
    'left_brow',
    'right_eye',
    'left_eye',
    'nose',
    'upper_lip',
    'inner_mouth',
    'lower_lip',
    'hair',
)
NUM_LABELS = len(LABEL_NAMES)

BACKGROUND, SKIN, HAIR = 0, 1, 10

#: Labels that trade places when an image is mirrored (brows and eyes).
FLIP_PAIRS: tuple[tuple[int, int], ...] = ((2, 3), (4, 5))

#: Regions that CRFR can cover as a whole, in the order in which CRFR-P walks them.
FACIAL_REGIONS: tuple[str, ...] = ('eyebrows', 'eyes', 'nose', 'mouth', 'boundary', 'hair')

#: All groups in CRFR-P's walking order; the last two can never be the covered region.
REGION_ORDER: tuple[str, ...] = (*FACIAL_REGIONS, 'skin', 'background')

#: Labels of each group. A patch belongs to a group when any of its pixels has one of these labels;
#: 'boundary' has no labels of its own (see :func:`region_membership`).
REGION_LABELS: dict[str, tuple[int, ...]] = {
    'eyebrows': (2, 3),
    'eyes': (4, 5),
    'nose': (6,),
    'mouth': (7, 8, 9),
    'boundary': (),
    'hair': (HAIR,),
    'skin': (SKIN,),
    'background': (BACKGROUND,),
}

#: Fasking-I (MARLIN's fasking on one image): groups that are shown first, in this order ...
FASKING_FIRST: tuple[tuple[int, ...], ...] = ((BACKGROUND,), (SKIN,))
#: ... and the groups that follow in a random order: eye and brow of each side, nose, mouth, hair.
FASKING_PARTS: tuple[tuple[int, ...], ...] = ((4, 2), (5, 3), (6,), (7, 8, 9), (HAIR,))

#: CelebAMask-HQ's 19 classes in its own order; ``l_`` and ``r_`` are the subject's sides.
CELEBAMASK_NAMES: tuple[str, ...] = (
    'background',
    'skin',
    'nose',
    'eye_g',
    'l_eye',
    'r_eye',
    'l_brow',
    'r_brow',
    'l_ear',
    'r_ear',
    'mouth',
    'u_lip',
    'l_lip',
    'hair',
    'hat',
    'ear_r',
    'neck_l',
    'neck',
    'cloth',
)
#: The LaPa label of each. Ears count as skin, glasses (eye_g) as skin, hat to cloth as background.
CELEBAMASK_TO_LAPA: tuple[int, ...] = (0, 1, 6, 1, 5, 4, 3, 2, 1, 1, 8, 7, 9, 10, 0, 0, 0, 0, 0)


def label_bits(labels: tuple[int, ...]) -> int:
    """Bitmask of a set of labels: bit ``k`` is set when label ``k`` is in it."""
    bits = 0
    for label in labels:
        bits |= 1 << label
    return bits


def region_membership() -> np.ndarray:
    """Which label sets make a patch part of which region.

    Returns:
        bool array (8, 2048): entry ``[g, s]`` tells whether a patch whose set of labels is the bitmask
        ``s`` belongs to group ``REGION_ORDER[g]``. *Boundary* means skin together with hair or
        background in one patch (FSFM section 3.1); every other group, any of its labels.
    """
    sets = np.arange(1 << NUM_LABELS)
    table = np.stack([(sets & label_bits(REGION_LABELS[name])) != 0 for name in REGION_ORDER])
    has_skin = (sets & (1 << SKIN)) != 0
    has_outside = (sets & label_bits((HAIR, BACKGROUND))) != 0
    table[REGION_ORDER.index('boundary')] = has_skin & has_outside
    return table


def flip_table() -> np.ndarray:
    """Label after a horizontal mirror, uint8 (11,): brows and eyes swap sides, the rest stay."""
    table = np.arange(NUM_LABELS, dtype=np.uint8)
    for a, b in FLIP_PAIRS:
        table[a], table[b] = b, a
    return table
