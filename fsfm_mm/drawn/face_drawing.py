"""Procedurally drawn faces with exact LaPa label maps: training pictures with nothing to download.

A face is a pure function of ``(seed, index)``::

    image, labels = draw_face(7)
    image, labels = render(dataclasses.replace(sample_params(7), yaw=20.0), size=112)

Picture and labels are painted from the same outlines, back to front, and both scale with ``size``. Neck and
clothes are background, ears and the frames of glasses are skin, as in LaPa.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.drawn.canvas import Canvas, noise_crop, noise_table
from fsfm_mm.drawn.light import CELLS, light_on, towards
from fsfm_mm.drawn.params import FaceParams, sample_params
from fsfm_mm.drawn.shapes import SIDES, View, build_shapes, ribbon
from fsfm_mm.regions import BACKGROUND, HAIR, SKIN

NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP = 6, 7, 8, 9
#: Labels of brow and eye on the image's left ('-': the subject's right) and right.
_BROW = {'-': 2, '+': 3}
_EYE = {'-': 4, '+': 5}
#: Blurs of noise tables: curls, and strands along y.
_CURLS, _STRANDS = (2.2, 2.2), (0.8, 28.0)
_BLACK, _WHITE = (0.05, 0.05, 0.06), (0.95, 0.96, 0.97)
#: The samples of the left and the right lens that the bridge joins.
_RIM = (72, 48)
#: The samples of an eye's outline from the inner corner over the upper lid to the outer one.
_UPPER_LID = slice(8, 41)


def draw_face(index: int, size: int = 224, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw one face of an endless stream.

    Args:
        index: Which face, >= 0.
        size: Height and width in pixels, >= 32.
        seed: Which stream, >= 0.

    Returns:
        The picture, uint8 (size, size, 3) BGR, and its LaPa labels, uint8 (size, size), 0 to 10 as in
        ``regions.LABEL_NAMES``; bit-identical for the same arguments. A label may be absent (bald, closed
        mouth).

    Raises:
        ValueError: If ``index`` or ``seed`` is negative or ``size`` is below 32.
    """
    return render(sample_params(index, seed), size)


