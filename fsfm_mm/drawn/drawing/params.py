"""The parameters of a drawn face, grouped by what changes together.

Lengths are in *head units*: chin at y = +1, middle of the face at the origin, skull top near y = -1.27;
x grows to the image's right, y downwards, z towards the camera. Colours are sRGB in BGR order, 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float]

HAIR_KINDS: tuple[str, ...] = ('bald', 'short', 'curly', 'long')
BACKGROUND_KINDS: tuple[str, ...] = ('gradient', 'blobs', 'stripes', 'bokeh', 'two_tone')


@dataclass(frozen=True)
class Identity:
    """What stays with a person: bone, features and complexion.

    Args:
        face_width: Half width at the cheekbones, 0.64 to 0.78.
        jaw_width: Half width at the jaw angle relative to the cheekbones, 0.7 to 0.95.
        chin_width: Half width of the chin, 0.12 to 0.26.
        eye_distance: Half distance between the eye centres, 0.27 to 0.35.
        eye_width: Corner to corner, 0.24 to 0.32.
        eye_height: Opening of a fully open eye, 0.09 to 0.15.
        eye_tilt: Rise of the outer corner over half an eye's width, -0.02 to 0.035.
        eye_y: Height of the eyes, -0.2 to -0.08.
        brow_gap: From eye centre to brow centre, 0.19 to 0.26.
        brow_thickness: Full thickness, 0.04 to 0.1.
        brow_arch: Rise of the arch, 0 to 0.06.
        brow_density: Opacity of the brow's hair, 0.45 to 0.95.
        nose_base: Height of the nose's lower end, 0.22 to 0.36.
        nose_width: Half width over the wings, 0.13 to 0.21.
        bridge_width: Half width of the bridge, 0.045 to 0.075.
        mouth_y: Height of the closed mouth's seam, 0.5 to 0.62.
        mouth_width: Half width at rest, 0.21 to 0.3.
        upper_lip: Thickness, 0.055 to 0.11.
        lower_lip: Thickness, 0.06 to 0.13.
        ear_size: Relative size, 0.8 to 1.2.
        skin: Colour of the lit skin.
        redness: Flush of cheeks and nose, 0 to 1.
        freckles: Strength of speckles, 0 to 1.
        iris: Colour of the iris.
        lip_colour: Colour of the lips.
        age: 0 (young) to 1 (old): folds and bags under the eyes.
    """

    face_width: float
    jaw_width: float
    chin_width: float
    eye_distance: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    eye_y: float
    brow_gap: float
    brow_thickness: float
    brow_arch: float
    brow_density: float
    nose_base: float
    nose_width: float
    bridge_width: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    ear_size: float
    skin: Colour
    redness: float
    freckles: float
    iris: Colour
    lip_colour: Colour
    age: float


@dataclass(frozen=True)
class Style:
    """What a person could change: hair, beard and glasses.

    Args:
        hair: One of :data:`HAIR_KINDS`.
        hair_colour: Colour of the hair; brows are a little darker.
        hairline: Height of the hairline's middle, -0.95 to -0.65.
        volume: Thickness of the hair over the skull, 0.03 to 0.4.
        length: Height at which long hair ends, 0.5 to 2; unused for other kinds.
        parting: Where the parting lies, -0.5 (image's left) to 0.5.
        fringe: How far a fringe hangs from the hairline (0) to the brows (1).
        wave: Waviness of the strands, 0 to 1.
        beard: Density of a beard or stubble, 0 to 1.
        glasses: Half height of the lenses, 0 for no glasses, else 0.14 to 0.2.
        frame_width: Thickness of the frame, 0.012 to 0.05.
        frame_roundness: 2 (oval) to 5 (boxy).
        frame_colour: Colour of the frame.
        lens_tint: Opacity of the lens, 0 to 0.35.
    """

    hair: str
    hair_colour: Colour
    hairline: float
    volume: float
    length: float
    parting: float
    fringe: float
    wave: float
    beard: float
    glasses: float
    frame_width: float
    frame_roundness: float
    frame_colour: Colour
    lens_tint: float


@dataclass(frozen=True)
class Pose:
    """Where the head is and how it is turned.

    Args:
        yaw: Degrees; positive turns the face to the image's right. Within -26 to 26.
        pitch: Degrees; positive turns the face downwards. Within -14 to 14.
        roll: Degrees; positive turns clockwise in the image. Within -20 to 20.
        scale: Picture heights per head unit, 0.35 to 0.46.
        shift_x: Shift to the right in picture widths, -0.05 to 0.05.
        shift_y: Shift downwards in picture heights, -0.04 to 0.04.
    """

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift_x: float
    shift_y: float


@dataclass(frozen=True)
class Expression:
    """What the face is doing.

    Args:
        smile: -0.4 (corners down) to 1 (broad smile).
        mouth_open: Height of the mouth's opening in head units, 0 (closed) to 0.22.
        eye_open: Opening of the lids, 0.45 to 1.1.
        brow_raise: -0.03 to 0.05 head units.
        gaze_x: Turn of the eyes to the image's right, -1 to 1.
        gaze_y: Turn of the eyes downwards, -1 to 1.
    """

    smile: float
    mouth_open: float
    eye_open: float
    brow_raise: float
    gaze_x: float
    gaze_y: float


@dataclass(frozen=True)
class Light:
    """One key light and an ambient light.

    Args:
        azimuth: Degrees; positive from the image's right. Within -75 to 75.
        elevation: Degrees above the horizon, -5 to 65.
        key: Linear intensity of the key light, 0.4 to 1.2.
        ambient: Linear intensity of the ambient light, 0.12 to 0.5.
        warmth: Colour of the key light, -1 (blue) to 1 (orange).
        gloss: Strength of the skin's shine, 0 to 0.35.
    """

    azimuth: float
    elevation: float
    key: float
    ambient: float
    warmth: float
    gloss: float


@dataclass(frozen=True)
class Scene:
    """What is around the head.

    Args:
        background: One of :data:`BACKGROUND_KINDS`.
        colours: The background's two colours.
        clothes: Colours of the clothes and of their stripes.
        stripes: Strength of the stripes, 0 to 1.
        neckline: Depth of the neckline in head units, 0 to 0.35.
        seed: Chooses the places of blobs, stripes and discs.
    """

    background: str
    colours: tuple[Colour, Colour]
    clothes: tuple[Colour, Colour]
    stripes: float
    neckline: float
    seed: int


@dataclass(frozen=True)
class Camera:
    """What the camera adds.

    Args:
        blur: Standard deviation of the blur in thousandths of the picture's height, 0 to 6.
        noise: Standard deviation of the sensor noise in grey levels, 0 to 7.
        vignette: Loss of light in the corners, 0 to 0.35.
        exposure: Gain, 0.8 to 1.15.
        saturation: 0.65 to 1.15; 0 gives a grey picture.
        seed: Chooses the noise and the texture of skin and hair.
    """

    blur: float
    noise: float
    vignette: float
    exposure: float
    saturation: float
    seed: int


@dataclass(frozen=True)
class FaceParams:
    """All that :func:`~fsfm_mm.drawn.face_drawing.render` needs to draw a face.

    Use ``dataclasses.replace(params, pose=..., light=...)`` for the same person in another picture.

    Args:
        identity: Bone, features and complexion.
        style: Hair, beard and glasses.
        pose: Place and direction of the head.
        expression: Mouth, lids, brows and gaze.
        light: Key and ambient light.
        scene: Background and clothes.
        camera: Blur, noise and exposure.
    """

    identity: Identity
    style: Style
    pose: Pose
    expression: Expression
    light: Light
    scene: Scene
    camera: Camera
