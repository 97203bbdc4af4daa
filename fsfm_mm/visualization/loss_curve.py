"""The loss curve of a work directory: a panel for every loss, the validations and the learning rate."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.logging import print_log

from fsfm_mm.files import write_atomically
from fsfm_mm.files.broken import parse_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What the losses of ours are, beside their names.
MEANINGS = {
    'loss': 'what is minimised',
    'loss_rec': 'reconstruction of hidden patches',
    'loss_region': 'reconstruction of the covered region',
    'loss_sim': 'similarity to the target network',
}
#: Metrics of validations that are drawn: shares of 0..1, of the highest level that there is.
_METRICS = ('AUC', 'ACC', 'EER', 'HTER@target-EER')
_COLOURS = ('#1f77b4', '#d55e00', '#009e73', '#cc79a7')
#: From so many points on a running mean is drawn over the values.
_MANY = 60


def read_scalars(work_dir: str | Path) -> list[dict]:
    """Logged training scalars of all runs in a work directory, by iteration.

    Where a later run began, what earlier ones logged from there on is of a run that was given up, and left out. Lines
    that a killed run left half-written are passed over, with a note in the log.

    Args:
        work_dir: Directory with ``<timestamp>/vis_data/scalars.json`` of mmengine's local backend.

    Returns:
        Dictionaries with ``step`` (iteration, from 1) and the scalars; only those with a ``loss``.
    """
    return _by_step(work_dir, _is_of_training)


def read_validations(work_dir: str | Path) -> list[dict]:
    """Logged metrics of the validations of all runs, as :func:`read_scalars`.

    Returns:
        Dictionaries with ``step`` (iteration, or epoch in a run by epochs) and the metrics; ``val/loss`` is the loss.
    """
    return _by_step(work_dir, lambda entry: not _is_of_training(entry))


def _is_of_training(entry: dict) -> bool:
    """Whether a line is training's; mmengine logs a learning rate with these, and in loops not of ours 'loss' twice."""
    return 'loss' in entry and ('lr' in entry or 'data_time' not in entry)


def _by_step(work_dir: str | Path, wanted: Callable[[dict], bool]) -> list[dict]:
    by_step: dict[int, dict] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        found = {entry['step']: entry for entry in _entries(path) if wanted(entry)}
        begin = min(found, default=math.inf)
        by_step = {**{step: entry for step, entry in by_step.items() if step < begin}, **found}
    return [by_step[step] for step in sorted(by_step)]


def _entries(path: Path) -> Iterator[dict]:
    for line in path.read_bytes().splitlines():
        try:
            entry = parse_json(line, path)
        except ValueError:
            print_log(f'{path}: a line is cut off and left out (a run was killed while it wrote)', 'current')
            continue
        entry = {name: value for name, value in entry.items() if type(value) in (int, float)}
        if type(entry.get('step')) is int:
            yield entry


def draw_loss_curve(
    scalars: Sequence[dict],
    path: str | Path,
    iterations_per_epoch: float | None = None,
    validations: Sequence[dict] = (),
) -> None:
    """Draw every logged loss in a panel of its own, over iterations and epochs, and the learning rate.

    Args:
        scalars: From :func:`read_scalars`.
        path: PNG to write, whole or not at all.
        iterations_per_epoch: For a second axis above; None where it is not known.
        validations: From :func:`read_validations`, ``step`` in iterations: their loss is drawn beside the training's,
            their metrics in a panel.

    Raises:
        ValueError: Without any scalars.
    """
    from matplotlib.figure import Figure  # the object interface: no global state, no display

    if not scalars:
        raise ValueError('there are no logged losses to draw')
    names = dict.fromkeys(key for entry in scalars for key in entry if key.startswith('loss'))
    losses = sorted(names, key=lambda name: name != 'loss')  # the sum first
    metrics = _metrics(validations)
    count = len(losses) + bool(metrics) + 1
    # one below the other: what happens at an iteration is seen in all of them
    figure = Figure(figsize=(8, 1.75 * count + 1.2), layout='constrained')
    column = figure.subplots(count, sharex=True, squeeze=False).ravel().tolist()
    panels = iter(column)
    for name in losses:
        axes = next(panels)
        _plot(axes, scalars, name, _COLOURS[0], 'training')
        if name == 'loss':
            _plot(axes, validations, 'val/loss', _COLOURS[1], 'validation')
        meaning = f': {MEANINGS[name]}' if name in MEANINGS else ''
        _finish(axes, f'{name}{meaning}', 'loss')
        _scale(axes, [entry[name] for entry in scalars if name in entry])
    if metrics:
        axes = next(panels)
        for name, colour in zip(metrics, _COLOURS):
            _plot(axes, validations, name, colour, name)
        _finish(axes, 'validation', 'share')
        axes.set_ylim(-0.03, 1.03)
    axes = next(panels)
    _plot(axes, scalars, 'lr', '0.4', 'lr')
    _finish(axes, 'learning rate', 'lr')
    axes.yaxis.set_major_formatter('{x:g}')
    axes.set_ylim(bottom=0)
    last = max(entry['step'] for entry in [*scalars, *validations])
    axes.set_xlim(0, 1.02 * last)  # of all panels
    _name_axes(axes, iterations_per_epoch)
    figure.supxlabel(textwrap.fill(_caption(scalars, losses), 110), fontsize='small', color='0.3')
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format='png')
    write_atomically(path, picture.getvalue())


