"""Making masks: every strategy in every way, and CRFR-P against the plain implementation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mmengine.config import Config

from bench.inputs import mask_transform, square_size
from bench.results import Comparison, Row
from bench.timing import Timer, label
from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, PatchMask
from fsfm_mm.ops.region_tables import num_masked, patch_labels
from fsfm_mm.registry import TRANSFORMS
from plain import plain_masks

#: The strategies of the paper; a config's own is added to them.
STRATEGIES = ('RandomMask', 'FaskingMask', 'FRPMask', 'CRFRRMask', 'CRFRPMask')
SINGLE = 'one by one, from tables'
MASK_TARGET = 100.0


def mask_rows(cfg: Config, maps: np.ndarray, timer: Timer) -> list[Row]:
    """Time mask generation per strategy, on one thread.

    Args:
        cfg: A pretraining config: its mask's ratio serves all, and its mask is timed too.
        maps: Parsing maps, int8 (N, H, W); N of them are one batch.
        timer: How it is timed.

    Returns:
        Rows of N images each; the ratio is the speed over 'one by one' of the same strategy.
    """
    own, build = mask_transform(cfg), BuildPatchLabels(square_size(cfg)[1])
    masks = {name: TRANSFORMS.build(dict(type=name, mask_ratio=own.mask_ratio)) for name in STRATEGIES}
    masks.setdefault(type(own).__name__, own)

    def built() -> list[dict]:
        return [build(dict(parsing_map=parsing_map)) for parsing_map in maps]

    def ways(mask: PatchMask) -> dict[str, Callable[[], object]]:
        return {
            'batch, from tables': lambda: mask.strategy(tables, count, rng),
            SINGLE: lambda: [mask(dict(patch_labels=table)) for table in tables],
            'batch, from maps': lambda: mask.transform_batch(built()),
        }

    tables = np.stack([sample['patch_labels'] for sample in built()])
    count, rng = num_masked(tables[0].size, own.mask_ratio), np.random.default_rng(0)
    arms: dict[tuple[str, str], Callable[[], object]] = {('BuildPatchLabels', 'map to label table'): built}
    for name, mask in masks.items():
        arms |= {(name, way): function for way, function in ways(mask).items()}
    times = timer.measure(arms)
    rows = []
    for key, seconds in times.items():
        single = times.get((key[0], SINGLE))
        ratio = (single / seconds, 'x of one by one') if single else ()
        rows.append(Row('masks', label(key), len(maps), seconds, *ratio))
    return rows


def mask_comparisons(cfg: Config, maps: np.ndarray, timer: Timer) -> list[Comparison]:
    """CRFR-P masks a second, one thread.

    Args:
        cfg: Gives sizes and mask ratio.
        maps: Parsing maps (N, H, W), one batch.
        timer: How it is timed.
    """
    patch_size, mask = square_size(cfg)[1], CRFRPMask(mask_transform(cfg).mask_ratio)
    rng = np.random.default_rng(0)
    tables = patch_labels(maps, patch_size)
    count = num_masked(tables[0].size, mask.mask_ratio)
    arms: dict[str, Callable[[], object]] = {
        'plain': lambda: plain_masks(maps, patch_size, mask.mask_ratio, rng),
        'CRFR-P from the label table': lambda: mask.strategy(tables, count, rng),
        'CRFR-P from pixel maps': lambda: mask.strategy(patch_labels(maps, patch_size), count, rng),
    }
    times = timer.measure(arms)
    note = f'one core, batch {len(maps)}; plain: from pixel maps, image by image'
    return [
        Comparison.of_times(
            'masks', name, times['plain'], times[name], len(maps), unit='masks/s', target=target, note=note
        )
        for name, target in zip(list(arms)[1:], (MASK_TARGET, None))
    ]
