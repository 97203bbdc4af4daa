"""Loading: a config's loader with and without masks, and every way of storing faces against the plain one."""

from __future__ import annotations

import copy
import functools
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from bench.inputs import mask_transform, square_size
from bench.results import Comparison, Row
from bench.settings import like_a_worker
from bench.stored_pictures import open_stored, read_faces, store
from bench.timing import Timer
from fsfm_mm.datasets import FaceDataset, dense_collate
from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, PatchMask
from fsfm_mm.registry import DATASETS, FUNCTIONS
from fsfm_mm.statistics import resolve_stats
from plain import PlainCollate, PlainFaces

#: What is timed beside the whole pipeline: the transforms that are left out.
LEFT_OUT: dict[str, tuple[type, ...]] = {
    'whole pipeline': (),
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


def _dataset_config(cfg: Config, data_root: str | None) -> tuple[ConfigDict, str]:
    """The config's training set, or generated faces where its files are not there; and a line about it."""
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    if data_root is not None:
        if 'data_root' not in dataset:
            raise ValueError(f'--data-root: the training set {dataset.type} of this config reads no files')
        dataset.data_root = data_root
    roots = dataset.get('data_root', ())
    missing = [root for root in ([roots] if isinstance(roots, str) else roots) if not os.path.isdir(root)]
    if not missing:
        cached = ', whose faces come from its cache after the warm-up' if dataset.get('cache') else ''
        return dataset, f'training set: {dataset.type}{cached}'
    if data_root is not None:
        raise ValueError(f'--data-root: there is no folder {data_root}')
    size, patch_size = square_size(cfg)
    pipeline = [
        dict(type='BuildPatchLabels', patch_size=patch_size),
        mask_transform(cfg),
        dict(type='PackFaces'),
    ]
    line = f"training set: the config's data_root is missing, so GeneratedFaces of {size} pixels instead"
    return ConfigDict(type='GeneratedFaces', img_size=size, pipeline=pipeline), line


def _without(dataset: FaceDataset, kinds: tuple[type, ...]) -> FaceDataset:
    """The same data set without some transforms."""
    fewer = copy.copy(dataset)
    fewer.pipeline = Compose([t for t in dataset.pipeline.transforms if not isinstance(t, kinds)])
    return fewer


def _drain(loader: Iterable) -> None:
    """Read a loader to its end."""
    for _ in loader:
        pass


def loader_rows(
    cfg: Config, batch_size: int, batches: int, workers: int, data_root: str | None, timer: Timer
) -> tuple[list[Row], str]:
    """Time the config's training loader with and without masks, in turns, files in the page cache.

    Args:
        cfg: A pretraining config.
        batch_size: Images a batch.
        batches: Batches that one timing reads (at least two a worker).
        workers: Worker processes; 0 loads in this process on one thread, which is the figure per core.
        data_root: Overrides the data set's; without it generated faces stand in for missing files.
        timer: How it is timed.

    Returns:
        The rows (the ratio is the speed over the whole pipeline's), and a line that names the data set.

    Raises:
        ValueError: The folder of ``data_root`` is missing, or the config's data set reads no files.
    """
    dataset_cfg, line = _dataset_config(cfg, data_root)
    dataset: FaceDataset = DATASETS.build(dataset_cfg)
    dataset.full_init()
    collate = dict(cfg.train_dataloader.get('collate_fn', dict(type='dense_collate')))
    collate_fn = functools.partial(FUNCTIONS.get(collate.pop('type')), **collate)
    batches = max(batches, 2 * workers)
    order = np.resize(np.random.default_rng(0).permutation(len(dataset)), (batches, batch_size)).tolist()
    loaders: dict[str, DataLoader] = {
        name: DataLoader(
            _without(dataset, left_out),
            batch_sampler=order,
            num_workers=workers,
            collate_fn=collate_fn,
            persistent_workers=workers > 0,
        )
        for name, left_out in LEFT_OUT.items()
    }
    with like_a_worker(cfg.get('env_cfg', {}).get('mp_cfg', {}).get('opencv_num_threads', 0)):
        times = timer.measure({name: functools.partial(_drain, loader) for name, loader in loaders.items()})
    # one timing reads many batches; the report is per batch
    rows = [
        Row('loader', name, batch_size, seconds / batches, ratio, 'x of the whole pipeline')
        for name, seconds in times.items()
        for ratio in [times['whole pipeline'] / seconds]
    ]
    return rows, line


def batch_bytes(batch: dict) -> int:
    """Bytes of the tensors of a batch: what a worker hands to the main process."""
    return sum(value.nbytes for value in batch.values() if isinstance(value, torch.Tensor))


def loader_comparisons(
    cfg: Config, count: int, data_root: str | None, timer: Timer, batch_size: int = 128
) -> list[Comparison]:
    """Images a second with masks on one core, and bytes handed over, from the same faces stored in every way.

    Args:
        cfg: Gives sizes and mask ratio.
        count: Faces that are stored (in a temporary folder, read from the page cache) and read at each timing.
        data_root: See :func:`~bench.stored_pictures.read_faces`.
        timer: How it is timed.
        batch_size: Images a batch, or ``count`` where that is less.
    """
    (size, patch_size), mask = square_size(cfg), CRFRPMask(mask_transform(cfg).mask_ratio)
    batch_size = min(batch_size, count)
    images = count // batch_size * batch_size
    with tempfile.TemporaryDirectory(prefix='fsfm_mm_benchmark_') as folder, like_a_worker(0):
        roots = store(read_faces(count, size, data_root), Path(folder), patch_size)
        plain = PlainFaces(roots['png'], size, *resolve_stats('vggface2'))
        loaders = {PLAIN: _shuffled(plain, batch_size, PlainCollate(patch_size, mask.mask_ratio))}
        for kind in TARGETS:
            dataset = open_stored(kind, roots[kind], mask, size, patch_size)
            loaders[kind] = _shuffled(dataset, batch_size, dense_collate)
        arms = {name: functools.partial(_drain, loader) for name, loader in loaders.items()}
        times = timer.measure({**arms, DECODER: _decoder(roots['jpeg'], images)})
        handed = {name: batch_bytes(next(iter(loader))) / batch_size for name, loader in loaders.items()}
    note = f'one core, batch {batch_size}, masks included, {"drawn" if data_root is None else "given"} faces'
    lines = [
        Comparison.of_times('loader', name, times[PLAIN], times[kind], images, target=target, note=note)
        for kind, (name, target) in TARGETS.items()
    ]
    note = 'OpenCV, from memory; one core'
    lines.append(Comparison.of_times('loader', DECODER, times[PLAIN], times[DECODER], images, note=note))
    note = 'worker to main process, tensors only; the plain arm also hands over one object a sample'
    lines.append(Comparison('loader', 'bytes an image', 'bytes', handed[PLAIN], handed['jpeg'], note=note))
    return lines


def _decoder(root: Path, count: int) -> Callable[[], None]:
    """Decode the first JPEG files of a root from memory into the model's layout: no loader can be faster."""
    files = [np.fromfile(path, np.uint8) for path in sorted((root / 'images').iterdir())[:count]]

    def run() -> None:
        for data in files:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            assert image is not None
            cv2.split(image)

    return run


def _shuffled(dataset: Dataset, batch_size: int, collate: Callable) -> Iterable[dict]:
    order = BatchSampler(RandomSampler(dataset, generator=torch.Generator()), batch_size, drop_last=True)  # type: ignore[arg-type]
    return DataLoader(dataset, batch_sampler=order, collate_fn=collate)
