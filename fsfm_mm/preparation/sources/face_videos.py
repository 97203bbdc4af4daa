"""Anti-spoofing videos that come as frames of faces: CeFA's folders ``profile`` and WMCA's HDF5 files."""

from __future__ import annotations

import os
from collections import defaultdict

from fsfm_mm.datasets.listing import list_samples
from fsfm_mm.files.listing import IMAGE_EXTENSIONS
from fsfm_mm.preparation.cutting.hdf5_frames import HDF5_EXTENSIONS, is_hdf5
from fsfm_mm.preparation.sources.items import FrameChoice, Item

#: Folder of a video's colour pictures in CeFA; depth and infrared lie beside it.
PROFILE = 'profile'


def face_videos(root: str) -> dict[str, list[str]]:
    """Find such videos below a folder.

    Returns:
        Path of each video relative to ``root``, without ``profile`` or the file's ending -> its sorted pictures, or its
        HDF5 file alone.
    """
    videos: dict[str, list[str]] = defaultdict(list)
    for path in list_samples(root, IMAGE_EXTENSIONS + HDF5_EXTENSIONS):
        folder = os.path.dirname(path)
        if is_hdf5(path):
            videos[os.path.splitext(path)[0]].append(path)
        elif os.path.basename(folder) == PROFILE and '/' in folder:
            videos[os.path.dirname(folder)].append(path)
    return dict(videos)


def faces_by_name(root: str) -> dict[str, list[str]]:
    """Such videos by their own name, as a protocol's lists name them.

    Raises:
        ValueError: Two have the same name.
    """
    paths: dict[str, str] = {}
    found = face_videos(root)
    for path in found:
        other = paths.setdefault(os.path.basename(path), path)
        if other != path:
            raise ValueError(
                f'{root}: {other} and {path} have the name by which lists call a video: give one of them.'
            )
    return {name: found[path] for name, path in paths.items()}


def frame_items(root: str, files: list[str], key: str, choice: FrameChoice) -> list[Item]:
    """Work on the chosen frames of such a video.

    Args:
        root: The folder of the set.
        files: From :func:`face_videos`.
        key: Name of the results, up to the two digits of the frame.
        choice: Which frames.
    """
    if is_hdf5(files[0]):
        return [Item(os.path.join(root, files[0]), files[0], 0, key, choice, '{number:02d}')]
    chosen = [files[index] for index in choice.indices(len(files)).tolist()]
    return [Item(os.path.join(root, file), file, 0, f'{key}{k:02d}') for k, file in enumerate(chosen)]
