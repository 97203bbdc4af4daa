"""Draw what the masking strategies hide of given faces: pictures, a table and one HTML page.

FACES are folders with ``images/`` and ``parsing_maps/``, or single pictures whose map lies in ``parsing_maps/``
instead of ``images/``, or beside them as ``NAME.npy``. ``--generated N`` draws faces, so no data is needed.
"""

from __future__ import annotations

import argparse
import copy
import functools
import inspect
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

import fsfm_mm  # noqa: F401  (registers everything)
from fsfm_mm.datasets import FaceParsingDataset
from fsfm_mm.datasets.pretraining.archive_format import FOLDER as ARCHIVE
from fsfm_mm.datasets.transforms import (
    BuildPatchLabels,
    LoadFace,
    PatchMask,
    ResizeFace,
    mask_types,
)
from fsfm_mm.drawn import GeneratedFaces
from fsfm_mm.files import write_atomically
from fsfm_mm.regions import FACIAL_REGIONS
from fsfm_mm.registry import TRANSFORMS
from fsfm_mm.visualization import (
    HtmlPage,
    contact_sheet,
    draw_mask,
    hidden_shares,
    label_legend,
    overlay_labels,
)

EPILOG = """\
examples:
  python tools/visualization/show_masks.py --generated 4
  python tools/visualization/show_masks.py data/my_faces --num 8 --out work_dirs/masks
  python tools/visualization/show_masks.py data/my_faces --strategies CRFR-P --regions each
  python tools/visualization/show_masks.py --generated 4 --import my_masking --strategies CRFR-P LowerFaceMask
  python tools/visualization/show_masks.py --generated 4 --config configs/fsfm/fsfm_demo.py
"""


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
            f'there is no strategy {name!r}; known are {", ".join(known)} and every PatchMask that is '
            'registered in TRANSFORMS (--import MODULE loads yours).'
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
    one.strategy = functools.partial(masks, region=region)  # type: ignore[method-assign]
    return one


