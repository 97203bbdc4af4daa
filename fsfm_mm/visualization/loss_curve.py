"""The loss curve of a work directory."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.logging import print_log


def read_scalars(work_dir: str | Path) -> list[dict]:
    """Logged training scalars of all runs in a work directory, by iteration.

    Where a resumed run logged an iteration again, the later run counts. Lines that a killed run left
    half-written are passed over, with a note in the log.

    Args:
        work_dir: Directory with ``<timestamp>/vis_data/scalars.json`` of mmengine's local backend.

    Returns:
        Dictionaries with ``step`` (iteration, from 1) and the scalars; only those with a ``loss``.
    """
    by_step: dict[int, dict] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8').splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                print_log(
                    f'{path}: a line is cut off and left out (a run was killed while it wrote)', 'current'
                )
                continue
            if 'loss' in entry:
                by_step[entry['step']] = entry
    return [by_step[step] for step in sorted(by_step)]


def draw_loss_curve(scalars: list[dict], path: str | Path) -> None:
    """Draw every logged loss over iterations, with the learning rate on a second axis.

    Args:
        scalars: From :func:`read_scalars`.
        path: PNG to write.

    Raises:
        ValueError: Without any scalars.
    """
    from matplotlib.figure import Figure  # the object interface: no global state, no display

    if not scalars:
        raise ValueError('there are no logged losses to draw')
    steps = [entry['step'] for entry in scalars]
    names = dict.fromkeys(key for entry in scalars for key in entry if key.startswith('loss'))
    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.add_subplot()
    for name in names:
        width = 2.0 if name == 'loss' else 1.2
        axes.plot(steps, [entry.get(name, float('nan')) for entry in scalars], label=name, linewidth=width)
    axes.set(xlabel='iteration', ylabel='loss (weighted)')
    axes.grid(alpha=0.3)
    rate = axes.twinx()
    rate.plot(
        steps, [entry.get('lr', float('nan')) for entry in scalars], color='0.6', linestyle=':', label='lr'
    )
    rate.set_ylabel('learning rate')
    handles = [*axes.get_lines(), *rate.get_lines()]
    axes.legend(handles, [str(line.get_label()) for line in handles], loc='upper right')
    figure.savefig(path, dpi=120)
