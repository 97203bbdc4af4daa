"""MediaPipe's networks (Apache-2.0): files of a wheel on PyPI that OpenCV reads; nothing of it is installed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.files.pictures import only_errors
from fsfm_mm.files.wheels import Wheel

#: The last version with these files; they are the same for every interpreter and machine.
WHEEL = Wheel(
    'mediapipe',
    '0.10.21',
    python='3.11',
    platform='manylinux_2_28_x86_64',
    members={
        'mediapipe/modules/face_landmark/face_landmark.tflite': (
            '1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814'
        ),
        'mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite': (
            '9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c'
        ),
        'mediapipe/modules/face_detection/face_detection_short_range.tflite': (
            'bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8'
        ),
    },
)
NUM_POINTS = 468
#: Points of the mesh, whose topology is published: the lids of the eyes (right is the person's) ...
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
#: ... the outer corners of the eyes, the tip of the nose, the corners of the mouth.
RIGHT_CORNER, LEFT_CORNER, NOSE_TIP, MOUTH_CORNERS = 33, 263, 4, (61, 291)
_MESH_SIDE, _PERSON_SIDE = 192, 256
#: Side of the square that the mesh looks at over the longer side of its points, MediaPipe's own.
_ROOM = 1.5


class Network:
    """One network of the wheel.

    Args:
        name: Name of its file, without the folders.
        wheel: The user's file; None for the cached one, which pip fetches once.
        option: What names the user's file on the command line.

    Raises:
        ValueError: It cannot be read, or is another file than expected.
        ConnectionError: It cannot be fetched.
    """

    def __init__(self, name: str, wheel: str | Path | None, option: str) -> None:
        content = np.frombuffer(WHEEL.read(name, wheel, option), np.uint8)
        try:
            with only_errors():
                self._net = cv2.dnn.readNetFromTFLite(content)
        except cv2.error as error:
            raise ValueError(f'{name} cannot be read by OpenCV {cv2.__version__} ({error.err}).') from error

    def __call__(self, blob: np.ndarray, output: str) -> np.ndarray:
        """The named output, float32, for a blob float32 (1, 3, H, W) RGB; OpenCV gives these networks' one by one."""
        self._net.setInput(blob)
        return np.array(self._net.forward(output))


def mesh_network(wheel: str | Path | None, option: str) -> Network:
    """The face mesh; arguments and errors as of :class:`Network`."""
    return Network('face_landmark.tflite', wheel, option)


class PersonNetwork(Network):
    """Where the people in a picture are; arguments and errors as of :class:`Network`."""

    def __init__(self, wheel: str | Path | None, option: str) -> None:
        super().__init__('selfie_segmentation.tflite', wheel, option)

    def shares(self, picture: np.ndarray, size: int) -> np.ndarray:
        """Probability of a person, 0..1, on ``size`` x ``size`` cells of a picture uint8 (H, W, 3) BGR."""
        small = cv2.resize(picture, (_PERSON_SIDE, _PERSON_SIDE), interpolation=cv2.INTER_AREA)
        out = self(cv2.dnn.blobFromImage(small, 1 / 255, swapRB=True), 'activation_10')
        return cv2.resize(out[0, 0], (size, size), interpolation=cv2.INTER_AREA)


def mesh_points(
    network: Network, picture: np.ndarray, centre: np.ndarray, half: np.ndarray, passes: int = 2
) -> tuple[np.ndarray, float]:
    """Points of the face mesh, each pass from where the one before found them.

    Args:
        network: Of :func:`mesh_network`.
        picture: uint8 (H, W, 3) BGR.
        centre: float64 (2,), about the middle of the face in pixels.
        half: float64 (2,), from there to the right side of a turned square of 1.5 times the face.
        passes: How often; 1 or more.

    Returns:
        float64 (468, 2), x and y in the picture's pixels; and the logit that a face is there.
    """
    for _ in range(passes):
        across = half * 2 / _MESH_SIDE
        turn = np.stack([across, [-across[1], across[0]]], 1)
        shift = centre - turn @ np.full(2, _MESH_SIDE / 2 - 0.5)
        window = cv2.warpAffine(
            picture,
            np.concatenate([turn, shift[:, None]], 1),
            (_MESH_SIDE, _MESH_SIDE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        blob = cv2.dnn.blobFromImage(window, 1 / 255, swapRB=True)
        found = (
            network(blob, 'conv2d_21').reshape(NUM_POINTS, 3)[:, :2].astype(np.float64) - 0.5
        ) @ turn.T + shift
        axes, _ = upright(found)
        inside = found @ axes.T
        low, high = inside.min(0), inside.max(0)
        centre, half = (low + high) / 2 @ axes, axes[0] * (high - low).max() * _ROOM / 2
    return found, float(network(blob, 'conv2d_31').ravel()[0])


def upright(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The axes of a face: float64 (2, 2), rows to its left (the picture's right) and down; and between its eyes.

    The unit of length is the distance of the outer corners of the eyes, in pixels.
    """
    across = points[LEFT_CORNER] - points[RIGHT_CORNER]
    unit = float(np.hypot(*across)) or 1.0
    across = across / unit
    return np.stack([across, [-across[1], across[0]]]), unit
