"""Loaders and masks against the plain implementation."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from bench.comparison import Comparison
from bench.inputs import drain, mask_transform, one_thread, square_size
from bench.stored_pictures import read_faces, store
from bench.timing import measure
from fsfm_mm.datasets import dense_collate
from fsfm_mm.datasets.transforms import CRFRPMask, PatchMask
from fsfm_mm.ops.region_tables import num_masked, patch_labels
from fsfm_mm.registry import DATASETS
from fsfm_mm.statistics import resolve_stats
from plain import PlainCollate, PlainFaces, plain_masks

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
MASK_TARGET = 100.0


def batch_bytes(batch: dict) -> int:
    """Bytes of the tensors of a batch: what a worker hands to the main process."""
    return sum(value.nbytes for value in batch.values() if isinstance(value, torch.Tensor))


def our_dataset(kind: str, root: Path, mask: PatchMask, size: int, patch_size: int) -> Dataset:
    """The library's data set over one of the roots of :func:`~.stored_pictures.store`."""
    pipeline = [
        dict(type='LoadFace'),
        dict(type='ResizeFace', size=size, interpolation='bicubic'),
        dict(type='BuildPatchLabels', patch_size=patch_size),
        dict(type='PackFaces'),
    ]
    if kind.startswith('archive'):
        cfg = dict(type='ArchivedFaces', data_root=str(root), mask=mask, pipeline=pipeline)
        cfg['read_maps'] = kind == 'archive maps'
    else:
        cfg = dict(type='FaceParsingDataset', data_root=str(root), mask=mask, pipeline=pipeline)
        if kind == 'jpeg':
            cfg['label_table'] = str(root / 'label_table.npy')
    dataset = DATASETS.build(cfg)
    dataset.full_init()
    return dataset


def loader_comparisons(
    cfg: Config,
    count: int = 256,
    batch_size: int = 128,
    data_root: str | None = None,
    repeats: int = 5,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Images a second with masks on one core, and bytes handed over, from the same faces stored in four ways.

    Args:
        cfg: Gives sizes and mask ratio.
        count: Faces that are stored (in a temporary folder, read from the page cache) and read at each timing.
        batch_size: Images a batch.
        data_root: See :func:`~.stored_pictures.read_faces`.
        repeats: See :func:`measure`.
        say: Takes progress lines.
    """
    (size, patch_size), mask = square_size(cfg), CRFRPMask(mask_transform(cfg).mask_ratio)
    images = count // batch_size * batch_size
    with tempfile.TemporaryDirectory(prefix='fsfm_mm_benchmark_') as folder, one_thread(0):
        roots = store(read_faces(count, size, data_root), Path(folder), patch_size)
        plain = PlainFaces(roots['png'], size, *resolve_stats('vggface2'))
        loaders = {PLAIN: _loader(plain, batch_size, PlainCollate(patch_size, mask.mask_ratio))}
        for kind in TARGETS:
            dataset = our_dataset(kind, roots[kind], mask, size, patch_size)
            loaders[kind] = _loader(dataset, batch_size, dense_collate)
        arms = {name: functools.partial(drain, loader) for name, loader in loaders.items()}
        times = measure({**arms, DECODER: _decoder(roots['jpeg'], images)}, repeats, say=say)
        handed = {name: batch_bytes(next(iter(loader))) / batch_size for name, loader in loaders.items()}
    note = f'one core, batch {batch_size}, masks included, {"drawn" if data_root is None else "given"} faces'
    speed = {name: images / seconds for name, seconds in times.items()}
    lines = [
        Comparison('loader', name, 'images/s', speed[PLAIN], speed[kind], target, note=note)
        for kind, (name, target) in TARGETS.items()
    ]
    lines.append(
        Comparison(
            'loader', DECODER, 'images/s', speed[PLAIN], speed[DECODER], note='OpenCV, from memory; one core'
        )
    )
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


def _loader(dataset: Dataset, batch_size: int, collate: Callable) -> Iterable[dict]:
    order = BatchSampler(RandomSampler(dataset, generator=torch.Generator()), batch_size, drop_last=True)  # type: ignore[arg-type]
    return DataLoader(dataset, batch_sampler=order, collate_fn=collate)


def mask_comparisons(
    cfg: Config,
    maps: np.ndarray,
    repeats: int = 5,
    min_seconds: float = 0.05,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """CRFR-P masks a second, one thread.

    Args:
        cfg: Gives sizes and mask ratio.
        maps: Parsing maps (N, H, W), one batch.
        repeats: See :func:`measure`.
        min_seconds: See :func:`measure`.
        say: Takes progress lines.
    """
    patch_size, mask = square_size(cfg)[1], CRFRPMask(mask_transform(cfg).mask_ratio)
    rng = np.random.default_rng(0)
    tables = patch_labels(maps, patch_size)
    k = num_masked(tables[0].size, mask.mask_ratio)
    arms = {
        'plain': lambda: plain_masks(maps, patch_size, mask.mask_ratio, rng),
        'table': lambda: mask.strategy(tables, k, rng),
        'maps': lambda: mask.strategy(patch_labels(maps, patch_size), k, rng),
    }
    times = measure(arms, repeats, min_seconds=min_seconds, say=say)
    speed = {name: len(maps) / seconds for name, seconds in times.items()}
    note = f'one core, batch {len(maps)}; plain: from pixel maps, image by image'
    return [
        Comparison(
            'masks',
            'CRFR-P from the label table',
            'masks/s',
            speed['plain'],
            speed['table'],
            MASK_TARGET,
            note=note,
        ),
        Comparison('masks', 'CRFR-P from pixel maps', 'masks/s', speed['plain'], speed['maps'], note=note),
    ]