def render(params: FaceParams, size: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """Draw a face with its label map.

    Args:
        params: The face.
        size: Height and width in pixels, >= 32. Sizes share one geometry.

    Returns:
        The picture, uint8 (size, size, 3) BGR, and its LaPa labels, uint8 (size, size), 0 to 10.

    Raises:
        ValueError: If ``size`` is below 32.
    """
    if size < 32:
        raise ValueError(f'size must be at least 32, found {size}')
    painter = _Painter(params, size)
    painter.paint()
    return _photograph(painter.canvas.planes, params), painter.canvas.labels


class _Painter:
    """The layers of one face; each method paints one part and marks its label."""

    def __init__(self, params: FaceParams, size: int) -> None:
        self.params = params
        self.canvas = Canvas(_background(params, size), params.scale)
        self.shapes = build_shapes(params)
        self.view, self.sun = View(params), towards(params)
        skin, shade, beard = light_on(params, self.view)
        self.shade = self.view.place(shade, size)
        self.skin = self.view.place(skin, size)
        if params.beard > 0.0:
            hairs = 0.8 + _fineness(0.25, size) * noise_crop(size, np.random.default_rng(params.seed))
            share = np.clip(np.float32(params.beard) * self.view.place(beard, size) * hairs, 0.0, 1.0)
            self.skin += share * (self._lit(0.7 * np.array(params.hair_colour)) - 0.75 * self.skin)

    def paint(self) -> None:
        """Paint everything, back to front."""
        hair = self._hair() if 'cap' in self.shapes else None
        self._body(hair)
        self._head()
        for side, _ in SIDES:
            self._eye(side)
        self._mouth()
        if self.params.glasses > 0.0:
            self._glasses()
        if hair is not None:
            self.canvas.paint(self.shapes['cap'], hair, HAIR, soft=0.010)

    def _lit(self, colour: object) -> np.ndarray:
        """Planes of a flat colour under the head's light."""
        return np.asarray(colour, np.float32)[:, None, None] * self.shade

    def _hair(self) -> np.ndarray:
        """Lit hair, float32 (3, size, size): strands that run down from the crown, or curls."""
        params, size, curly = self.params, self.canvas.size, self.params.hair == 'curly'
        u, v = self.view.place(np.stack(np.meshgrid(CELLS, CELLS), axis=-1), size)
        x, y = u - np.float32(0.5 * params.parting), v + np.float32(1.27 + params.volume)
        radius = cv2.magnitude(x, y)
        bend = np.float32(0.1 * params.wave) * np.sin(7 * radius)
        across, along = (105 * u, 105 * v) if curly else (75 * (np.arctan2(x, y) + bend), 46 * radius)
        table = noise_table(_CURLS if curly else _STRANDS)
        strands = cv2.remap(table, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        band = np.float32(0.1 if curly else 0.3) * cv2.exp(-(((radius - 0.6) * 6.5) ** 2))
        value = (0.85 + np.float32(0.28 * self.sun[0]) * u + band) * (1.0 + _fineness(0.15, size) * strands)
        gain = np.float32((params.ambient + 0.72 * params.key) ** (1 / 2.2))
        return np.array(params.hair_colour, np.float32)[:, None, None] * gain * np.maximum(value, 0.0)

    def _body(self, hair: np.ndarray | None) -> None:
        """Clothes, long hair and neck; LaPa counts neck and clothes as background."""
        canvas, params, shapes = self.canvas, self.params, self.shapes
        gain = (params.ambient + 0.55 * params.key) ** (1 / 2.2)
        canvas.paint(shapes['clothes'], gain * np.array(params.clothes))
        if hair is not None and 'back' in shapes:
            canvas.paint(shapes['back'], np.float32(0.7) * hair, HAIR, soft=0.010)
        neck = canvas.paint(shapes['neck'], 0.9 * gain * np.array(params.skin), BACKGROUND)
        chin = shapes['head'] + (-0.03 * self.sun[0] * params.scale, 0.07 * params.scale)
        canvas.paint(chin, _BLACK, soft=0.05, opacity=0.45, inside=neck)

    def _head(self) -> None:
        canvas, shapes = self.canvas, self.shapes
        for side, _ in SIDES:
            canvas.paint(shapes['ear' + side], np.float32(0.86) * self.skin, SKIN)
        canvas.paint(shapes['head'], self.skin, SKIN)
        canvas.paint(shapes['nose'], self.skin, NOSE)
        for side, _ in SIDES:
            canvas.paint(shapes['nostril' + side], 0.3 * self.skin, soft=0.010, opacity=0.9)

    def _eye(self, side: str) -> None:
        canvas, shapes, params = self.canvas, self.shapes, self.params
        eye = canvas.paint(shapes['eye' + side], self._lit((0.83, 0.85, 0.88)), _EYE[side])
        iris = shapes['iris' + side]
        centre = iris.mean(axis=0)
        canvas.paint(iris, self._lit(params.iris), soft=0.004, inside=eye)
        canvas.paint(centre + 0.45 * (iris - centre), _BLACK, soft=0.004, inside=eye)
        glint = centre + 0.026 * params.scale * np.array([self.sun[0], -0.4])
        canvas.paint(glint + 0.19 * (iris - centre), _WHITE, opacity=0.9, inside=eye)
        lashes = ribbon(shapes['eye' + side][_UPPER_LID], 0.026 * params.scale)
        canvas.paint(lashes, _BLACK, soft=0.006, opacity=0.85)
        # Even fair brows are darker than the skin they grow on.
        tone = np.minimum(0.7 * np.array(params.hair_colour), 0.62 * np.array(params.skin))
        canvas.paint(shapes['brow' + side], self._lit(tone), _BROW[side], soft=0.010, opacity=0.8)

    def _mouth(self) -> None:
        canvas, params, colour = self.canvas, self.params, np.array(self.params.lip_colour)
        top, upper, lower, bottom = (
            self.shapes['lip_' + name] for name in ('top', 'upper', 'lower', 'bottom')
        )
        # The whole mouth first: no skin can show through between its parts.
        canvas.paint(np.concatenate([top, bottom[::-1]]), self._lit(colour), LOWER_LIP)
        canvas.paint(np.concatenate([top, upper[::-1]]), self._lit(0.82 * colour), UPPER_LIP)
        glow = ribbon((0.55 * lower + 0.45 * bottom)[12:-12], 0.03 * params.scale)
        canvas.paint(glow, _WHITE, soft=0.014, opacity=0.1 + 0.4 * params.gloss)
        if params.mouth_open > 0.0:
            inner = canvas.paint(np.concatenate([upper, lower[::-1]]), (0.10, 0.08, 0.24), INNER_MOUTH)
            teeth = np.concatenate([upper, (0.45 * upper + 0.55 * lower)[::-1]])
            canvas.paint(teeth, self._lit((0.76, 0.84, 0.87)), soft=0.006, inside=inner)
        else:
            canvas.paint(ribbon(upper, 0.016 * params.scale), 0.22 * colour, soft=0.004, opacity=0.75)

    def _glasses(self) -> None:
        canvas, width = self.canvas, self.params.frame_width * self.params.scale
        left, right = (self.shapes['lens' + side] for side, _ in SIDES)
        # From the upper inner part of one rim to the other's: above the nose, which it must not cut in two.
        bridge = np.array([left[_RIM[0]], right[_RIM[1]]])
        for line in (np.concatenate([left, left[:2]]), np.concatenate([right, right[:2]]), bridge):
            frame = canvas.paint(ribbon(line, width), self.params.frame_colour)
            labels = canvas.labels[frame.rows, frame.columns]
            labels[(frame.alpha >= 0.5) & (labels != BACKGROUND) & (labels != HAIR)] = SKIN


def _fineness(contrast: float, size: int) -> np.float32:
    """Contrast of single hairs in a picture of this size: in small ones they average out."""
    return np.float32(contrast * min(1.0, size / 160.0))


def _background(params: FaceParams, size: int) -> np.ndarray:
    """Waves or blobs of two colours, out of focus: planes, float32 (3, size, size), sRGB as BGR."""
    rng = np.random.default_rng(params.seed)
    at = np.linspace(-1.0, 1.0, 64)
    angle, tilt = rng.uniform(0, 2 * np.pi, 2)
    if params.pattern > 0.0:
        across = np.cos(angle) * at[None, :] + np.sin(angle) * at[:, None]
        mix = 0.5 + 0.5 * np.tanh(params.sharpness * np.sin(params.pattern * across + tilt))
    else:
        mix = cv2.resize(rng.random((int(rng.integers(3, 8)),) * 2), (64, 64), interpolation=cv2.INTER_CUBIC)
    # A faint slope keeps flat parts from being flat.
    mix = mix + 0.1 * (np.cos(tilt) * at[None, :] + np.sin(tilt) * at[:, None])
    large = cv2.resize(mix.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    first, second = (np.array(colour, np.float32)[:, None, None] for colour in params.colours)
    return np.asarray(first + large * (second - first))


def _photograph(planes: np.ndarray, params: FaceParams) -> np.ndarray:
    """Take the picture of planes (3, size, size), sRGB as BGR, 0 to 1: uint8 (size, size, 3), BGR."""
    size, rng = planes.shape[1], np.random.default_rng(params.seed)
    grey = 0.114 * planes[0] + 0.587 * planes[1] + 0.299 * planes[2]
    planes = (grey + np.float32(params.saturation) * (planes - grey)) * np.float32(255.0 * params.exposure)
    image = np.ascontiguousarray(planes.transpose(1, 2, 0))
    sigma = params.blur * size / 1000.0
    if sigma > 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))
    noise = np.stack([noise_crop(size, rng) for _ in range(3)], axis=2)
    return np.clip(np.rint(image + np.float32(params.noise) * noise), 0, 255).astype(np.uint8)
