"""Benchmark a pretraining config: masks, loader, step by part, choices, and all of it against a plain one."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import fsfm_mm  # noqa: F401  (first: filters import noise, registers everything)
from bench import (
    PlainOptions,
    Row,
    choice_rows,
    describe_machine,
    face_maps,
    loader_rows,
    mask_rows,
    mask_transform,
    plain_comparisons,
    random_batch,
    scaling,
    square_size,
    step_rows,
    text_report,
)
from fsfm_mm.files import write_atomically
from fsfm_mm.models.backbones.fused_attention_vit import ARCHS
from fsfm_mm.ops.precision import resolve_dtype

PARTS = ('masks', 'loader', 'step', 'choices')
#: Measured when asked for: against a plain implementation, and by batch, model and input size.
MORE_PARTS = ('plain', 'scaling')
COMPILED = {'none': (False,), 'blocks': (True,), 'both': (False, True)}
EPILOG = """\
Random pixels under masks of generated faces, so no data is needed; gradients are not accumulated. Functions are
timed in turns after a warm-up, and the median of the repeats counts. Ratios within one run mean more than times.

examples:
  python benchmarks/benchmark.py configs/fsfm/fsfm_demo.py
  python benchmarks/benchmark.py configs/fsfm/fsfm_vit-b_vggface2_400e.py --device cuda --batch-size 256 \\
      --compile both
  python benchmarks/benchmark.py CONFIG --parts loader --data-root data/my_faces --workers 8
  python benchmarks/benchmark.py configs/mae/mae_vit-b_vggface2_400e.py --arch tiny --parts step --dtype float32
  python benchmarks/benchmark.py configs/fsfm/fsfm_vit-b_vggface2_400e.py --parts plain,scaling --batch-size 8
All files of benchmarks/ for this machine: benchmarks/suite.py
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='pretraining config (FSFM or FaceMAE)')
    add('--batch-size', type=int, default=16, help='images a batch of the loader and the step [16]')
    add('--device', choices=['auto', 'cpu', 'cuda'], default='auto', help='auto: CUDA where there is one')
    add('--dtype', choices=['auto', 'float32', 'bfloat16'], help="precision [the config's]")
    add(
        '--compile',
        choices=list(COMPILED),
        default='none',
        help='compile the blocks; both: time without and with',
    )
    add('--arch', choices=list(ARCHS), help="backbone size instead of the config's")
    add('--repeats', type=int, default=5, help='timings of each function, of which the median counts [5]')
    add(
        '--min-seconds',
        type=float,
        default=0.05,
        help='length of one timing of a short function, seconds [0.05]',
    )
    add(
        '--parts',
        default=','.join(PARTS),
        help=f'what to measure, with commas; also {", ".join(MORE_PARTS)} [%(default)s]',
    )
    add('--pictures', type=int, default=256, help='faces that the loaders of the part plain read [256]')
    add('--workers', type=int, default=0, help='loader processes; 0: one core without processes [0]')
    add('--data-root', help="folder of the loader's data set instead of the config's")
    add('--threads', type=int, help="torch threads of the step [torch's default]")
    add(
        '--mask-batch', type=int, default=256, help='masks made at a time, from as many generated faces [256]'
    )
    add('--loader-batches', type=int, default=4, help='batches of one timing of the loader [4]')
    add('--matmul-size', type=int, help='side of the matrices that measure the peak [2048; 8192 on CUDA]')
    add('--out', help='JSON file to write [work_dirs/benchmark/<config name>.json]')
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Settle what depends on the machine, in place.

    Raises:
        ValueError: For a number below its range, an unknown part, or CUDA where there is none.
    """
    for name in (
        'batch_size',
        'repeats',
        'threads',
        'mask_batch',
        'loader_batches',
        'pictures',
        'matmul_size',
        'workers',
    ):
        value, low = getattr(args, name), 0 if name == 'workers' else 1
        if value is not None and value < low:
            raise ValueError(f'--{name.replace("_", "-")} must be at least {low}, found {value}')
    parts = args.parts.split(',')
    known = (*PARTS, *MORE_PARTS)
    if not set(parts) <= set(known):
        raise ValueError(f'--parts takes {", ".join(known)} with commas between them, found {args.parts!r}')
    args.parts = [part for part in known if part in parts]
    if 'plain' in parts and args.batch_size < 2:
        raise ValueError('--parts plain needs a --batch-size of at least 2, found 1')
    if args.device == 'auto':
        args.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('--device cuda: torch finds no CUDA device here')
    args.matmul_size = args.matmul_size or (8192 if args.device == 'cuda' else 2048)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the command line to it.

    Raises:
        ValueError: When there is no such file, or it is not a pretraining config with an
            AutocastOptimWrapper.
    """
    if not Path(args.config).is_file():
        raise ValueError(f'there is no config file {args.config}')
    cfg = Config.fromfile(args.config)
    kind = cfg.get('model', {}).get('type')
    if kind not in ('FSFM', 'FaceMAE'):
        raise ValueError(
            f'{args.config} is no pretraining config: its model must be FSFM or FaceMAE, found {kind}'
        )
    wrapper = cfg.get('optim_wrapper', {}).get('type')
    if wrapper != 'AutocastOptimWrapper':
        raise ValueError(f'{args.config}: optim_wrapper must be an AutocastOptimWrapper, found {wrapper}')
    cfg.optim_wrapper.dtype = args.dtype or cfg.optim_wrapper.get('dtype', 'auto')
    if args.arch:
        cfg.model.backbone.arch = args.arch
    if 'plain' in args.parts and kind != 'FSFM':
        raise ValueError(f'--parts plain compares FSFM models, but {args.config} is a {kind}')
    return cfg


