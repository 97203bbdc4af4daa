"""The parameters of a drawn face, each with the distribution that it is drawn from.

Lengths are in *head units*: chin at y = +1, middle of the face at the origin, skull top near y = -1.27;
x grows to the image's right, y downwards, z towards the camera. Colours are sRGB in BGR order, 0 to 1.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import numpy as np

Colour = tuple[float, float, float]

#: Kinds of hair with the thickness that they have over the skull.
HAIR_VOLUMES: dict[str, tuple[float, float]] = {
    'bald': (0.0, 0.0),
    'short': (0.05, 0.17),
    'curly': (0.14, 0.34),
    'long': (0.07, 0.18),
}
#: Shares of these kinds among women and men.
_HAIR_SHARES = ((0.0, 0.16, 0.18, 0.66), (0.18, 0.62, 0.12, 0.08))
#: Skin from very light to very dark (tones in between are interpolated), hair (grey last) and eyes, BGR bytes.
_SKINS = np.array([(206, 222, 250), (150, 184, 229), (88, 126, 182), (48, 70, 110), (38, 53, 82)])
_HAIRS = np.array([(24, 22, 26), (38, 52, 78), (52, 78, 116), (42, 70, 140), (90, 140, 190), (170, 172, 176)])
_EYES = np.array([(28, 48, 82), (40, 66, 104), (60, 105, 115), (160, 125, 80), (140, 135, 120)])


@dataclass(frozen=True)
class Range:
    """A triangular distribution over a range, drawn from with probability ``share``; otherwise 0 (absent)."""

    low: float
    high: float
    share: float = 1.0

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a value."""
        present, value = rng.random(), 0.5 * (rng.random() + rng.random())
        return self.low + (self.high - self.low) * value if present < self.share else 0.0


@dataclass(frozen=True)
class FaceParams:
    """All that :func:`~fsfm_mm.drawn.face_drawing.render` needs; numbers say where they are drawn from.

    Use ``dataclasses.replace(params, yaw=..., key=...)`` for the same person in another picture.
    """

    # bone and features; widths of paired things are half widths, thicknesses are full
    face_width: Annotated[float, Range(0.64, 0.78)]
    jaw_width: Annotated[float, Range(0.70, 0.95)]  # relative to the cheekbones
    chin_width: Annotated[float, Range(0.12, 0.26)]
    eye_distance: Annotated[float, Range(0.27, 0.34)]  # from the axis to an eye's centre
    eye_width: Annotated[float, Range(0.25, 0.32)]  # corner to corner
    eye_height: Annotated[float, Range(0.09, 0.15)]
    eye_y: Annotated[float, Range(-0.19, -0.08)]
    brow_gap: Annotated[float, Range(0.19, 0.25)]  # between the centres of eye and brow
    brow_thickness: Annotated[float, Range(0.04, 0.10)]
    brow_arch: Annotated[float, Range(0.0, 0.06)]
    nose_base: Annotated[float, Range(0.23, 0.35)]
    nose_width: Annotated[float, Range(0.13, 0.21)]
    mouth_y: Annotated[float, Range(0.51, 0.61)]  # of the seam
    mouth_width: Annotated[float, Range(0.21, 0.30)]
    lips: Annotated[float, Range(0.06, 0.12)]  # thickness of each
    # hair, beard and glasses
    hairline: Annotated[float, Range(-0.95, -0.75)]  # height over the middle of the forehead
    parting: Annotated[float, Range(-0.45, 0.45)]
    fringe: Annotated[float, Range(0.35, 1.0, share=0.3)]  # 0: none, 1: down to the brows
    wave: Annotated[float, Range(0.0, 1.0)]
    length: Annotated[float, Range(0.5, 2.0)]  # height at which long hair ends
    beard: Annotated[float, Range(0.15, 1.0, share=0.55)]  # density
    glasses: Annotated[float, Range(0.14, 0.195, share=0.24)]  # half height of a lens
    frame_width: Annotated[float, Range(0.014, 0.042)]
    # pose, in degrees: to the image's right, downwards, clockwise; scale in picture heights per head unit
    yaw: Annotated[float, Range(-26.0, 26.0)]
    pitch: Annotated[float, Range(-14.0, 14.0)]
    roll: Annotated[float, Range(-20.0, 20.0)]
    scale: Annotated[float, Range(0.36, 0.45)]
    shift_x: Annotated[float, Range(-0.05, 0.05)]  # in picture widths
    shift_y: Annotated[float, Range(-0.04, 0.04)]
    # expression
    smile: Annotated[float, Range(-0.4, 1.0)]
    mouth_open: Annotated[float, Range(0.035, 0.18, share=0.42)]
    eye_open: Annotated[float, Range(0.65, 1.1)]
    gaze: Annotated[float, Range(-0.9, 0.9)]  # to the image's right
    # a key light (degrees from the image's right and above the horizon) and an ambient one, linear intensities
    azimuth: Annotated[float, Range(-75.0, 75.0)]
    elevation: Annotated[float, Range(-5.0, 65.0)]
    key: Annotated[float, Range(0.6, 1.15)]
    ambient: Annotated[float, Range(0.15, 0.5)]
    warmth: Annotated[float, Range(-0.8, 1.0)]  # blue to orange
    gloss: Annotated[float, Range(0.02, 0.30)]
    # background: waves over it, or blobs where there are none
    pattern: Annotated[float, Range(0.5, 16.0, share=0.65)]
    sharpness: Annotated[float, Range(0.3, 4.0)]
    # camera: blur in thousandths of the picture's height, noise in grey levels
    blur: Annotated[float, Range(0.5, 5.0, share=0.6)]
    noise: Annotated[float, Range(0.5, 6.0)]
    exposure: Annotated[float, Range(0.85, 1.12)]
    saturation: Annotated[float, Range(0.7, 1.1)]
    # what depends on other things
    hair: str  # a key of HAIR_VOLUMES
    volume: float
    skin: Colour
    hair_colour: Colour
    iris: Colour
    lip_colour: Colour
    frame_colour: Colour
    colours: tuple[Colour, Colour]  # of the background
    clothes: Colour
    seed: int  # chooses patterns, textures and noise


