"""Per-channel pixel statistics: published values by name, and those of one's own data from a file.

All values are of RGB pixels scaled to 0..1. FSFM normalises with the pretraining set's own mean and standard
deviation (section 4.1 of the paper), and whoever fine-tunes must use those of the pretrained weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from fsfm_mm.files.broken import broken, reading
from fsfm_mm.files.opening import read_text
from fsfm_mm.files.parallel import Attempt, Pool
from fsfm_mm.files.pictures import BrokenSampleError, read_image
from fsfm_mm.files.progress import ProgressBar
from fsfm_mm.ops.resizing import resize_image
from fsfm_mm.text import brief, printable

#: Name -> (mean, std). 'ffpp_o' are the original videos of FaceForensics++ (c23).
PUBLISHED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    'vggface2': (
        (0.5482207536697388, 0.42340534925460815, 0.3654651641845703),
        (0.2789176106452942, 0.2438540756702423, 0.23493893444538116),
    ),
    'ffpp_o': (
        (0.532625138759613, 0.4048449993133545, 0.3708747327327728),
        (0.25850796699523926, 0.21054500341415405, 0.20785294473171234),
    ),
    'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
#: Images that a process counts at a time.
_CHUNK = 32


def count_values(image: np.ndarray) -> np.ndarray:
    """Count how often each value occurs in each channel: exact, so that counts of many images just add up.

    Args:
        image: uint8 (H, W, 3), BGR.

    Returns:
        int64 (3, 256), rows R, G, B.
    """
    planes = cv2.split(image)[::-1]
    return np.stack([np.bincount(plane.ravel(), minlength=256) for plane in planes])


def mean_and_std(counts: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and population standard deviation over all pixels.

    Args:
        counts: int64 (3, 256), see :func:`count_values`; at least one pixel.

    Returns:
        Three floats each, RGB, in units of 0..1.
    """
    values = np.arange(256) / 255.0
    total = counts.sum(axis=1)
    mean = counts @ values / total
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / total
    return mean.tolist(), np.sqrt(variance).tolist()


def statistics(
    counts: np.ndarray, num_images: int, size: int, interpolation: str, broken_files: list[str]
) -> dict[str, Any]:
    """Content of a ``mean_std.json``, which :func:`load_mean_std` reads.

    Args:
        counts: int64 (3, 256), see :func:`count_values`; at least one pixel.
        num_images: Images that were counted.
        size: Their side in pixels.
        interpolation: Filter they were resized with.
        broken_files: A sentence for each image that was left out.
    """
    mean, std = mean_and_std(counts)
    return {
        'mean': mean,
        'std': std,
        'num_images': num_images,
        'size': size,
        'interpolation': interpolation,
        'broken_files': broken_files,
    }


#: Paths of some images, side of the square that they are resized to, filter.
_Task = tuple[list[str], int, str]


def compute_statistics(paths: Sequence[str], size: int, interpolation: str, workers: int) -> dict[str, Any]:
    """Count the pixels of some images, and show on stderr how far it is.

    Args:
        paths: Image files.
        size: Side of the square that each is resized to, in pixels.
        interpolation: Filter of the resize.
        workers: Number of processes; 0 computes in this one.

    Returns:
        See :func:`statistics`. An image that kills its process twice counts as broken.

    Raises:
        ValueError: No image is readable.
        StoppedError: Processes do not start.
    """
    tasks = [(list(paths[i : i + _CHUNK]), size, interpolation) for i in range(0, len(paths), _CHUNK)]
    counts = np.zeros((3, 256), np.int64)
    broken: list[str] = []
    pool = Pool(workers, imports=('torch',) if interpolation in ('bicubic', 'bilinear') else ())
    results = pool.work(_begin_counting, tasks, lambda task, position: printable(task[0][position]))
    with ProgressBar(len(paths), 'pictures') as bar:
        for (some, _, _), (chunk_counts, chunk_broken) in results:
            counts += chunk_counts
            broken += chunk_broken
            bar.add(len(some))
    if len(broken) == len(paths):
        raise ValueError(f'None of {len(paths)} images is readable; the first: {min(broken)}')
    found = statistics(counts, len(paths) - len(broken), size, interpolation, sorted(broken))
    if min(found['std']) == 0:
        raise ValueError(
            f'a channel of the {len(paths) - len(broken)} images has one value only, so its deviation is 0, by which '
            'nothing can be divided: take other images'
        )
    return found