def from_config(path: str) -> tuple[PatchMask, dict[str, int]]:
    """The mask of a pretraining config, and its ``patch_size`` and ``size`` as far as it names them.

    Raises:
        ValueError: There is no such file, or its training data have no mask.
    """
    if not Path(path).is_file():
        raise ValueError(f'there is no config file {path}.')
    config = Config.fromfile(path)
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
    faces: Sequence[str], generated: int, count: int, size: int, patch_size: int, seed: int
) -> list[dict]:
    """Samples with ``img`` (BGR), ``parsing_map``, ``patch_labels`` and ``name``.

    Raises:
        ValueError: A face or its map is missing or unusable, or there is none at all.
    """
    steps: list[Any] = [ResizeFace(size), BuildPatchLabels(patch_size)]
    samples = []
    for path in faces:
        if Path(path).is_dir():
            _refuse_stored(Path(path))
            data: Any = FaceParsingDataset(path, pipeline=[LoadFace(), *steps])
            chosen = sorted({i * len(data) // count for i in range(min(count, len(data)))})
            samples += [data[i] for i in chosen]
        else:
            sample = LoadFace().transform(dict(img_path=path, map_path=str(map_of(Path(path)))))
            for step in steps:
                sample = step.transform(sample)
            samples.append(sample)
    if generated:
        drawn = GeneratedFaces(length=generated, img_size=size, seed=seed, pipeline=steps)
        samples += [drawn[i] for i in range(generated)]
    if not samples:
        raise ValueError('no faces: name a folder or pictures, or let some be drawn with --generated 4.')
    for sample in samples:
        place = Path(sample['img_path'])
        sample['name'] = place.name if place.suffix else str(place)  # drawn ones are 'generated/NUMBER'
    return samples


def _refuse_stored(folder: Path) -> None:
    stored = (folder / ARCHIVE).is_dir() or folder.name == ARCHIVE
    if stored and not (folder / 'images').is_dir():
        raise ValueError(
            f'{folder}: masks are drawn of files, but here the faces lie in {ARCHIVE}/: pass a folder with images/ '
            'and parsing_maps/, such as the one that it was packed from.'
        )


def map_of(picture: Path) -> Path:
    """The parsing map of a single picture; raises ValueError where there is none."""
    parts = list(picture.parts)
    tries = [picture.with_suffix('.npy')]
    if 'images' in parts[:-1]:
        place = len(parts) - 1 - parts[::-1].index('images')
        parts[place] = 'parsing_maps'
        tries = [Path(*parts).with_suffix(suffix) for suffix in ('.npy', '.png')] + tries
    for path in tries:
        if path.is_file():
            return path
    raise ValueError(f'{picture}: no parsing map; expected one of {", ".join(map(str, tries))}.')


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


def print_table(table: Sequence[tuple[str, dict[str, float]]]) -> None:
    """Print the statistics, regions as columns."""
    width = max(len('strategy'), *(len(name) for name, _ in table))
    columns = list(table[0][1])
    print('hidden patches in % of the region (a patch of several regions counts in each)')
    print('strategy'.ljust(width), *(column.rjust(10) for column in columns))
    for name, shares in table:
        print(name.ljust(width), *(_percent(shares[column]).rjust(10) for column in columns))


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
    page.text(
        'Grey: hidden. Orange with an outline: the covered region, hidden too, and counted by the region loss.'
    )
    page.legend(label_legend())
    for name, row in zip(names, rows):
        page.heading(name)
        page.figures(list(zip(row, columns)), lossless=True)
    page.heading('Hidden patches in % of the region')
    page.text('A patch of several regions counts in each.')
    page.table(
        ['strategy', *table[0][1]], [[name, *map(_percent, shares.values())] for name, shares in table]
    )
    page.write(path)


def chosen_strategies(args: argparse.Namespace) -> dict[str, PatchMask]:
    """Columns of the sheet; also takes ``patch_size`` and ``size`` from a config where they are not given."""
    for module in args.imports:
        import_modules_from_strings(module)
    chosen: dict[str, PatchMask] = {}
    sizes: dict[str, int] = {}
    for path in args.config:
        strategy, found = from_config(path)
        chosen[Path(path).stem] = strategy
        if sizes and found != sizes:
            raise ValueError(
                f'{path}: the configs differ in their sizes ({sizes} and {found}); draw them one by one.'
            )
        sizes = found
    args.patch_size = args.patch_size or sizes.get('patch_size', 16)
    args.size = args.size or sizes.get('size', 224)
    names = args.strategies if args.strategies else ([] if args.config else list(mask_types()))
    for name in names:
        title, strategy = build_strategy(name, args.mask_ratio)
        chosen[title] = strategy
    if args.regions == 'drawn':
        return chosen
    return {key: value for name, s in chosen.items() for key, value in with_each_region(name, s).items()}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('faces', nargs='*', help='folders of pretraining data, or pictures with maps')
    parser.add_argument('--generated', type=int, default=0, metavar='N', help='draw N faces')
    parser.add_argument('--num', type=int, default=6, help='faces of each folder, evenly spread [6]')
    parser.add_argument('--out', default='work_dirs/masks', help='folder to write [work_dirs/masks]')
    parser.add_argument(
        '--strategies', nargs='+', help='such as CRFR-P, or types in TRANSFORMS [all of the papers]'
    )
    parser.add_argument('--config', nargs='+', default=[], help='draw the masks of these configs')
    parser.add_argument(
        '--import', dest='imports', nargs='+', default=[], help='modules with strategies of yours'
    )
    parser.add_argument(
        '--regions',
        choices=['drawn', 'each'],
        default='drawn',
        help='CRFR: a drawn region, or a column for each',
    )
    parser.add_argument('--mask-ratio', type=float, default=0.75)
    parser.add_argument('--patch-size', type=int, help="side of a patch in pixels [16, or the config's]")
    parser.add_argument('--size', type=int, help="side of the faces in pixels [224, or the config's]")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--draws', type=int, default=50, help='masks of each face in the statistics [50]')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Draw and write; raises ValueError for what the user can mend."""
    for name in ('num', 'draws'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} must be 1 or more, found {getattr(args, name)}.')
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise ValueError(f'--out {out} is a file: name a folder.')
    strategies = chosen_strategies(args)
    samples = load_faces(args.faces, args.generated, args.num, args.size, args.patch_size, args.seed)
    rows = rows_of(samples, strategies, args.seed)
    table = statistics(samples, strategies, args.seed, args.draws)
    columns, names = ['face', 'parsing map', *strategies], [sample['name'] for sample in samples]
    sheet = contact_sheet(rows, columns, names)
    write_atomically(out / 'masks.png', cv2.imencode('.png', sheet[..., ::-1])[1].tobytes())
    about = (
        f'{len(samples)} faces of {args.size}x{args.size} pixels, patches of {args.patch_size}x{args.patch_size}; '
        f'seed {args.seed}; statistics over {args.draws} draws a face.'
    )
    write_page(out / 'masks.html', rows, columns, names, table, about)
    print_table(table)
    print(f'{out / "masks.png"}\n{out / "masks.html"}')


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    try:
        run(parse_args(argv))
    except (ValueError, ImportError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
