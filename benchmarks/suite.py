"""Write all benchmark files of this machine: comparison, scaling table, single configs."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

TOOL = Path(__file__).with_name('benchmark.py')
CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'fsfm'
VIT_B = 'fsfm_vit-b_vggface2_400e.py'
#: Options by device, for about ten minutes on two CPU cores.
SIZES = {'cpu': ['--batch-size', '8', '--repeats', '3'], 'cuda': ['--batch-size', '256', '--repeats', '5']}


def runs(device: str, with_bf16: bool) -> dict[str, list[str]]:
    """Arguments of ``benchmark.py`` by the name of the file that they make.

    Args:
        device: 'cpu' or 'cuda'.
        with_bf16: Whether it computes bfloat16 in hardware.
    """
    vit_b = [str(CONFIGS / VIT_B), '--device', device, *SIZES[device]]
    extra = ['--compile', 'both'] if device == 'cuda' else []
    found = {'against_plain': [*vit_b, '--parts', 'plain'], 'scaling': [*vit_b, '--parts', 'scaling']}
    for dtype in ('float32', 'bfloat16') if with_bf16 else ('float32',):
        found[f'vit-b_{dtype}'] = [*vit_b, '--dtype', dtype, *extra]
    found['demo'] = [str(CONFIGS / 'fsfm_demo.py'), '--device', device]
    return found


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', help='folder of the machine kind, e.g. benchmarks/cpu-2cores')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument(
        '--data-root', help='faces in the published layout for the loaders; drawn ones without'
    )
    parser.add_argument('--only', help='names of files to write, with commas')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark once for each file, one process after the other."""
    from fsfm_mm.ops.precision import has_bf16

    args = parse_args(argv)
    jobs = runs(args.device, has_bf16(args.device))
    wanted = args.only.split(',') if args.only else list(jobs)
    if not set(wanted) <= set(jobs):
        sys.exit(f'suite.py: --only takes {", ".join(jobs)} with commas, found {args.only!r}')
    # threads that wait must sleep: spinning ones take the cores from whatever else is measured
    env = {**os.environ, 'OMP_WAIT_POLICY': 'PASSIVE'}
    for name in wanted:
        print(f'== {name}', flush=True)
        start = time.monotonic()
        command = [sys.executable, str(TOOL), *jobs[name], '--out', str(Path(args.out) / f'{name}.json')]
        if args.data_root and name != 'demo':
            command += ['--data-root', args.data_root]
        subprocess.run(command, env=env, check=True)
        print(f'== {name}: {time.monotonic() - start:.0f} s', flush=True)


if __name__ == '__main__':
    main()