def say(line: str) -> None:
    """A progress line, on stderr."""
    print(line, file=sys.stderr, flush=True)


def measure_part(
    part: str, args: argparse.Namespace, cfg: Config, maps: np.ndarray
) -> tuple[list[Row], list[str], dict[str, float]]:
    """Measure one of :data:`PARTS`; returns rows, notes and facts."""
    mask, patch_size = mask_transform(cfg), square_size(cfg)[1]
    repeats, least = args.repeats, args.min_seconds
    if part == 'masks':
        return mask_rows(mask, maps, patch_size, repeats, least, say), [], {}
    if part == 'loader':
        rows, line = loader_rows(
            cfg, args.batch_size, args.loader_batches, args.workers, args.data_root, repeats, say
        )
        return rows, [line], {}
    batch = random_batch(mask, maps, patch_size, args.batch_size)
    if part == 'step':
        compiled = COMPILED[args.compile]
        rows, facts = step_rows(cfg, batch, args.device, compiled, args.matmul_size, repeats, least, say)
        return rows, [], facts
    return choice_rows(cfg, batch, args.device, repeats, least, say), [], {}


def plain_options(args: argparse.Namespace) -> PlainOptions:
    """What of the command line the part 'plain' needs."""
    return PlainOptions(
        batch_size=args.batch_size,
        repeats=args.repeats,
        min_seconds=args.min_seconds,
        matmul_size=args.matmul_size,
        pictures=args.pictures,
        loader_batch=min(128, args.pictures),
        data_root=args.data_root,
        workers=args.workers or (os.cpu_count() or 1),
    )


def run(args: argparse.Namespace, cfg: Config) -> dict[str, Any]:
    """Measure what the command line asks for.

    Returns:
        ``config`` (its name), ``machine``, ``options``, ``notes``, ``facts`` (of the step), ``rows`` (see
        :class:`~bench.Row`), ``comparisons`` (with the plain implementation, see
        :class:`~bench.Comparison`) and ``scaling`` (see
        :class:`~bench.Scale`).
    """
    say(f'drawing {args.mask_batch} faces')
    maps = face_maps(args.mask_batch, square_size(cfg)[0])
    rows: list[Row] = []
    notes: list[str] = []
    facts: dict[str, float] = {}
    extras: dict[str, list] = dict(comparisons=[], scaling=[])
    for part in args.parts:
        say(f'{part} ...')
        start = time.monotonic()
        if part == 'plain':
            lines = plain_comparisons(cfg, maps, args.device, plain_options(args), say)
            extras['comparisons'] = [line.as_dict() for line in lines]
        elif part == 'scaling':
            extras['scaling'] = [scale.as_dict() for scale in scaling(cfg, args.device, say=say)]
        else:
            found, more_notes, more_facts = measure_part(part, args, cfg, maps)
            rows += found
            notes += more_notes
            facts |= more_facts
        say(f'{part}: {time.monotonic() - start:.0f} s')
    return report(args, cfg, rows, notes, facts) | extras


def report(
    args: argparse.Namespace, cfg: Config, rows: list[Row], notes: list[str], facts: dict[str, float]
) -> dict[str, Any]:
    """Everything that is printed and written; no paths and no host name."""
    hidden = ('config', 'data_root', 'out', 'dtype')
    dtype = resolve_dtype(cfg.optim_wrapper.dtype, args.device)
    options = {key: value for key, value in vars(args).items() if key not in hidden}
    return dict(
        config=Path(args.config).stem,
        machine=describe_machine(args.device),
        options={**options, 'dtype': str(dtype).removeprefix('torch.')},
        notes=notes,
        facts=facts,
        rows=[row.as_dict() for row in rows],
    )


def write_json(result: dict[str, Any], path: Path) -> None:
    """Write the result whole or not at all."""
    write_atomically(path, json.dumps(result, indent=1) + '\n')


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and write; returns the result."""
    args = parse_args(argv)
    try:
        check_args(args)
        cfg = load_config(args)
        if args.threads:
            torch.set_num_threads(args.threads)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            result = run(args, cfg)
    except ValueError as error:
        sys.exit(f'benchmark.py: {error}')
    print(text_report(result))
    path = Path(args.out or Path('work_dirs') / 'benchmark' / f'{result["config"]}.json')
    write_json(result, path)
    say(f'written: {path}')
    return result


if __name__ == '__main__':
    main()
