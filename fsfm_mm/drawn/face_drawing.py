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

__all__ = ['FaceParams', 'draw_face', 'render', 'sample_params']

NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP = 6, 7, 8, 9
#: Labels of brow and eye on the image's left ('-': the subject's right) and right.
_BROW = {'-': 2, '+': 3}
_EYE = {'-': 4, '+': 5}
#: Blurs of noise tables: spots two pixels wide, curls, and strands along y.
_SPECK, _CURLS, _STRANDS = (1.1, 1.1), (2.2, 2.2), (0.8, 28.0)
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
        self.rng = np.random.default_rng(params.seed)
        self.view, self.sun = View(params), towards(params)
        skin, shade, beard = light_on(params, self.view)
        self.shade = self.view.place(shade, size)
        self.skin = self._skin(skin, beard)
        self.hair = self._hair() if 'cap' in self.shapes else None

    def paint(self) -> None:
        """Paint everything, back to front."""
        self._body()
        self._head()
        for side, _ in SIDES:
            self._eye(side)
        self._mouth()
        if self.params.glasses > 0.0:
            self._glasses()
        self._hair_part('cap', 1.0)

    def _lit(self, colour: object) -> np.ndarray:
        """Planes of a flat colour under the head's light."""
        return np.asarray(colour, np.float32)[:, None, None] * self.shade

    def _skin(self, lit: np.ndarray, beard: np.ndarray) -> np.ndarray:
        """Lit skin with pores and beard, float32 (3, size, size)."""
        size, params = self.canvas.size, self.params
        planes = self.view.place(lit, size) * (1.0 + np.float32(0.007) * noise_crop(size, self.rng, _SPECK))
        if params.beard > 0.0:
            hairs = 0.8 + _fineness(0.25, size) * noise_crop(size, self.rng)
            share = np.clip(np.float32(params.beard) * self.view.place(beard, size) * hairs, 0.0, 1.0)
            planes += share * (self._lit(0.7 * np.array(params.hair_colour)) - 0.75 * planes)
        return planes

    def _hair(self) -> np.ndarray:
        """Lit hair, float32 (3, size, size): strands that run down from the crown, or curls."""
        params, size, curly = self.params, self.canvas.size, self.params.hair == 'curly'
        u, v = self.view.place(np.stack(np.meshgrid(CELLS, CELLS), axis=-1), size)
        x, y = u - np.float32(0.5 * params.parting), v + np.float32(1.27 + params.volume)
        radius = cv2.magnitude(x, y)
        bend = np.float32(0.1 * params.wave) * np.sin(7 * radius)
        across, along = (105 * u, 105 * v) if curly else (75 * (np.arctan2(x, y) + bend), 46 * radius)
        table = noise_table(256, _CURLS if curly else _STRANDS)
        strands = cv2.remap(table, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        band = np.float32(0.1 if curly else 0.3) * cv2.exp(-(((radius - 0.6) * 6.5) ** 2))
        side = np.float32(0.28 * self.sun[0]) * u - np.float32(0.12) * v
        gain = np.float32((params.ambient + 0.72 * params.key) ** (1 / 2.2))
        value = gain * np.clip(0.85 + side + band, 0.35, 1.7) * (1.0 + _fineness(0.15, size) * strands)
        return np.array(params.hair_colour, np.float32)[:, None, None] * np.maximum(value, 0.0)

    def _hair_part(self, name: str, gain: float) -> None:
        if self.hair is not None and name in self.shapes:
            patch = self.canvas.cover(self.shapes[name], 0.010)
            self.canvas.paint(patch, np.float32(gain) * self.hair)
            self.canvas.mark(patch, HAIR)

    def _body(self) -> None:
        """Clothes, long hair and neck; LaPa counts neck and clothes as background."""
        canvas, params, shapes = self.canvas, self.params, self.shapes
        gain = (params.ambient + 0.55 * params.key) ** (1 / 2.2)
        canvas.paint(canvas.cover(shapes['clothes']), gain * np.array(params.clothes))
        self._hair_part('back', 0.7)
        neck = canvas.cover(shapes['neck'])
        canvas.paint(neck, 0.9 * gain * np.array(params.skin))
        chin = shapes['head'] + (-0.03 * self.sun[0] * params.scale, 0.07 * params.scale)
        canvas.paint(canvas.cover(chin, 0.05, inside=neck), _BLACK, 0.45)
        canvas.mark(neck, BACKGROUND)

    def _head(self) -> None:
        canvas, shapes = self.canvas, self.shapes
        for name, gain in (('ear-', 0.86), ('ear+', 0.86), ('head', 1.0)):
            part = canvas.cover(shapes[name])
            canvas.paint(part, np.float32(gain) * self.skin)
            canvas.mark(part, SKIN)
        canvas.mark(canvas.cover(shapes['nose']), NOSE)
        for side, _ in SIDES:
            canvas.paint(canvas.cover(shapes['nostril' + side], 0.010), 0.3 * self.skin, 0.9)

    def _eye(self, side: str) -> None:
        canvas, shapes, params = self.canvas, self.shapes, self.params
        eye, iris = canvas.cover(shapes['eye' + side]), shapes['iris' + side]
        canvas.paint(eye, self._lit((0.83, 0.85, 0.88)))
        canvas.mark(eye, _EYE[side])
        centre = iris.mean(axis=0)
        canvas.paint(canvas.cover(iris, 0.004, inside=eye), self._lit(params.iris))
        canvas.paint(canvas.cover(centre + 0.45 * (iris - centre), 0.004, inside=eye), _BLACK)
        glint = centre + 0.026 * params.scale * np.array([self.sun[0], -0.4])
        canvas.paint(canvas.cover(glint + 0.19 * (iris - centre), inside=eye), _WHITE, 0.9)
        lashes = ribbon(shapes['eye' + side][_UPPER_LID], 0.026 * params.scale)
        canvas.paint(canvas.cover(lashes, 0.006), _BLACK, 0.85)
        brow = canvas.cover(shapes['brow' + side], 0.010)
        # Even fair brows are darker than the skin they grow on.
        tone = np.minimum(0.7 * np.array(params.hair_colour), 0.62 * np.array(params.skin))
        canvas.paint(brow, self._lit(tone), 0.8)
        canvas.mark(brow, _BROW[side])

    def _mouth(self) -> None:
        canvas, params, colour = self.canvas, self.params, np.array(self.params.lip_colour)
        top, upper, lower, bottom = (
            self.shapes['lip_' + name] for name in ('top', 'upper', 'lower', 'bottom')
        )
        # The whole mouth first: no skin can show through between its parts.
        whole = canvas.cover(np.concatenate([top, bottom[::-1]]))
        canvas.paint(whole, self._lit(colour))
        canvas.mark(whole, LOWER_LIP)
        upper_lip = canvas.cover(np.concatenate([top, upper[::-1]]))
        canvas.paint(upper_lip, self._lit(0.82 * colour))
        canvas.mark(upper_lip, UPPER_LIP)
        glow = canvas.cover(ribbon((0.55 * lower + 0.45 * bottom)[12:-12], 0.03 * params.scale), 0.014)
        canvas.paint(glow, _WHITE, 0.1 + 0.4 * params.gloss)
        if params.mouth_open > 0.0:
            inner = canvas.cover(np.concatenate([upper, lower[::-1]]))
            canvas.paint(inner, (0.10, 0.08, 0.24))
            canvas.mark(inner, INNER_MOUTH)
            teeth = np.concatenate([upper, (0.45 * upper + 0.55 * lower)[::-1]])
            canvas.paint(canvas.cover(teeth, 0.006, inside=inner), self._lit((0.76, 0.84, 0.87)))
        else:
            canvas.paint(canvas.cover(ribbon(upper, 0.016 * params.scale), 0.004), 0.22 * colour, 0.75)

    def _glasses(self) -> None:
        canvas, width = self.canvas, self.params.frame_width * self.params.scale
        left, right = (self.shapes['lens' + side] for side, _ in SIDES)
        # From the upper inner part of one rim to the other's: above the nose, which it must not cut in two.
        bridge = np.array([left[_RIM[0]], right[_RIM[1]]])
        for line in (np.concatenate([left, left[:2]]), np.concatenate([right, right[:2]]), bridge):
            frame = canvas.cover(ribbon(line, width))
            canvas.paint(frame, self.params.frame_colour)
            canvas.mark(frame, SKIN, only=tuple(range(SKIN, HAIR)))


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
