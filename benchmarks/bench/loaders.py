"""Loading: a config's loader with and without masks, and every way of storing faces against the plain one."""

from __future__ import annotations

import copy
import functools
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from bench.inputs import Bench
from bench.results import Line, comparison, comparison_of_times, row
from bench.settings import like_a_worker
from bench.stored_pictures import open_stored, read_faces, store
from fsfm_mm.datasets import FaceDataset, dense_collate
from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, PatchMask
from fsfm_mm.registry import DATASETS, FUNCTIONS
from fsfm_mm.statistics import resolve_stats
from plain import PlainCollate, PlainFaces

WHOLE = 'whole pipeline'
#: What is timed beside the whole pipeline: the transforms that are left out.
LEFT_OUT: dict[str, tuple[type, ...]] = {
    WHOLE: (),
    'without the mask': (PatchMask,),
    'without the mask and its label table': (PatchMask, BuildPatchLabels),
}
PLAIN = 'plain: PNG + .npy'
DECODER = 'the JPEG decoder alone (quality 95, 4:4:4)'
#: Our arms: kind of storage -> (name, target speed-up over the plain loader).
TARGETS: dict[str, tuple[str, float | None]] = {
    'png': ('PNG + .npy', None),
    'jpeg': ('JPEG files (quality 95, 4:4:4) + label table', 10.0),
    'archive jpeg': ('archive JPEG (quality 95, 4:4:4) + label table', 10.0),
    'archive jpeg 4:2:0': ('archive JPEG (quality 90, 4:2:0) + label table', 10.0),
    'archive raw': ('archive raw + label table', 30.0),
    'archive maps': ('archive JPEG (quality 95, 4:4:4) + PNG map', None),
}


def _training_set(bench: Bench) -> tuple[FaceDataset, str]:
    """The config's training set, or generated faces where its files are not there; and a line about it.

    Raises:
        ValueError: The folder of ``data_root`` is missing, or the config's data set reads no files.
    """
    cfg = copy.deepcopy(bench.cfg.train_dataloader.dataset)
    if bench.data_root is not None:
        if 'data_root' not in cfg:
            raise ValueError(f'--data-root: the training set {cfg.type} of this config reads no files')
        cfg.data_root = bench.data_root
    roots = cfg.get('data_root', ())
    cached = ', whose faces come from its cache after the warm-up' if cfg.get('cache') else ''
    line = f'training set: {cfg.type}{cached}'
    if not all(map(os.path.isdir, [roots] if isinstance(roots, str) else roots)):
        if bench.data_root is not None:
            raise ValueError(f'--data-root: there is no folder {bench.data_root}')
        pipeline = [
            dict(type='BuildPatchLabels', patch_size=bench.patch_size),
            bench.mask,
            dict(type='PackFaces'),
        ]
        cfg = ConfigDict(type='GeneratedFaces', img_size=bench.size, pipeline=pipeline)
        line = f"training set: the config's data_root is missing, so GeneratedFaces of {bench.size} pixels instead"
    dataset = DATASETS.build(cfg)
    dataset.full_init()
    return dataset, line


def _without(dataset: FaceDataset, kinds: tuple[type, ...]) -> FaceDataset:
    """The same data set without some transforms."""
    fewer = copy.copy(dataset)
    fewer.pipeline = Compose([t for t in dataset.pipeline.transforms if not isinstance(t, kinds)])
    return fewer


def _drain(loader: Iterable) -> None:
    """Read a loader to its end."""
    for _ in loader:
        pass


