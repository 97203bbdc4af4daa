"""Random faces: every parameter drawn from one generator seeded by (seed, index)."""

from __future__ import annotations

import numpy as np

from fsfm_mm.drawn.drawing.params import (
    BACKGROUND_KINDS,
    Camera,
    Colour,
    Expression,
    FaceParams,
    Identity,
    Light,
    Pose,
    Scene,
    Style,
)

#: Skin from very light to very dark, sRGB as BGR bytes; tones in between are interpolated.
_SKIN_TONES = np.array(
    [
        (206, 222, 250),
        (182, 205, 242),
        (150, 184, 229),
        (118, 158, 210),
        (88, 126, 182),
        (64, 94, 146),
        (48, 70, 110),
        (38, 53, 82),
    ],
    dtype=np.float64,
)
_HAIR_COLOURS = np.array(
    [(24, 22, 26), (30, 36, 48), (38, 52, 78), (52, 78, 116), (90, 140, 190), (42, 70, 140), (170, 172, 176)]
)
_IRIS_COLOURS = np.array(
    [(28, 48, 82), (40, 66, 104), (60, 105, 115), (96, 120, 90), (160, 125, 80), (140, 135, 120)]
)
_FRAME_COLOURS = np.array(
    [(20, 20, 22), (30, 45, 80), (150, 155, 160), (70, 130, 170), (110, 40, 40), (40, 40, 140)]
)


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
    masculine, age, tone = rng.random(3)
    return FaceParams(
        identity=_identity(rng, masculine, age, tone),
        style=_style(rng, masculine, age, tone),
        pose=_pose(rng),
        expression=_expression(rng),
        light=_light(rng),
        scene=_scene(rng),
        camera=_camera(rng),
    )


def _normal(rng: np.random.Generator, mean: float, std: float, low: float, high: float) -> float:
    return float(min(max(rng.normal(mean, std), low), high))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low + (high - low) * rng.random())


def _colour(bgr: np.ndarray) -> Colour:
    b, g, r = (float(v) for v in np.clip(bgr, 0.0, 1.0))
    return b, g, r


def _pick(rng: np.random.Generator, table: np.ndarray, spread: float = 0.12) -> Colour:
    row = table[int(rng.integers(len(table)))] / 255.0
    return _colour(row * (1.0 + spread * rng.uniform(-1.0, 1.0, 3)))


def _any_colour(rng: np.random.Generator) -> Colour:
    grey, tint = rng.random(), rng.random(3)
    strength = 0.55 * rng.random()
    return _colour(0.06 + 0.86 * ((1.0 - strength) * grey + strength * tint))


def _skin(rng: np.random.Generator, tone: float) -> np.ndarray:
    place = tone * (len(_SKIN_TONES) - 1)
    below = min(int(place), len(_SKIN_TONES) - 2)
    mixed = _SKIN_TONES[below] + (place - below) * (_SKIN_TONES[below + 1] - _SKIN_TONES[below])
    return np.asarray(np.clip(mixed / 255.0 * (1.0 + 0.05 * rng.uniform(-1.0, 1.0, 3)), 0.0, 1.0))


def _identity(rng: np.random.Generator, masculine: float, age: float, tone: float) -> Identity:
    skin = _skin(rng, tone)
    # Lips are skin with less green and blue; some wear lipstick.
    lips = skin * np.array([0.74, 0.66, 0.90])
    if masculine < 0.45 and rng.random() < 0.5:
        lips = 0.4 * lips + 0.6 * np.array([0.28, 0.18, 0.68]) * rng.uniform(0.7, 1.2, 3)
    dark_eyes = tone > 0.45 or rng.random() < 0.3
    iris = _pick(rng, _IRIS_COLOURS[:2] if dark_eyes else _IRIS_COLOURS)
    return Identity(
        face_width=_normal(rng, 0.70 + 0.02 * masculine, 0.03, 0.64, 0.78),
        jaw_width=_normal(rng, 0.78 + 0.09 * masculine, 0.045, 0.70, 0.95),
        chin_width=_normal(rng, 0.16 + 0.05 * masculine, 0.025, 0.12, 0.26),
        eye_distance=_normal(rng, 0.305, 0.015, 0.27, 0.35),
        eye_width=_normal(rng, 0.285, 0.016, 0.24, 0.32),
        eye_height=_normal(rng, 0.125 - 0.015 * masculine, 0.013, 0.09, 0.15),
        eye_tilt=_normal(rng, 0.006, 0.012, -0.02, 0.035),
        eye_y=_normal(rng, -0.13, 0.02, -0.20, -0.08),
        brow_gap=_normal(rng, 0.225 - 0.015 * masculine, 0.014, 0.19, 0.26),
        brow_thickness=_normal(rng, 0.055 + 0.025 * masculine, 0.01, 0.04, 0.10),
        brow_arch=_normal(rng, 0.04 - 0.02 * masculine, 0.012, 0.0, 0.06),
        brow_density=_between(rng, 0.5, 0.95),
        nose_base=_normal(rng, 0.29, 0.025, 0.22, 0.36),
        nose_width=_normal(rng, 0.155 + 0.03 * tone, 0.014, 0.13, 0.21),
        bridge_width=_normal(rng, 0.058, 0.007, 0.045, 0.075),
        mouth_y=_normal(rng, 0.56, 0.02, 0.50, 0.62),
        mouth_width=_normal(rng, 0.255, 0.02, 0.21, 0.30),
        upper_lip=_normal(rng, 0.08 - 0.012 * masculine + 0.015 * tone, 0.012, 0.055, 0.11),
        lower_lip=_normal(rng, 0.095 - 0.008 * masculine + 0.015 * tone, 0.013, 0.06, 0.13),
        ear_size=_normal(rng, 1.0, 0.08, 0.8, 1.2),
        skin=_colour(skin),
        redness=_between(rng, 0.1, 1.0),
        freckles=_between(rng, 0.3, 1.0) if tone < 0.45 and rng.random() < 0.25 else 0.0,
        iris=iris,
        lip_colour=_colour(lips),
        age=age,
    )