_RANGES: dict[str, Range] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(FaceParams, include_extras=True).items()
    if hasattr(hint, '__metadata__')
}


def sample_params(index: int, seed: int = 0) -> FaceParams:
    """Draw the parameters of one face.

    Args:
        index: Which face of the stream, >= 0.
        seed: Which stream, >= 0.

    Returns:
        The parameters: the same for the same ``(seed, index)``, whatever was drawn before.

    Raises:
        ValueError: If ``index`` or ``seed`` is negative.
    """
    if index < 0 or seed < 0:
        raise ValueError(f'index and seed must be >= 0, found index={index}, seed={seed}')
    rng = np.random.default_rng((seed, index))
    man, tone, grey, lipstick = rng.random() < 0.5, rng.random(), rng.random() < 0.12, rng.random() < 0.25
    values: dict[str, Any] = {name: distribution.draw(rng) for name, distribution in _RANGES.items()}
    hair = str(rng.choice(list(HAIR_VOLUMES), p=_HAIR_SHARES[man]))
    place = tone * (len(_SKINS) - 1)
    lighter = min(int(place), len(_SKINS) - 2)
    skin = _SKINS[lighter] + (place - lighter) * (_SKINS[lighter + 1] - _SKINS[lighter])
    skin = skin / 255 * rng.uniform(0.95, 1.05, 3)
    # Lips are skin with less green and blue.
    lips = skin * (0.74, 0.66, 0.90)
    if lipstick and not man:
        lips = 0.4 * lips + 0.6 * np.array([0.28, 0.18, 0.68]) * rng.uniform(0.7, 1.2, 3)
    natural = rng.integers(2 if tone > 0.5 else len(_HAIRS) - 1)
    # One gain for all three colours: tints of their own make hair look dyed.
    hair_colour = _HAIRS[-1 if grey else natural] / 255 * rng.uniform(0.75, 1.2)
    iris = _EYES[rng.integers(2 if tone > 0.45 else len(_EYES))] / 255 * rng.uniform(0.88, 1.12, 3)
    return FaceParams(
        **values | {'beard': values['beard'] * man},
        hair=hair,
        volume=Range(*HAIR_VOLUMES[hair]).draw(rng),
        skin=_colour(skin),
        hair_colour=_colour(hair_colour),
        iris=_colour(iris),
        lip_colour=_colour(lips),
        frame_colour=_any_colour(rng),
        colours=(_any_colour(rng), _any_colour(rng)),
        clothes=_any_colour(rng),
        seed=int(rng.integers(2**31)),
    )


def varied(params: FaceParams, rng: np.random.Generator, deviations: dict[str, float]) -> FaceParams:
    """Shift parameters by normal deviates of the given standard deviations, within their ranges."""
    moved = {name: getattr(params, name) + std * rng.normal() for name, std in deviations.items()}
    clipped = {name: min(max(v, _RANGES[name].low), _RANGES[name].high) for name, v in moved.items()}
    return dataclasses.replace(params, **clipped)


def _colour(bgr: np.ndarray) -> Colour:
    b, g, r = (float(v) for v in np.clip(bgr, 0.0, 1.0))
    return b, g, r


def _any_colour(rng: np.random.Generator) -> Colour:
    strength = 0.55 * rng.random()
    return _colour(0.06 + 0.86 * ((1.0 - strength) * rng.random() + strength * rng.random(3)))
