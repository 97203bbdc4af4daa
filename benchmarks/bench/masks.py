"""Making masks: every strategy in every way, and CRFR-P against the plain implementation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.inputs import Bench
from bench.results import Line, comparison_of_times, row
from bench.timing import label
from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, PatchMask, mask_types
from fsfm_mm.ops.region_tables import num_masked, patch_labels
from plain import plain_masks

SINGLE = 'one by one, from tables'
MASK_TARGET = 100.0


def mask_rows(bench: Bench) -> list[Line]:
    """Time mask generation per strategy, on one thread, at the config's mask ratio.

    Returns:
        Rows of ``mask_batch`` images; the ratio is the speed over 'one by one' of the same strategy.
    """
    own, build = bench.mask, BuildPatchLabels(bench.patch_size)
    masks = {kind.__name__: kind(own.mask_ratio) for kind in mask_types().values()}
    masks.setdefault(type(own).__name__, own)

    def built() -> list[dict]:
        return [build(dict(parsing_map=parsing_map)) for parsing_map in bench.maps]

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
    times = bench.timer.measure(arms)
    rows = []
    for key, seconds in times.items():
        single = times.get((key[0], SINGLE))
        ratio = (single / seconds, 'x of one by one') if single else ()
        rows.append(row('masks', label(key), len(tables), seconds, *ratio))
    return rows


def mask_comparisons(bench: Bench) -> list[Line]:
    """CRFR-P masks a second, one thread."""
    maps, patch_size, mask = bench.maps, bench.patch_size, CRFRPMask(bench.mask.mask_ratio)
    tables, rng = patch_labels(maps, patch_size), np.random.default_rng(0)
    count = num_masked(tables[0].size, mask.mask_ratio)
    times = bench.timer.measure(
        {
            'plain': lambda: plain_masks(maps, patch_size, mask.mask_ratio, rng),
            'CRFR-P from the label table': lambda: mask.strategy(tables, count, rng),
            'CRFR-P from pixel maps': lambda: mask.strategy(patch_labels(maps, patch_size), count, rng),
        }
    )
    plain, images = times.pop('plain'), len(maps)
    note = f'one core, batch {images}; plain: from pixel maps, image by image'
    return [
        comparison_of_times('masks', name, plain, seconds, images, 'masks/s', target=target, note=note)
        for (name, seconds), target in zip(times.items(), (MASK_TARGET, None))
    ]
