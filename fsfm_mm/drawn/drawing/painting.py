"""Painting a face from its outlines and its light, back to front, labels along with colours."""

from __future__ import annotations

import numpy as np

from fsfm_mm.drawn.drawing.canvas import Canvas, Patch, fineness, noise_crop
from fsfm_mm.drawn.drawing.features import build_shapes
from fsfm_mm.drawn.drawing.geometry import Shapes, ribbon
from fsfm_mm.drawn.drawing.hair import hair_planes
from fsfm_mm.drawn.drawing.params import FaceParams
from fsfm_mm.drawn.drawing.scenery import background, photograph
from fsfm_mm.drawn.drawing.shading import Fields, ambient_colour, enlarge, key_colour, light_fields
from fsfm_mm.drawn.drawing.wear import body_shapes
from fsfm_mm.regions import HAIR, SKIN

NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP = 6, 7, 8, 9
#: Labels of brow and eye on the image's left ('-': the subject's right) and right.
_BROW = {'-': 2, '+': 3}
_EYE = {'-': 4, '+': 5}
_SIDES = ('-', '+')


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
    return photograph(painter.canvas.planes, params.camera), painter.canvas.labels


class _Painter:
    """Layers of one face; each method paints one part and marks its label."""

    def __init__(self, params: FaceParams, size: int) -> None:
        self.params = params
        self.canvas = Canvas(size)
        self.canvas.planes = background(params.scene, size)
        self.shapes: Shapes = build_shapes(params)
        self.fields: Fields = light_fields(params, self.shapes)
        self.rng = np.random.default_rng(params.camera.seed)
        self.unit = params.pose.scale  # picture heights per head unit
        self.skin = self._skin_planes()
        self.shade = enlarge(self.fields.shade, size)
        self.hair = None if params.style.hair == 'bald' else hair_planes(params, self.fields, size)

    def paint(self) -> None:
        """Paint everything, back to front."""
        self._hair_part('back')
        self._body()
        for side in _SIDES:
            self._ear(side)
        self._head()
        self._nose()
        for side in _SIDES:
            self._eye(side)
            self._brow(side)
        self._mouth()
        if self.params.style.glasses > 0.0:
            self._glasses()
        for part in ('lock-', 'lock+', 'cap'):
            self._hair_part(part)

    def _stroke(self, name: str, width: float | np.ndarray, soft: float = 0.0) -> Patch | None:
        """Patch along an open line; width and softness in head units."""
        line = ribbon(self.shapes[name], np.asarray(width) * self.unit)
        return self.canvas.cover(line, soft * self.unit)

    def _lit(self, colour: object) -> np.ndarray:
        """Planes of a flat colour under the head's light."""
        return np.asarray(colour, np.float32)[:, None, None] * self.shade

    # -- skin ---------------------------------------------------------------------------------------

    def _skin_planes(self) -> np.ndarray:
        """Lit skin with its texture, float32 (3, size, size)."""
        size, identity = self.canvas.size, self.params.identity
        planes = enlarge(self.fields.skin, size)
        pores = 1.0 + np.float32(0.004 + 0.006 * identity.age) * noise_crop(size, 'speck', self.rng)
        if self.params.style.beard > 0.0:
            strands = noise_crop(size, 'white', self.rng)
            pores = pores * (
                1.0 + fineness(size) * np.float32(0.2) * enlarge(self.fields.beard, size) * strands
            )
        planes *= pores
        if identity.freckles > 0.0:
            where = enlarge(np.clip(1.3 * self.fields.flush, 0.12, 0.8), size)
            spots = np.clip(noise_crop(size, 'speck', self.rng) - 1.1, 0.0, 1.0) * where
            loss = np.array([0.5, 0.36, 0.2], np.float32)[:, None, None] * np.float32(identity.freckles)
            planes *= 1.0 - loss * spots
        return planes

    def _head(self) -> None:
        patch = self.canvas.cover(self.shapes['head'])
        self.canvas.paint(patch, self.skin)
        self.canvas.mark(patch, SKIN)
        if self.params.identity.age > 0.3 or self.params.expression.smile > 0.1:
            fold = 0.35 * self.params.identity.age + 0.25 * max(self.params.expression.smile, 0.0)
            for side in _SIDES:
                self.canvas.darken(self._stroke('fold' + side, 0.03, 0.018), 1.0 - 0.5 * fold)
                self.canvas.darken(
                    self._stroke('bag' + side, 0.018, 0.012), 1.0 - 0.3 * self.params.identity.age
                )

    def _ear(self, side: str) -> None:
        patch = self.canvas.cover(self.shapes['ear' + side])
        self.canvas.paint(patch, self.skin * np.array([0.84, 0.84, 0.93], np.float32)[:, None, None])
        self.canvas.mark(patch, SKIN)
        self.canvas.darken(self.canvas.cover(self.shapes['concha' + side], 0.02 * self.unit), 0.78)

    def _nose(self) -> None:
        canvas, shapes = self.canvas, self.shapes
        canvas.mark(canvas.cover(shapes['nose']), NOSE)
        for side in _SIDES:
            canvas.darken(self._stroke('ala' + side, 0.026, 0.014), (0.62, 0.62, 0.72))
            canvas.darken(canvas.cover(shapes['nostril' + side], 0.010 * self.unit), (0.34, 0.34, 0.42))

    # -- eyes and brows -----------------------------------------------------------------------------

    def _eye(self, side: str) -> None:
        canvas, shapes = self.canvas, self.shapes
        canvas.darken(
            self._stroke('crease' + side, np.array([0.4, 1, 1, 1, 0.5]).repeat(6)[:25] * 0.020, 0.007), 0.66
        )
        patch = canvas.cover(shapes['eye' + side])
        if patch is None:
            return
        canvas.paint(patch, self._lit((0.83, 0.85, 0.88)))
        canvas.mark(patch, _EYE[side])
        self._iris(side, patch)
        # The upper lid throws a shadow on the eyeball.
        lid = ribbon(shapes['lid' + side], 0.075 * self.unit)
        canvas.darken(canvas.cover(lid, 0.018 * self.unit, inside=patch), 0.45)
        lash = np.interp(np.arange(25), [0, 12, 24], [0.012, 0.026, 0.030])
        canvas.paint(self._stroke('lid' + side, lash, 0.004), np.array([0.05, 0.05, 0.07]), 0.88)

    def _iris(self, side: str, patch: Patch) -> None:
        canvas, outline = self.canvas, self.shapes['iris' + side]
        centre = outline.mean(axis=0)
        ring = canvas.cover(outline, 0.003 * self.unit, inside=patch)
        iris = np.array(self.params.identity.iris)
        canvas.paint(ring, self._lit(0.35 * iris))
        inner = canvas.cover(centre + 0.84 * (outline - centre), 0.006 * self.unit, inside=patch)
        canvas.paint(inner, self._lit(iris))
        glow = canvas.cover(
            centre + 0.55 * (outline - centre) + (0.0, 0.02 * self.unit), 0.012 * self.unit, inside=patch
        )
        canvas.paint(glow, self._lit(np.minimum(1.45 * iris + 0.02, 1.0)), 0.7)
        pupil = canvas.cover(centre + 0.42 * (outline - centre), 0.003 * self.unit, inside=patch)
        canvas.paint(pupil, np.array([0.03, 0.03, 0.03]), 0.95)
        glint = (
            centre
            + 0.19 * (outline - centre)
            + 0.026 * self.unit * np.array([self.fields.towards[0], min(self.fields.towards[1], -0.25)])
        )
        canvas.paint(canvas.cover(glint, 0.002 * self.unit, inside=patch), np.array([0.95, 0.96, 0.97]), 0.9)

    def _brow(self, side: str) -> None:
        canvas, outline = self.canvas, self.shapes['brow' + side]
        hard = canvas.cover(outline)
        canvas.mark(hard, _BROW[side])
        patch = canvas.cover(outline, 0.012 * self.unit)
        if patch is None:
            return
        hairs = noise_crop(canvas.size, 'speck', self.rng)[: patch.alpha.shape[0], : patch.alpha.shape[1]]
        patch = patch.times(np.clip(0.94 + 0.07 * hairs, 0.0, 1.1))
        skin, hair = np.array(self.params.identity.skin), np.array(self.params.style.hair_colour)
        # Even fair brows are darker than the skin they grow on.
        colour = np.minimum(0.7 * hair, 0.62 * skin)
        canvas.paint(patch, self._lit(colour), self.params.identity.brow_density)

    # -- mouth --------------------------------------------------------------------------------------

    def _mouth(self) -> None:
        canvas, shapes = self.canvas, self.shapes
        top, upper, lower, bottom = (shapes['lip_' + name] for name in ('top', 'upper', 'lower', 'bottom'))
        colour = np.array(self.params.identity.lip_colour)
        # The whole mouth first: no skin can show through between its parts.
        whole = np.concatenate([top, bottom[::-1]])
        canvas.paint(canvas.cover(whole, 0.004 * self.unit), self._lit(colour))
        canvas.mark(canvas.cover(whole), LOWER_LIP)
        upper_lip = canvas.cover(np.concatenate([top, upper[::-1]]))
        canvas.darken(upper_lip, 0.82)
        canvas.mark(upper_lip, UPPER_LIP)
        self._lip_shine(lower, bottom)
        if self.params.expression.mouth_open > 0.0:
            self._inner_mouth(upper, lower)
        else:
            seam = ribbon(upper, 0.014 * self.unit)
            canvas.paint(canvas.cover(seam, 0.004 * self.unit), 0.22 * colour, 0.75)

    def _lip_shine(self, lower: np.ndarray, bottom: np.ndarray) -> None:
        middle = 0.55 * lower + 0.45 * bottom
        count = len(middle)
        line = middle[count // 4 : -(count // 4)]
        glow = self.canvas.cover(ribbon(line, 0.024 * self.unit), 0.014 * self.unit)
        self.canvas.paint(glow, np.array([0.9, 0.9, 0.95]), 0.10 + 0.5 * self.params.light.gloss)
        edge = ribbon(bottom[3:-3], 0.02 * self.unit)
        self.canvas.darken(self.canvas.cover(edge, 0.010 * self.unit), 0.82)

    def _inner_mouth(self, upper: np.ndarray, lower: np.ndarray) -> None:
        canvas = self.canvas
        patch = canvas.cover(np.concatenate([upper, lower[::-1]]))
        if patch is None:
            return
        canvas.paint(patch, np.array([0.08, 0.06, 0.20]))
        canvas.mark(patch, INNER_MOUTH)
        tongue = canvas.cover(ribbon(lower[6:-6], 0.08 * self.unit), 0.015 * self.unit, inside=patch)
        canvas.paint(tongue, self._lit((0.32, 0.30, 0.62)), 0.7)
        teeth = canvas.cover(
            np.concatenate([upper, self.shapes['teeth'][::-1]]), 0.004 * self.unit, inside=patch
        )
        canvas.paint(teeth, self._lit((0.78, 0.86, 0.89)), 0.95)
        shadow = canvas.cover(ribbon(upper, 0.035 * self.unit), 0.012 * self.unit, inside=patch)
        canvas.darken(shadow, 0.55)

    # -- hair, glasses, body ------------------------------------------------------------------------

    def _hair_part(self, name: str) -> None:
        if self.hair is None or name not in self.shapes.outline:
            return
        patch = self.canvas.cover(self.shapes[name])
        if name == 'back':
            self.canvas.paint(patch, self.hair * np.float32(0.62))
        else:
            soft = self.canvas.cover(self.shapes[name], 0.010 * self.unit)
            self.canvas.paint(soft, self.hair)
        self.canvas.mark(patch, HAIR)

    def _glasses(self) -> None:
        canvas, style, colour = self.canvas, self.params.style, np.array(self.params.style.frame_colour)
        width = style.frame_width * self.unit
        lines = [ribbon(self.shapes[name], 1.2 * width) for name in ('bridge', 'arm-', 'arm+')]
        parts = [canvas.cover(line) for line in lines]
        for side in _SIDES:
            lens = self.shapes['lens' + side]
            glass = canvas.cover(lens)
            canvas.paint(glass, np.array([0.12, 0.12, 0.12]), style.lens_tint)
            self._reflection(lens, glass)
            centre = lens.mean(axis=0)
            grow = width / np.sqrt(((lens - centre) ** 2).sum(axis=1).mean())
            outer = canvas.cover(centre + (1 + 0.5 * grow) * (lens - centre))
            hole = canvas.cover(centre + (1 - 0.5 * grow) * (lens - centre), inside=outer) if outer else None
            if outer is not None and hole is not None:
                parts.append(outer.times(1.0 - hole.alpha))
        for part in parts:
            canvas.paint(part, colour)
            canvas.mark(part, SKIN, only_face=True)

    def _reflection(self, lens: np.ndarray, glass: Patch | None) -> None:
        if glass is None:
            return
        low, high = lens.min(axis=0), lens.max(axis=0)
        band = np.array([(0.15, 0.0), (0.42, 0.0), (0.12, 1.0), (-0.15, 1.0)]) * (high - low) + low
        streak = self.canvas.cover(band, 0.02 * self.unit, inside=glass)
        self.canvas.paint(streak, np.array([1.0, 1.0, 1.0]), 0.14)

    def _body(self) -> None:
        """Neck and clothes: LaPa counts both as background, also where they hide hair."""
        body, canvas, light = body_shapes(self.params), self.canvas, self.params.light
        skin = np.array(self.params.identity.skin)
        gain = (ambient_colour(light) + 0.55 * key_colour(light)) ** (1 / 2.2)
        neck = canvas.cover(body['neck'])
        canvas.paint(neck, skin * gain * 0.92)
        canvas.mark(neck, 0)
        chin = self.shapes['head'] + np.array([-0.03 * self.fields.towards[0], 0.07]) * self.unit
        if neck is not None:
            canvas.darken(canvas.cover(chin, 0.05 * self.unit, inside=neck), (0.50, 0.50, 0.56))
        clothes = canvas.cover(body['clothes'])
        cloth, stripe = (np.array(c) * gain for c in self.params.scene.clothes)
        canvas.paint(clothes, cloth)
        canvas.mark(clothes, 0)
        if clothes is not None and self.params.scene.stripes > 0.0:
            rows = np.arange(clothes.rows.start, clothes.rows.stop, dtype=np.float32) / canvas.size
            wave = 0.5 + 0.5 * np.sin(rows * np.float32(90.0))
            canvas.paint(clothes.times(wave[:, None]), stripe, self.params.scene.stripes)
        canvas.darken(canvas.cover(ribbon(body['collar'], 0.05 * self.unit), 0.015 * self.unit), 0.8)