def _hair_kind(rng: np.random.Generator, masculine: float, age: float) -> str:
    draw = rng.random()
    if masculine > 0.5:
        if draw < 0.10 + 0.15 * age:
            return 'bald'
        return 'short' if draw < 0.80 else ('curly' if draw < 0.92 else 'long')
    return 'long' if draw < 0.66 else ('curly' if draw < 0.84 else 'short')


def _hair_colour(rng: np.random.Generator, table: np.ndarray) -> Colour:
    # One gain for all three colours: tints of their own make hair look dyed.
    return _colour(np.array(_pick(rng, table, 0.03)) * rng.uniform(0.75, 1.2))


def _style(rng: np.random.Generator, masculine: float, age: float, tone: float) -> Style:
    kind = _hair_kind(rng, masculine, age)
    grey = rng.random() < max(0.0, age - 0.55)
    natural = _HAIR_COLOURS[:3] if tone > 0.5 else _HAIR_COLOURS[:6]
    glasses = _between(rng, 0.14, 0.195) if rng.random() < 0.24 else 0.0
    volume = {'bald': (0.03, 0.04), 'short': (0.05, 0.17), 'curly': (0.14, 0.38), 'long': (0.07, 0.18)}[kind]
    bearded = masculine > 0.5 and rng.random() < 0.55
    return Style(
        hair=kind,
        hair_colour=_hair_colour(rng, _HAIR_COLOURS[6:] if grey else natural),
        hairline=_normal(rng, -0.82 - 0.08 * masculine * age, 0.04, -0.95, -0.68),
        volume=_between(rng, *volume),
        length=_between(rng, 0.5, 2.0),
        parting=_between(rng, -0.45, 0.45),
        fringe=_between(rng, 0.35, 1.0) if rng.random() < 0.3 else _between(rng, 0.0, 0.15),
        wave=_between(rng, 0.0, 1.0),
        beard=_between(rng, 0.15, 1.0) if bearded else 0.0,
        glasses=glasses,
        frame_width=_between(rng, 0.014, 0.042),
        frame_roundness=_between(rng, 2.0, 4.5),
        frame_colour=_pick(rng, _FRAME_COLOURS, 0.2),
        lens_tint=_between(rng, 0.0, 0.08) if rng.random() < 0.8 else _between(rng, 0.1, 0.35),
    )


def _pose(rng: np.random.Generator) -> Pose:
    return Pose(
        yaw=_normal(rng, 0.0, 13.0, -26.0, 26.0),
        pitch=_normal(rng, 0.0, 5.5, -14.0, 14.0),
        roll=_normal(rng, 0.0, 7.5, -20.0, 20.0),
        scale=_between(rng, 0.36, 0.45),
        shift_x=_normal(rng, 0.0, 0.02, -0.05, 0.05),
        shift_y=_normal(rng, 0.0, 0.015, -0.04, 0.04),
    )


def _expression(rng: np.random.Generator) -> Expression:
    smile = _normal(rng, 0.3, 0.4, -0.4, 1.0)
    return Expression(
        smile=smile,
        mouth_open=_between(rng, 0.035, 0.1 + 0.1 * rng.random()) if rng.random() < 0.42 else 0.0,
        eye_open=_normal(rng, 0.92 - 0.12 * max(smile, 0.0), 0.1, 0.45, 1.1),
        brow_raise=_normal(rng, 0.0, 0.014, -0.03, 0.05),
        gaze_x=_normal(rng, 0.0, 0.35, -1.0, 1.0),
        gaze_y=_normal(rng, 0.0, 0.2, -1.0, 1.0),
    )


def _light(rng: np.random.Generator) -> Light:
    return Light(
        azimuth=_normal(rng, 0.0, 35.0, -75.0, 75.0),
        elevation=_between(rng, -5.0, 65.0),
        key=_between(rng, 0.65, 1.1),
        ambient=_between(rng, 0.2, 0.45),
        warmth=_normal(rng, 0.1, 0.4, -1.0, 1.0),
        gloss=_between(rng, 0.02, 0.30),
    )


def _scene(rng: np.random.Generator) -> Scene:
    return Scene(
        background=BACKGROUND_KINDS[int(rng.integers(len(BACKGROUND_KINDS)))],
        colours=(_any_colour(rng), _any_colour(rng)),
        clothes=(_any_colour(rng), _any_colour(rng)),
        stripes=_between(rng, 0.3, 1.0) if rng.random() < 0.3 else 0.0,
        neckline=_between(rng, 0.0, 0.35),
        seed=int(rng.integers(2**31)),
    )


def _camera(rng: np.random.Generator) -> Camera:
    return Camera(
        blur=_between(rng, 0.0, 5.0) if rng.random() < 0.6 else 0.0,
        noise=_between(rng, 0.5, 6.0),
        vignette=_between(rng, 0.0, 0.3),
        exposure=_between(rng, 0.85, 1.12),
        saturation=_between(rng, 0.7, 1.1),
        seed=int(rng.integers(2**31)),
    )