def _metrics(validations: Sequence[dict]) -> list[str]:
    """Names of the metrics to draw: those of videos where there are any."""
    known = dict.fromkeys(key for entry in validations for key in entry)
    found = [
        next((level + m for level in ('video/', '', 'frame/') if level + m in known), None) for m in _METRICS
    ]
    return [name for name in found if name is not None]


def _plot(axes: Axes, entries: Sequence[dict], name: str, colour: str, label: str) -> None:
    points = [(entry['step'], entry[name]) for entry in entries if name in entry]
    if not points:
        return
    steps, values = (np.array(column, dtype=float) for column in zip(*points))
    if len(points) < _MANY or name == 'lr':
        axes.plot(
            steps, values, color=colour, label=label, linewidth=1.4, marker='.' if len(points) < 30 else ''
        )
        return
    axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.35)
    place = np.arange(len(values))
    half = np.minimum(np.minimum(place, place[::-1]), len(points) // 20)  # as many on both sides, or it leans
    sums = np.cumsum(np.r_[0.0, values])
    means = (sums[place + half + 1] - sums[place - half]) / (2 * half + 1)
    axes.plot(steps, means, color=colour, label=label, linewidth=1.6)


def _finish(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, fontsize='medium', loc='left')
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if len(axes.get_legend_handles_labels()[0]) > 1:  # above the panel, where it hides nothing
        axes.legend(
            loc='lower right', bbox_to_anchor=(1, 1), ncols=4, fontsize='small', frameon=False, borderpad=0
        )


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where a loss falls so far that its end would be a line at the bottom."""
    from matplotlib.ticker import LogLocator, NullFormatter

    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > 20 * min(finite):
        axes.set_yscale('log')
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=7))
        axes.yaxis.set_major_formatter('{x:g}')
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel(f'{axes.get_ylabel()} (logarithmic)')


def _name_axes(lowest: Axes, iterations_per_epoch: float | None) -> None:
    """Iterations below the lowest panel, and epochs below these."""
    from matplotlib.ticker import MaxNLocator

    lowest.set_xlabel('iteration')
    lowest.xaxis.set_major_locator(MaxNLocator(integer=True))
    if iterations_per_epoch:
        length = iterations_per_epoch
        functions = (lambda x: np.asarray(x) / length, lambda x: np.asarray(x) * length)
        epochs = lowest.secondary_xaxis(-0.42, functions=functions)
        epochs.set_xlabel('epoch')
        epochs.xaxis.set_major_locator(MaxNLocator(integer=True))


def _caption(scalars: Sequence[dict], losses: Sequence[str]) -> str:
    sentences = [
        f'{len(scalars)} lines of the log up to iteration {scalars[-1]["step"]}.'
        ' Losses are means since the line before.'
    ]
    if len(losses) > 1:
        sentences.append('They are as weighted and add up to the first.')
    if len(scalars) >= _MANY:
        sentences.append('Thick: running mean.')
    return ' '.join(sentences)
