"""Maps that are there already, beside their pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fsfm_mm.files.pictures import BrokenSampleError, WrongSizeError, read_image, read_parsing_map
from fsfm_mm.ops.resizing import resize_labels
from fsfm_mm.preparation.cutting.turning import turn_picture
from fsfm_mm.preparation.parsers.base import FaceParser
from fsfm_mm.preparation.parsers.label_maps import LabelTable, label_table, sides_exchanged
from fsfm_mm.preparation.sources.items import Item, Origin
from fsfm_mm.regions import BACKGROUND, HAIR, NUM_LABELS
from fsfm_mm.registry import FACE_PARSERS

#: Largest difference between the aspect ratios of a map and its picture, as a share.
_SHAPE = 0.01
#: Maps that are looked at before a run.
_LOOKED_AT = 16


@FACE_PARSERS.register_module()
class StoredMaps(FaceParser):
    """Reads the map of each picture and cuts out of it what was cut out of the picture.

    Args:
        limits: What is to be said of maps that are only roughly right, by what made them.
        label_map: What the maps' classes are, see :func:`~fsfm_mm.preparation.parsers.label_maps.label_table`; such
            maps may have another size than their pictures, of the same shape. None for maps of a prepared set, with
            this package's labels, pixel for pixel.
        label_names: Names of the classes; see there.
    """

    nothing = 'there is no map of this picture, or none of a face where this one was found'

    def __init__(
        self,
        limits: str = '',
        label_map: str | Mapping[str | int, str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        self.limits = limits
        self.label_map = label_map
        self.table = None if label_map is None else label_table(label_map, label_names)

    def parse(
        self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """None for each: where they come from must be known."""
        return [None] * len(crops)

    def parse_from(
        self,
        origins: Sequence[Origin | None],
        crops: Sequence[np.ndarray],
        landmarks: Sequence[np.ndarray | None],
    ) -> list[np.ndarray | None]:
        """Read the maps; of a picture without one, and where it shows no face, None.

        Raises:
            BrokenSampleError: One cannot be used, does not fit its picture, or has right and left exchanged.
        """
        return [
            None if origin is None or not origin.item.map_files else self._read(origin, crop.shape[:2])
            for origin, crop in zip(origins, crops)
        ]

    def _read(self, origin: Origin, size: tuple[int, ...]) -> np.ndarray | None:
        labels = _read_exact(origin) if self.table is None else self._read_translated(origin)
        labels = resize_labels(shown(labels, origin.square, origin.quarters), (size[0], size[1]))
        return None if self.table is not None and not _shows_face(labels) else labels

    def _read_translated(self, origin: Origin) -> np.ndarray:
        assert self.table is not None
        path = origin.item.map_files[0]
        labels = self.table(_read_classes(origin.item, self.table))
        if sides_exchanged(labels):
            raise BrokenSampleError(f'{path}: the right eye or brow lies where the left should be.')
        return fitted(labels, path, origin.shape, origin.item.path)


def _read_exact(origin: Origin) -> np.ndarray:
    path, (height, width) = origin.item.map_files[0], origin.shape
    try:
        return read_parsing_map(path, (height, width))
    except WrongSizeError as error:
        raise BrokenSampleError(
            f'{path}: the parsing map is {error.size[0]}x{error.size[1]} pixels, '
            f'but its image {origin.item.path} is {width}x{height}.'
        ) from error


def _read_classes(item: Item, table: LabelTable) -> np.ndarray:
    """Classes uint8 (H, W) of a map; of parts a later class lies over an earlier one."""
    if item.map_path is not None:
        return read_parsing_map(item.map_path, num_labels=len(table.targets))
    first, classes = item.map_files[0], None
    for number, path in item.map_parts:
        image = read_image(path)
        part = (image[..., 0] | image[..., 1] | image[..., 2]) > 0
        if classes is None:
            classes = np.zeros(part.shape, np.uint8)
        if part.shape != classes.shape:
            told = f'{part.shape[1]}x{part.shape[0]} pixels, but {first} is {classes.shape[1]}x{classes.shape[0]}'
            raise BrokenSampleError(f'{path}: {told}.')
        classes[part] = number
    assert classes is not None
    return classes


def _shows_face(labels: np.ndarray) -> bool:
    return bool(((labels != BACKGROUND) & (labels != HAIR)).any())


def fitted(labels: np.ndarray, path: str, shape: tuple[int, ...], picture: str) -> np.ndarray:
    """A map in the size of its picture: CelebAMask-HQ has maps of 512 and pictures of 1024.

    Args:
        labels: uint8 (H, W).
        path: Its file, for the message.
        shape: Height and width of the picture.
        picture: The picture's file.

    Raises:
        BrokenSampleError: It has another shape than the picture.
    """
    (height, width), (rows, columns) = labels.shape, shape
    if abs(width * rows - height * columns) > _SHAPE * max(width * rows, height * columns):
        raise BrokenSampleError(f'{path}: {width}x{height}, but its picture {picture} is {columns}x{rows}.')
    return resize_labels(labels, (rows, columns))


def shown(labels: np.ndarray, square: Sequence[int] | None, quarters: int = 0) -> np.ndarray:
    """The part of a picture's map that a crop shows, see :class:`~fsfm_mm.preparation.sources.items.Origin`."""
    labels = turn_picture(labels, quarters)
    if square is None:
        return labels
    left, top, right, bottom = square
    return np.ascontiguousarray(labels[top:bottom, left:right])


def refuse_lapa(folder: str, label_map: object, highest: int) -> None:
    """Refuse maps that cannot be CelebAMask-HQ's, whose faces have all of 19 classes' lips.

    Raises:
        ValueError: None of them has a label above LaPa's.
    """
    if label_map == 'celebamask' and highest < NUM_LABELS:
        raise ValueError(
            f'{folder}: no label above {highest}, so these are not the 19 of CelebAMask-HQ: --labels lapa.'
        )


def check_maps(items: Sequence[Item], parser: StoredMaps, folder: str) -> None:
    """Look at some maps before a run: whether they are what they are said to be.

    Args:
        items: Pictures, some with maps.
        parser: Reads them.
        folder: Where they lie, for messages.

    Raises:
        ValueError: None of those looked at can be used, or most have right and left exchanged.
    """
    assert parser.table is not None
    having = [item for item in items if item.map_files]
    count = min(len(having), _LOOKED_AT)
    sides: Counter[bool | None] = Counter()
    broken, highest = [], -1
    for item in (having[n * len(having) // count] for n in range(count)):
        try:
            classes = _read_classes(item, parser.table)
            fitted(classes, item.map_files[0], read_image(item.path).shape[:2], item.path)
        except BrokenSampleError as error:
            broken.append(str(error))
            continue
        sides[sides_exchanged(parser.table(classes))] += 1
        if item.map_path is not None:  # parts have names
            highest = max(highest, int(classes.max()))
    if highest >= 0:
        refuse_lapa(folder, parser.label_map, highest)
    if sides[True] > sides[False]:
        raise ValueError(
            f'{folder}: right and left are exchanged in {sides[True]} of {count} maps looked at: "right" is the '
            "person's, on the picture's left; give --labels a file that names them so."
        )
    if len(broken) == count:
        raise ValueError(f'{folder}: none of {count} maps looked at can be used; the first: {broken[0]}')
