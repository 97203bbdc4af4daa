"""Timing what comes before the model: masks, and the loader with and without them."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from torch.utils.data import DataLoader

from bench.timing import Row, measure
from fsfm_mm.datasets import FaceDataset
from fsfm_mm.datasets.transforms import BuildPatchLabels, PatchMask, mask_types
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.ops.region_tables import num_masked
from fsfm_mm.registry import DATASETS, FUNCTIONS, TRANSFORMS


def square_size(cfg: Config) -> tuple[int, int]:
    """Side of the images and of the patches of a config's backbone, in pixels.

    Raises:
        ValueError: When the images are not square.
    """
    size = cfg.model.backbone.get('img_size', 224)
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise ValueError(f'the benchmark draws square faces, but the backbone has img_size={tuple(size)}')
    return sides.pop(), cfg.model.backbone.get('patch_size', 16)


def face_maps(count: int, size: int) -> np.ndarray:
    """Parsing maps of generated faces, int8 (count, size, size)."""
    return np.stack([draw_face(i, size)[1] for i in range(count)]).astype(np.int8)


def mask_transform(cfg: Config) -> PatchMask:
    """The mask transform of a config's training set, from ``mask=`` or out of its pipeline.

    Raises:
        ValueError: When it has none.
    """
    dataset = cfg.train_dataloader.dataset
    steps = [dataset.get('mask'), *dataset.get('pipeline', ())]
    for step in steps:
        kind = TRANSFORMS.get(step['type']) if step else None
        if isinstance(kind, type) and issubclass(kind, PatchMask):
            return TRANSFORMS.build(step)
    raise ValueError(
        "the config's train_dataloader.dataset has no mask transform such as dict(type='CRFRPMask')"
    )


def mask_rows(
    own: PatchMask,
    maps: np.ndarray,
    patch_size: int,
    repeats: int = 5,
    min_seconds: float = 0.05,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Time mask generation per strategy, on one thread.

    Args:
        own: The config's transform: its ratio serves all, and it is timed too.
        maps: Parsing maps, int8 (N, H, W); N of them are one batch.
        patch_size: Side of a patch in pixels.
        repeats: See :func:`measure`.
        min_seconds: See :func:`measure`.
        say: Takes progress lines.

    Returns:
        Rows of N images each; the ratio is the speed over 'one by one' of the same strategy.
    """
    masks = {kind.__name__: kind(own.mask_ratio) for kind in mask_types().values()}
    masks.setdefault(type(own).__name__, own)
    build = BuildPatchLabels(patch_size)
    tables = np.stack([build(dict(parsing_map=m))['patch_labels'] for m in maps])
    arms: dict[tuple[str, str], Callable[[], object]] = {
        ('BuildPatchLabels', 'map to label table'): lambda: [build(dict(parsing_map=m)) for m in maps]
    }
    for name, mask in masks.items():
        for way, function in _mask_ways(mask, build, tables, maps).items():
            arms[name, way] = function
    times = measure(arms, repeats, min_seconds=min_seconds, say=say)
    rows = []
    for (name, way), seconds in times.items():
        single = times.get((name, 'one by one, from tables'))
        ratio = single / seconds if single else None
        rows.append(
            Row('masks', f'{name}: {way}', len(maps), seconds, ratio, 'x of one by one' if ratio else '')
        )
    return rows


def _mask_ways(
    mask: PatchMask, build: BuildPatchLabels, tables: np.ndarray, maps: np.ndarray
) -> dict[str, Callable[[], object]]:
    """The ways of making one batch of masks with a strategy."""
    count = num_masked(tables[0].size, mask.mask_ratio)
    rng = np.random.default_rng(0)
    return {
        'batch, from tables': lambda: mask.strategy(tables, count, rng),
        'one by one, from tables': lambda: [mask(dict(patch_labels=table)) for table in tables],
        'batch, from maps': lambda: mask.transform_batch([build(dict(parsing_map=m)) for m in maps]),
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


@contextmanager
def one_thread(opencv_threads: int) -> Iterator[None]:
    """What a worker process has: one torch thread and the config's OpenCV threads."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(opencv_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def drain(loader: Iterable) -> None:
    """Read a loader to its end."""
    for _ in loader:
        pass


def loader_rows(
    cfg: Config,
    batch_size: int,
    batches: int = 4,
    workers: int = 0,
    data_root: str | None = None,
    repeats: int = 5,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Row], str]:
    """Time the config's training loader with and without masks, in turns, files in the page cache.

    Args:
        cfg: A pretraining config.
        batch_size: Images a batch.
        batches: Batches that one timing reads (at least two a worker).
        workers: Worker processes; 0 loads in this process on one thread, which is the figure per core.
        data_root: Overrides the data set's; without it generated faces stand in for missing files.
        repeats: See :func:`measure`.
        say: Takes progress lines.

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
    order = np.resize(
        np.random.default_rng(0).permutation(len(dataset)), max(batches, 2 * workers) * batch_size
    )
    indices: Sequence[list[int]] = order.reshape(-1, batch_size).tolist()
    arms = {}
    for name, left_out in {
        'whole pipeline': (),
        'without the mask': (PatchMask,),
        'without the mask and its label table': (PatchMask, BuildPatchLabels),
    }.items():
        loader: DataLoader = DataLoader(
            _without(dataset, left_out),
            batch_sampler=indices,
            num_workers=workers,
            collate_fn=collate_fn,
            persistent_workers=workers > 0,
        )
        arms[name] = functools.partial(drain, loader)
    with one_thread(cfg.get('env_cfg', {}).get('mp_cfg', {}).get('opencv_num_threads', 0)):
        times = measure(arms, repeats, say=say)
    whole = times['whole pipeline']
    # one timing reads many batches; the report is per batch
    rows = [
        Row('loader', name, batch_size, seconds / len(indices), whole / seconds, 'x of the whole pipeline')
        for name, seconds in times.items()
    ]
    return rows, line
