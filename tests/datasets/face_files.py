"""Small face data sets on the disk for the tests beside this file."""

from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, LoadFace, PackFaces, ResizeFace

#: Blue, green and red of each label: an image whose colour says which label its map must hold.
COLOURS = np.array([[20 * label + 10, 255 - 20 * label, (label * 97) % 251] for label in range(11)], np.uint8)


def label_map(seed: int, size: int = 32) -> np.ndarray:
    """A map of 8x8 blocks with random labels, uint8 (size, size)."""
    blocks = np.random.default_rng(seed).integers(0, 11, (size // 8, size // 8), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8), np.uint8))


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix.lower(), image)[1].tobytes())


def write_face(root: Path, name: str, seed: int, size: int = 32, map_suffix: str = '.npy') -> np.ndarray:
    """Write ``images/name`` and its map; returns the map."""
    labels = label_map(seed, size)
    write_image(root / 'images' / name, COLOURS[labels])
    path = (root / 'parsing_maps' / name).with_suffix(map_suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    if map_suffix.lower() == '.npy':
        with path.open('wb') as file:
            np.save(file, labels[None].astype(np.int8))
    else:
        write_image(path, labels)
    return labels


def write_faces(root: Path, count: int, size: int = 32) -> list[np.ndarray]:
    """Write ``f000.png`` ... and their maps; returns the maps."""
    return [write_face(root, f'f{i:03d}.png', i, size) for i in range(count)]


def pipeline(mask=CRFRPMask, size=32):
    return [LoadFace(), ResizeFace(size), BuildPatchLabels(8), mask(0.75), PackFaces()]