def loader_rows(bench: Bench) -> tuple[list[Line], str]:
    """Time the config's training loader with and without masks, in turns, files in the page cache.

    Returns:
        The rows (a batch each; the ratio is the speed over the whole pipeline's), and a line that names the data set.

    Raises:
        ValueError: The folder of ``data_root`` is missing, or the config's data set reads no files.
    """
    dataset, line = _training_set(bench)
    collate = dict(bench.cfg.train_dataloader.get('collate_fn', dict(type='dense_collate')))
    workers: dict[str, Any] = dict(num_workers=bench.workers, persistent_workers=bench.workers > 0)
    workers['collate_fn'] = functools.partial(FUNCTIONS.get(collate.pop('type')), **collate)
    batches = max(bench.loader_batches, 2 * bench.workers)
    order = np.resize(
        np.random.default_rng(0).permutation(len(dataset)), (batches, bench.batch_size)
    ).tolist()
    loaders = {
        name: DataLoader(_without(dataset, kinds), batch_sampler=order, **workers)
        for name, kinds in LEFT_OUT.items()
    }
    with like_a_worker(bench.cfg.get('env_cfg', {}).get('mp_cfg', {}).get('opencv_num_threads', 0)):
        times = bench.timer.measure(
            {name: functools.partial(_drain, loader) for name, loader in loaders.items()}
        )
    return [
        row('loader', name, bench.batch_size, seconds / batches, times[WHOLE] / seconds, f'x of the {WHOLE}')
        for name, seconds in times.items()
    ], line


def loader_comparisons(bench: Bench, batch_size: int = 128) -> list[Line]:
    """Images a second with masks on one core, and bytes handed over, from the same faces stored in every way.

    Args:
        bench: Its ``pictures`` are stored in a temporary folder, and all of them read at each timing.
        batch_size: Images a batch, or ``pictures`` where that is less.
    """
    mask, batch_size = CRFRPMask(bench.mask.mask_ratio), min(batch_size, bench.pictures)
    images = bench.pictures // batch_size * batch_size
    with tempfile.TemporaryDirectory(prefix='fsfm_mm_benchmark_') as folder, like_a_worker(0):
        faces = read_faces(bench.pictures, bench.size, bench.data_root)
        roots = store(faces, Path(folder), bench.patch_size)
        plain = PlainFaces(roots['png'], bench.size, *resolve_stats('vggface2'))
        loaders = {PLAIN: shuffled(plain, batch_size, PlainCollate(bench.patch_size, mask.mask_ratio))}
        for kind in TARGETS:
            loaders[kind] = shuffled(open_stored(bench, kind, roots[kind], mask), batch_size)
        arms = {name: functools.partial(_drain, loader) for name, loader in loaders.items()}
        times = bench.timer.measure({**arms, DECODER: _decoder(roots['jpeg'], images)})
        handed = {name: batch_bytes(next(iter(loaders[name]))) / batch_size for name in (PLAIN, 'jpeg')}
    source = 'drawn' if bench.data_root is None else 'given'
    note = f'one core, batch {batch_size}, masks included, {source} faces'
    lines = [
        comparison_of_times('loader', name, times[PLAIN], times[kind], images, target=target, note=note)
        for kind, (name, target) in TARGETS.items()
    ]
    note = 'OpenCV, from memory; one core'
    lines.append(comparison_of_times('loader', DECODER, times[PLAIN], times[DECODER], images, note=note))
    note = 'worker to main process, tensors only; the plain arm also hands over one object a sample'
    return [*lines, comparison('loader', 'bytes an image', 'bytes', handed[PLAIN], handed['jpeg'], note=note)]


def batch_bytes(batch: dict) -> int:
    """Bytes of the tensors of a batch: what a worker hands to the main process."""
    return sum(value.nbytes for value in batch.values() if isinstance(value, torch.Tensor))


def _decoder(root: Path, count: int) -> Callable[[], None]:
    """Decode the first JPEG files of a root from memory into the model's layout: no loader can be faster."""
    files = [np.fromfile(path, np.uint8) for path in sorted((root / 'images').iterdir())[:count]]

    def run() -> None:
        for data in files:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            assert image is not None
            cv2.split(image)

    return run


def shuffled(
    dataset: Any, batch_size: int, collate: Callable = dense_collate, draws: int | None = None, **more: Any
) -> DataLoader:
    """A loader of full batches in random order: once over the data set, or ``draws`` samples with replacement."""
    order = RandomSampler(
        dataset, replacement=draws is not None, num_samples=draws, generator=torch.Generator()
    )
    batches = BatchSampler(order, batch_size, drop_last=True)
    return DataLoader(dataset, batch_sampler=batches, collate_fn=collate, **more)
