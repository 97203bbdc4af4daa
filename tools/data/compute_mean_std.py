"""Mean and standard deviation of a face data set, for the normalisation of its own pretraining.

Usage::

    python tools/data/compute_mean_std.py DATA_ROOT [DATA_ROOT ...] [--out FILE] [--workers 8]

Reads all images below ``DATA_ROOT/images`` (or below ``DATA_ROOT`` where there is no such folder), resizes
each as training does, and counts how often every value 0..255 occurs in every channel. From these counts,
which are exact whatever the order of the files and the number of workers, come the mean and the standard
deviation of RGB pixels scaled to 0..1, *over all pixels of the set* (population; not the mean of the images'
own deviations, which is smaller). A config reads the result with
``data_preprocessor=dict(type='FaceDataPreprocessor', stats='DATA_ROOT/mean_std.json')``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from tqdm import tqdm

from fsfm_mm.datasets.listing import IMAGE_EXTENSIONS, list_files
from fsfm_mm.datasets.reading import BrokenSampleError, read_image
from fsfm_mm.datasets.resizing import INTERPOLATIONS, resize_image
from fsfm_mm.files import write_atomically
from fsfm_mm.statistics import count_values, statistics

CHUNK = 32
#: Paths of a chunk, side in pixels, interpolation.
Task = tuple[list[str], int, str]


def count_chunk(task: Task) -> tuple[np.ndarray, list[str]]:
    """Count the pixel values of some images.

    Args:
        task: Paths, side of the resized square in pixels, interpolation.

    Returns:
        int64 (3, 256), how often each value occurs in R, G and B; and a sentence for each broken file.
    """
    paths, size, interpolation = task
    counts = np.zeros((3, 256), np.int64)
    broken = []
    for path in paths:
        try:
            image = resize_image(read_image(path), (size, size), interpolation)
        except BrokenSampleError as error:
            broken.append(str(error))
            continue
        counts += count_values(image)
    return counts, broken


def find_images(roots: Sequence[str], limit: int | None) -> list[str]:
    """List the images of several roots; with ``limit``, that many of them, evenly spaced over the list.

    Raises:
        ValueError: A root is missing or has no images, or the limit is not positive.
    """
    paths: list[str] = []
    for root in roots:
        folder = os.path.join(root, 'images')
        folder = folder if os.path.isdir(folder) else root
        if not os.path.isdir(folder):
            raise ValueError(f'{folder}: no such folder.')
        found = list_files(folder, IMAGE_EXTENSIONS)
        if not found:
            raise ValueError(f'{folder}: no images ({", ".join(IMAGE_EXTENSIONS)}) below it.')
        paths += [os.path.join(folder, file) for file in found]
    if limit is None or limit >= len(paths):
        return paths
    if limit < 1:
        raise ValueError(f'--limit must be positive, but is {limit}.')
    return [paths[i * len(paths) // limit] for i in range(limit)]


@contextmanager
def _results(tasks: list[Task], workers: int) -> Iterator[Iterator]:
    """Results of the tasks in any order, computed here or by worker processes."""
    if workers == 0:
        yield map(count_chunk, tasks)
        return
    # One thread a process, set before they are forked: a child that inherits OpenCV's thread pool without
    # the threads waits for them for ever.
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        with multiprocessing.Pool(workers) as pool:
            yield pool.imap_unordered(count_chunk, tasks)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def compute(paths: list[str], size: int, interpolation: str, workers: int) -> dict:
    """Compute the statistics of some images, with a progress bar on stderr.

    Args:
        paths: Image files.
        size: Side of the square that each is resized to, in pixels.
        interpolation: Filter of the resize.
        workers: Number of processes; 0 computes in this one.

    Returns:
        ``mean``, ``std``, ``num_images``, ``size``, ``interpolation`` and ``broken_files`` (sentences).

    Raises:
        ValueError: No image is readable.
    """
    tasks = [(paths[i : i + CHUNK], size, interpolation) for i in range(0, len(paths), CHUNK)]
    counts = np.zeros((3, 256), np.int64)
    broken: list[str] = []
    with _results(tasks, workers) as results, tqdm(total=len(paths), unit='img') as bar:
        for chunk_counts, chunk_broken in results:
            counts += chunk_counts
            broken += chunk_broken
            bar.update(min(CHUNK, len(paths) - bar.n))
    if len(broken) == len(paths):
        raise ValueError(f'None of {len(paths)} images is readable; the first: {min(broken)}')
    return statistics(counts, len(paths) - len(broken), size, interpolation, sorted(broken))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data_root', nargs='+', help='folders of the data set')
    parser.add_argument('--out', help='JSON file to write (default: mean_std.json in the first folder)')
    parser.add_argument('--limit', type=int, help='use this many images, evenly spaced over all')
    parser.add_argument(
        '--workers', type=int, default=len(os.sched_getaffinity(0)), help='processes; 0: none'
    )
    parser.add_argument('--size', type=int, default=224, help='side of the training images in pixels')
    parser.add_argument('--interpolation', choices=INTERPOLATIONS, default='bicubic')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    try:
        stats = compute(find_images(args.data_root, args.limit), args.size, args.interpolation, args.workers)
    except ValueError as error:
        sys.exit(f'error: {error}')
    out = args.out or os.path.join(args.data_root[0], 'mean_std.json')
    write_atomically(out, json.dumps(stats, indent=2, ensure_ascii=False) + '\n')
    for sentence in stats['broken_files']:
        print(f'left out: {sentence}', file=sys.stderr)
    print(f'{stats["num_images"]} images ({len(stats["broken_files"])} broken) -> {out}')
    print(json.dumps({key: stats[key] for key in ('mean', 'std')}))


if __name__ == '__main__':
    main()
