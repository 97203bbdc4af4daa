"""What masking strategies hide of given faces: samples, pictures, statistics and one HTML page."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.datasets import FaceParsingDataset
from fsfm_mm.datasets.pretraining.archive_format import FOLDER as ARCHIVE
from fsfm_mm.datasets.transforms import (
    BuildPatchLabels,
    LoadFace,
    PatchMask,
    ResizeFace,
    mask_types,
)
from fsfm_mm.regions import FACIAL_REGIONS
from fsfm_mm.registry import TRANSFORMS
from fsfm_mm.settings.reading import read_config
from fsfm_mm.text import did_you_mean, text_table
from fsfm_mm.visualization import (
    HtmlPage,
    draw_mask,
    hidden_shares,
    label_legend,
    mask_legend,
    overlay_labels,
)


def build_strategy(name: str, mask_ratio: float) -> tuple[str, PatchMask]:
    """Build a strategy by its name in the papers or in TRANSFORMS; returns the column's title with it.

    Raises:
        ValueError: Nothing of that name is registered, or it is no masking strategy.
    """
    known = {title: kind.__name__ for title, kind in mask_types().items()}
    titles = {re.sub('[^a-z]', '', title.lower()): title for title in known}
    title = titles.get(re.sub('[^a-z]', '', name.lower()), name)
    kind = known.get(title, title)
    if TRANSFORMS.get(kind) is None:
        raise ValueError(
            f'there is no strategy {name!r}{did_you_mean(name, known)}; known are {", ".join(known)} and '
            'every PatchMask that is registered in TRANSFORMS (--import MODULE loads yours).'
        )
    if not _is_mask(kind):
        raise ValueError(f'{name!r} is no masking strategy: expected a subclass of PatchMask.')
    try:
        return title, TRANSFORMS.build(dict(type=kind, mask_ratio=mask_ratio))
    except TypeError as error:
        raise ValueError(
            f'{name!r} cannot be built from a mask_ratio alone ({error}); draw it with --config.'
        ) from error


def with_each_region(name: str, strategy: PatchMask) -> dict[str, PatchMask]:
    """The strategy once for every region that it can cover; itself where it covers none."""
    if 'region' not in inspect.signature(strategy.strategy).parameters:
        return {name: strategy}
    return {f'{name}: {region}': _covering(strategy, i) for i, region in enumerate(FACIAL_REGIONS)}


def _covering(strategy: PatchMask, region: int) -> PatchMask:
    """A copy of a strategy with a region that is given instead of drawn."""
    one = copy.copy(strategy)
    masks: Any = strategy.strategy
    one.strategy = functools.partial(masks, region=region)
    return one


def from_config(path: str) -> tuple[PatchMask, dict[str, int]]:
    """The mask of a pretraining config, and its ``patch_size`` and ``size`` as far as it names them.

    Raises:
        ValueError: There is no such file, or its training data have no mask.
    """
    if not Path(path).is_file():
        raise ValueError(f'there is no config file {path}.')
    config = read_config(path)
    dataset = config.get('train_dataloader', {}).get('dataset', {})
    steps = [*dataset.get('pipeline', []), *([dataset['mask']] if dataset.get('mask') else [])]
    masks = [step for step in steps if _is_mask(step.get('type'))]
    if not masks:
        raise ValueError(
            f'{path}: train_dataloader.dataset has neither a mask nor a mask transform in its pipeline.'
        )
    sizes = {}
    for step in steps:
        if step.get('type') == 'BuildPatchLabels':
            sizes['patch_size'] = step.get('patch_size', 16)
        if step.get('type') in ('ResizeFace', 'RandomFaceCrop') and isinstance(step.get('size'), int):
            sizes['size'] = step['size']
    if 'img_size' in dataset:
        sizes.setdefault('size', dataset['img_size'])
    return TRANSFORMS.build(masks[-1]), sizes


def _is_mask(kind: Any) -> bool:
    found = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    return isinstance(found, type) and issubclass(found, PatchMask)


def load_faces(
    faces: Sequence[str],
    count: int,
    size: int,
    patch_size: int,
    drawn: Callable[[list], Sequence[dict]],
    parsed: Mapping[str, dict] | None = None,
) -> list[dict]:
    """Samples with ``img`` (BGR), ``parsing_map``, ``patch_labels`` and ``name``.

    Args:
        faces: Folders with ``images/`` and ``parsing_maps/``, pictures with a map, or keys of ``parsed``.
        count: Faces of each folder, evenly spread.
        size: Side of the faces in pixels.
        patch_size: Side of a patch in pixels.
        drawn: Function of a pipeline -> further samples, drawn ones.
        parsed: Photo -> its face, ``img``, ``parsing_map`` and ``img_path``.

    Raises:
        ValueError: A face or its map is missing or unusable, or there is none at all.
    """
    steps: list[Any] = [ResizeFace(size), BuildPatchLabels(patch_size)]
    samples = []
    for path in faces:
        if parsed and path in parsed:
            samples.append(_through(steps, dict(parsed[path])))
        elif Path(path).is_dir():
            _refuse_stored(Path(path))
            data: Any = FaceParsingDataset(path, pipeline=[LoadFace(), *steps])
            wanted = min(count, len(data))
            samples += [data[i * len(data) // wanted] for i in range(wanted)]
        else:
            place = map_of(Path(path))
            if place is None:
                raise ValueError(
                    f'{path}: has no parsing map beside it, nor in parsing_maps/ instead of images/.'
                )
            samples.append(_through([LoadFace(), *steps], dict(img_path=path, map_path=str(place))))
    samples += drawn(steps)
    if not samples:
        raise ValueError('no faces: name a folder or pictures, or let some be drawn with --generated 4.')
    for sample in samples:
        place = Path(sample['img_path'])
        sample['name'] = place.name if place.suffix else str(place)  # drawn ones are 'generated/NUMBER'
    return samples


def _through(steps: Sequence[Any], sample: dict) -> dict:
    for step in steps:
        sample = step.transform(sample)
    return sample


def _refuse_stored(folder: Path) -> None:
    stored = (folder / ARCHIVE).is_dir() or folder.name == ARCHIVE
    if stored and not (folder / 'images').is_dir():
        raise ValueError(
            f'{folder}: masks are drawn of files, but here the faces lie in {ARCHIVE}/: pass a folder with images/ '
            'and parsing_maps/, such as the one that it was packed from.'
        )


def map_of(picture: Path) -> Path | None:
    """The parsing map of a single picture: in ``parsing_maps/`` instead of ``images/``, or beside it; None for none."""
    parts = list(picture.parts)
    tries = [picture.with_suffix('.npy')]
    if 'images' in parts[:-1]:
        place = len(parts) - 1 - parts[::-1].index('images')
        parts[place] = 'parsing_maps'
        tries = [Path(*parts).with_suffix(suffix) for suffix in ('.npy', '.png')] + tries
    return next((path for path in tries if path.is_file()), None)


def draw_masks(strategy: PatchMask, samples: Sequence[dict], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks and region masks of one strategy, bool (N, L), through the transform that training uses."""
    np.random.seed(seed)  # the transforms take their randomness from numpy's global state
    done = strategy.transform_batch([{'patch_labels': sample['patch_labels']} for sample in samples])
    return np.stack([d['mask'] for d in done]), np.stack([d['region_mask'] for d in done])