def _begin_counting(number: int) -> Callable[[_Task, Attempt], tuple[np.ndarray, list[str]]]:
    return _count


def _count(task: _Task, attempt: Attempt) -> tuple[np.ndarray, list[str]]:
    """Counts of some images, see :func:`count_values`, and a sentence for each broken one."""
    paths, size, interpolation = task
    counts = np.zeros((3, 256), np.int64)
    broken = []
    for position, path in enumerate(paths):
        if position in attempt.skip:
            broken.append(f'{attempt.skip[position]}.')
            continue
        attempt.tell((position,))
        try:
            counts += count_values(resize_image(read_image(path), (size, size), interpolation))
        except BrokenSampleError as error:
            broken.append(str(error))
    return counts, broken


def load_mean_std(path: str | os.PathLike) -> dict[str, list[float]]:
    """Read the statistics of a data set.

    Args:
        path: JSON file of ``fsfm-mm stats``, or the ``pretrain_ds_mean_std.txt`` that lies
            beside published weights (a JSON object, then other lines, which are ignored).

    Returns:
        ``{'mean': [3 floats], 'std': [3 floats]}``, RGB, in units of 0..1.

    Raises:
        ValueError: The file is missing or does not hold such values.
    """
    with reading(path, ': the pixel statistics cannot be read'):
        text = read_text(path)
    with reading(path, ': expected a JSON object with "mean" and "std" at the start'):
        content, _ = json.JSONDecoder().raw_decode(text.lstrip())
    if not isinstance(content, dict):
        raise broken(path, f': expected a JSON object with "mean" and "std", found {brief(content)}.')
    mean = _channels(path, 'mean', content.get('mean'))
    std = _channels(path, 'std', content.get('std'))
    if min(std) <= 0:
        raise ValueError(f'{path}: "std" must be positive, but is {std}.')
    return {'mean': mean, 'std': std}


def _channels(path: str | os.PathLike, key: str, values: Any) -> list[float]:
    is_numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not is_numbers or len(values) != 3 or not all(0 <= value <= 1 for value in values):
        told = f'"{key}" must be three numbers in 0..1 (RGB pixels scaled to 0..1), but is {brief(values)}.'
        raise broken(path, f': {told}')
    return [float(value) for value in values]


def resolve_stats(name_or_path: str | os.PathLike | Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation for a published name or a file.

    Args:
        name_or_path: 'vggface2', 'ffpp_o' or 'imagenet' (any case), or a path for :func:`load_mean_std`; or what
            such a file holds, ``dict(mean=..., std=...)``.

    Returns:
        Mean and std, three floats each, RGB, in units of 0..1.

    Raises:
        ValueError: Neither a known name nor a readable file.
    """
    if isinstance(name_or_path, Mapping):
        return _channels('stats', 'mean', name_or_path.get('mean')), _channels(
            'stats', 'std', name_or_path.get('std')
        )
    name = os.fspath(name_or_path)
    if name.lower() in PUBLISHED:
        mean, std = PUBLISHED[name.lower()]
        return list(mean), list(std)
    if not os.path.isfile(name):
        raise ValueError(
            f'{name!r} is neither one of the published pixel statistics ({", ".join(PUBLISHED)}) nor a file; '
            'fsfm-mm stats writes one for your own data.'
        )
    loaded = load_mean_std(name)
    return loaded['mean'], loaded['std']
