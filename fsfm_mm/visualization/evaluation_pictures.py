"""Pictures of an evaluation: ROC curves of several test sets, and score histograms."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fsfm_mm.evaluation.functional import auc, check_scores, fnr_on_fakes, fpr_on_reals, roc_curve
from fsfm_mm.files import write_atomically
from fsfm_mm.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of negative and positive class: told apart in any kind of colour vision, and in print.
_COLOURS = ('#d55e00', '#0072b2')


def draw_roc_curves(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: str | Path,
    log_x: bool = False,
    title: str = '',
    threshold: float | None = None,
) -> None:
    """Draw the ROC of every test set into one picture, the AUCs in its legend, and where a threshold puts the detector.

    Args:
        sets: Test set to scores P(real) (n,) and labels (n,), 1 real.
        path: PNG to write, whole or not at all.
        log_x: Logarithmic FPR axis, for operating points of few false positives.
        title: Above the picture, or empty.
        threshold: Marked on each curve, with the errors there in the legend; None marks none.

    Raises:
        ValueError: Without sets, or for one without both classes (the message names it).
    """
    from matplotlib.figure import Figure  # the object interface: no global state, no display

    if not sets:
        raise ValueError('there are no test sets to draw ROC curves of')
    lines = len(sets) + 1 + (threshold is not None)
    figure = Figure(figsize=(6.4, 5.8 + 0.2 * lines), layout='constrained')
    axes = figure.add_subplot()
    lowest = 1.0
    points: list[tuple[float, float, str]] = []
    for name, (scores, labels) in sets.items():
        try:
            curve = roc_curve(scores, labels)
        except ValueError as error:
            raise ValueError(f'test set {name!r}: {error}') from error
        lowest = min(lowest, 1 / np.sum(np.asarray(labels) == 0))
        label = f'{_plain(name)}: AUC {auc(scores, labels):.4f}'
        colour = f'C{len(axes.get_lines()) % 10}'
        if threshold is not None:
            misses = float(np.asarray(fnr_on_fakes(scores, labels, threshold)))
            alarms = float(np.asarray(fpr_on_reals(scores, labels, threshold)))
            label += f'; misses {misses:.1%}, false alarms {alarms:.1%}'
            points.append((misses, 1 - alarms, colour))
        axes.plot(curve.fpr, curve.tpr, linewidth=1.6, color=colour, label=label)
    chance = np.geomspace(1e-6, 1, 200) if log_x else np.linspace(0, 1, 2)
    axes.plot(chance, chance, color='0.6', linestyle=':', linewidth=1, label='chance')
    for x, y, colour in points:
        x = max(x, lowest / 2) if log_x else x  # no misses: at the left edge
        axes.plot(x, y, 'o', color=colour, markersize=8, markeredgecolor='white', zorder=3, clip_on=False)
    if points:
        marked = f'at the threshold {threshold:.4g}'
        axes.plot([], [], 'o', color='0.4', markersize=8, markeredgecolor='white', label=marked)
    if log_x:  # below one fake in all of them there is nothing to see
        axes.set_xscale('log')
    axes.set(
        xlabel='false positive rate: fakes taken for real (misses)',
        ylabel='true positive rate: reals taken for real (1 - false alarms)',
        xlim=(max(lowest / 2, 1e-6), 1) if log_x else (-0.01, 1.01),
        ylim=(-0.01, 1.01),
        title=_plain(title),
    )
    axes.grid(alpha=0.3, which='both' if log_x else 'major')
    figure.legend(loc='outside lower center', ncols=1, frameon=False)
    _save(figure, path)


def draw_score_histogram(
    scores: np.ndarray,
    labels: np.ndarray,
    path: str | Path,
    threshold: float | None = 0.5,
    class_names: Sequence[str] = ('fake', 'real'),
    bins: int = 50,
    title: str = '',
) -> None:
    """Draw how the scores of either class are distributed, with the decision threshold.

    Each class's bars sum to 1, so that a small class is seen beside a large one.

    Args:
        scores: P(positive) (n,), 0..1; one class may be missing.
        labels: 1 positive, 0 negative (n,).
        path: PNG to write, whole or not at all.
        threshold: Position of the line, None for no line.
        class_names: Of label 0 and label 1.
        bins: Bars over 0..1.
        title: Above the picture, or empty.

    Raises:
        ValueError: For wrong input or scores outside 0..1.
    """
    from matplotlib.figure import Figure  # the object interface: no global state, no display

    scores, labels = check_scores(scores, labels)
    class_names = [_plain(name) for name in class_names]
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            f'a score histogram needs scores within 0..1, found {scores.min():g}..{scores.max():g}'
        )
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.add_subplot()
    for label, (name, colour) in enumerate(zip(class_names, _COLOURS)):
        of_class = scores[labels == label]
        if of_class.size:
            axes.hist(
                of_class,
                bins=np.linspace(0, 1, bins + 1).tolist(),
                weights=np.full(of_class.size, 1 / of_class.size),
                color=colour,
                alpha=0.55,
                label=f'{name} ({of_class.size})',
            )
    if threshold is not None:
        axes.axvline(
            threshold,
            color='0.15',
            linestyle='--',
            linewidth=1.2,
            label=f'threshold {threshold:.4g}: below it taken for {class_names[0]}',
        )
    axes.set(
        xlabel=f'score: P({class_names[1]})',
        ylabel='share of the class',
        xlim=(-0.01, 1.01),
        title=_plain(title),
    )
    axes.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=3)  # inside, it would lie on some bars
    _save(figure, path)


def _plain(name: str) -> str:
    """A name as it is drawn: printable, and no formula between dollar signs."""
    return printable(name).replace('$', r'\$')


def _save(figure: Figure, path: str | Path) -> None:
    """Write a PNG whole or not at all."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format='png')
    write_atomically(path, picture.getvalue())