def rows_of(samples: Sequence[dict], strategies: dict[str, PatchMask], seed: int) -> list[list[np.ndarray]]:
    """Pictures of each face: itself, its map, and each strategy."""
    rows = []
    for sample in samples:
        image = np.ascontiguousarray(sample['img'][..., ::-1])
        rows.append([image, overlay_labels(image, sample['parsing_map'])])
    grid = samples[0]['patch_labels'].shape
    for strategy in strategies.values():
        for row, mask, region in zip(rows, *draw_masks(strategy, samples, seed)):
            row.append(draw_mask(row[0], mask.reshape(grid), region.reshape(grid)))
    return rows


def statistics(
    samples: Sequence[dict], strategies: dict[str, PatchMask], seed: int, draws: int
) -> list[tuple[str, dict[str, float]]]:
    """Share of the patches that each strategy hides, of all and of each region, over several draws."""
    labels = np.stack([sample['patch_labels'] for sample in samples])
    table = []
    for name, strategy in strategies.items():
        masks = [draw_masks(strategy, samples, seed + draw)[0] for draw in range(draws)]
        mask = np.concatenate(masks)
        shares = hidden_shares(np.tile(labels, (draws, 1, 1)), mask)
        table.append((name, {'all': float(mask.mean()), **shares}))
    return table


def _percent(value: float) -> str:
    return '-' if math.isnan(value) else f'{100 * value:.1f}'


def _cells(table: Sequence[tuple[str, dict[str, float]]]) -> list[list[str]]:
    """Header and rows of the statistics as texts."""
    return [['strategy', *table[0][1]], *([name, *map(_percent, shares.values())] for name, shares in table)]


def print_table(table: Sequence[tuple[str, dict[str, float]]]) -> None:
    """Print the statistics, regions as columns."""
    print('hidden patches in % of the region (a patch of several regions counts in each)')
    print('\n'.join(text_table(_cells(table), gap=' ', least=(0, 10))))


def write_page(
    path: Path,
    rows: list[list[np.ndarray]],
    columns: list[str],
    names: list[str],
    table: Sequence[tuple[str, dict[str, float]]],
    about: str,
) -> None:
    """Write the HTML page."""
    page = HtmlPage('Masks')
    page.text(about)
    page.text('What the masks leave is visible. The parsing map tells the regions apart:')
    page.legend(mask_legend())
    page.legend(label_legend())
    for name, row in zip(names, rows):
        page.heading(name)
        page.figures(list(zip(row, columns)), lossless=True)
    page.heading('Hidden patches in % of the region')
    page.text('A patch of several regions counts in each.')
    header, *cells = _cells(table)
    page.table(header, cells)
    page.write(path)
