"""How faces are cut out for a model: as its card says the faces were on which it was trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fsfm_mm.checkpoints.agreement import refuse_or_note
from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.datasets.labelled.crops import PUBLISHED_CHIPS, PUBLISHED_MARGINS, are_nearest
from fsfm_mm.preparation.settings import Settings, presets
from fsfm_mm.registry import FACE_DETECTORS

#: What :func:`~fsfm_mm.datasets.labelled.crops.crop_facts_of_root` says of chips.
_ALIGNED = re.compile(r'(?P<name>.+), aligned with padding (?P<padding>[\d.]+)')


def crop_settings(
    card: ModelCard,
    face_detector: str | None = None,
    weights: str | Path | None = None,
    margin: float | None = None,
    min_face: int = 40,
    override: bool = False,
) -> tuple[Settings | None, tuple[str, ...]]:
    """How faces are found and cut out.

    Args:
        card: The model's.
        face_detector: A name on the command line (yunet, dlib, ...) that the user typed; 'none' takes pictures as
            crops of faces. None takes the card's.
        weights: A file with the face detector's weights; None fetches them once.
        margin: Side of the crop over that of the box that the user typed.
        min_face: Smaller faces are left out, pixels.
        override: Let what was typed win over the card.

    Returns:
        The settings, None for crops, and notes on what was overridden, or taken because it comes nearest: YuNet's
        landmarks for MTCNN's chips; YuNet's box, where it was typed, for dlib's.

    Raises:
        ValueError: The card does not say it and nothing was typed; both contradict each other; or there is no such
            detector.
    """
    if face_detector == 'none':
        if margin is not None:
            raise ValueError('a margin is for detected faces: leave it out where pictures are crops already')
        return None, ()
    known = presets(FACE_DETECTORS)
    if face_detector is not None and face_detector not in known:
        raise ValueError(f'there is no face detector {face_detector!r}, known are {", ".join(known)}')
    card, nearest = _nearest(card, face_detector, margin)
    aligned = _ALIGNED.fullmatch(card.detector or '')
    padding = float(aligned['padding']) if aligned else None
    theirs: dict[str, Any] = {
        'detector': aligned['name'] if aligned else card.detector,
        'margin': card.crop_margin,
    }
    typed = {'detector': face_detector, 'margin': margin}
    contradictions = [
        f"the checkpoint's card says {key} {theirs[key]!r}, but {value!r} was typed"
        for key, value in typed.items()
        if None not in (value, theirs[key]) and value != theirs[key]
    ]
    if aligned and margin is not None:
        contradictions.append(f"the checkpoint's card says {card.detector!r}, but a margin was typed")
    notes = (*nearest, *refuse_or_note(contradictions, override))
    found = {key: typed[key] if typed[key] is not None else theirs[key] for key in theirs}
    if aligned and margin is not None:
        padding = None
    if found['detector'] is None or (found['margin'] is None and padding is None):
        missing = 'face detector' if found['detector'] is None else 'margin'
        raise ValueError(
            f"the model's card does not say which {missing} its faces were cut with: name it (--face-detector yunet "
            '--margin 1.3), or --face-detector none for pictures that are crops of faces already'
        )
    if found['detector'] not in known:
        raise ValueError(
            f'there is no face detector {found["detector"]!r} here, known are {", ".join(known)}: name one with '
            '--face-detector and --override-card; what was measured with the other one then no longer holds'
        )
    config: Mapping[str, Any] = known[found['detector']]
    config = config if weights is None else {**config, 'weights': str(weights)}
    how: dict[str, Any] = {'chip_padding': padding} if padding is not None else {'margin': found['margin']}
    return Settings(config, None, choice='all', size=_side(card, padding), min_face=min_face, **how), notes


def _nearest(
    card: ModelCard, face_detector: str | None, margin: float | None
) -> tuple[ModelCard, tuple[str, ...]]:
    """The card with the crops that come nearest to published ones that cannot be made here, and a note on it."""
    yunet: dict[str, Any] = {
        'detector': 'yunet',
        'crop_margin': PUBLISHED_MARGINS['yunet'] if margin is None else margin,
    }
    chips: dict[str, Any] = {'detector': PUBLISHED_CHIPS[1]}
    if card.detector == PUBLISHED_CHIPS[0] and face_detector in (None, 'yunet'):
        taken = chips
    elif card.detector == 'dlib' and face_detector == 'yunet' and are_nearest(yunet, card.to_dict()):
        taken = yunet
    else:
        return card, ()
    was = ' '.join(str(value) for value in (card.detector, card.crop_margin) if value is not None)
    note = f"the card's faces are of {was}; {' '.join(map(str, taken.values()))} comes nearest and is taken"
    return replace(card, **taken), (note,)


def _side(card: ModelCard, padding: float | None) -> int | None:
    """Side of the crops: squares keep their own up to the model's, chips are drawn in one."""
    if padding is None:
        return None
    return card.input_size if isinstance(card.input_size, int) else 224
