"""Shortcuts: what tells the classes of a set apart although it is no part of a face.

A small classifier on one property at a time, cross-validated over groups of pictures that belong together; the AUC of
what it says of pictures that it has not seen, with an interval over these groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from fsfm_mm.doctor.properties import PROPERTIES
from fsfm_mm.doctor.report import Report, Table
from fsfm_mm.evaluation.bootstrap import Interval, bootstrap_interval
from fsfm_mm.evaluation.functional import auc

#: An interval whose lower end is above this is a note: a model can learn something from the property ...
NOTED = 0.55
#: ... and above this a warning: it can learn a good part of its answers from it.
WARNED = 0.65
FOLDS = 5
#: Groups that each class must have.
MIN_GROUPS = 20
#: Pictures of a class and split that are measured at most, evenly spread.
MOST = 4000
#: Properties of up to so many numbers are cut into bins, so that any dependence is found, not only a rising one.
BINNED, BINS = 32, 8
RESAMPLES = 200
_RIDGE = 1.0


def chosen(splits: np.ndarray, labels: np.ndarray) -> frozenset[int]:
    """Numbers of the pictures to measure, of (n,) splits and labels."""
    found: set[int] = set()
    for split in np.unique(splits):
        for label in (0, 1):
            members = np.flatnonzero((splits == split) & (labels == label))
            count = min(len(members), MOST)
            found.update(members[np.arange(count) * len(members) // max(count, 1)].tolist())
    return frozenset(found)


def related(videos: Sequence[str], real: Sequence[bool]) -> list[list[str]]:
    """Owners of videos for :func:`joined`: a forgery is named as the real video it was made of, or begins with that.

    Args:
        videos: Their names with domain and class folder.
        real: Whether each is real.
    """
    names = [video.rpartition('/')[2] for video in videos]
    reals = {name for name, is_real in zip(names, real) if is_real}
    beginnings = [{name[: match.start()] for match in re.finditer('[_-]+', name)} & reals for name in names]
    return [
        [video, f'name {name}', *(f'name {start}' for start in sorted(starts))]
        for video, name, starts in zip(videos, names, beginnings)
    ]


def joined(owners: Sequence[Sequence[str]]) -> np.ndarray:
    """Groups of pictures that share an owner, directly or through others.

    Args:
        owners: Names of what each of n pictures belongs to: its video, a person.

    Returns:
        int (n,), number of the group.
    """
    from scipy.sparse import coo_array  # late: it takes a while to import
    from scipy.sparse.csgraph import connected_components

    known: dict[str, int] = {}
    links = [
        (i, len(owners) + known.setdefault(name, len(known))) for i, of in enumerate(owners) for name in of
    ]
    ends = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links), bool), (ends[0], ends[1])), shape=(len(owners) + len(known),) * 2)
    return connected_components(graph, directed=False)[1][: len(owners)].astype(np.int64)


def report_shortcuts(
    report: Report,
    properties: Sequence[tuple[np.ndarray, ...]],
    splits: np.ndarray,
    labels: np.ndarray,
    groupings: Sequence[np.ndarray],
) -> None:
    """Report how well each property alone tells the classes of each split apart.

    Args:
        report: Where to.
        properties: Of n pictures, see :func:`~fsfm_mm.doctor.properties.measure`.
        splits: Name of each picture's split, (n,).
        labels: 1 real, 0 fake, (n,).
        groupings: int (n,) each: groups that stay together in the cross-validation. The first of which each class has
            enough counts.
    """
    parts: dict[str, np.ndarray] = {}
    for groups in groupings:
        members = {str(name): np.flatnonzero(splits == name) for name in dict.fromkeys(splits.tolist())}
        whole = {'all': np.arange(len(labels))} if len(members) > 1 else {}
        parts = {name: part for name, part in members.items() if _enough(labels[part], groups[part])} or {
            name: part for name, part in whole.items() if _enough(labels, groups)
        }
        if parts:
            break
    title = 'what tells the classes apart beside the face: AUC of a small classifier on each property alone'
    if not parts:
        title = f'shortcuts were not looked for: that takes {MIN_GROUPS} videos of each class that are not related'
    rows: list[tuple[str, str, float, float, float]] = []
    for number, name in enumerate(PROPERTIES):
        for split, part in parts.items():
            values = np.stack([properties[index][number] for index in part.tolist()])
            rows.append((name, split, *separation(values, labels[part], groups[part])[:3]))
    report.tables.append(Table(title, ('property', 'split', 'AUC', 'from', 'to (95%)'), tuple(rows)))
    for name, what in PROPERTIES.items() if rows else ():
        of_name = [row for row in rows if row[0] == name]
        report.separations[name] = max(row[2] for row in of_name)
        told = [row for row in of_name if row[3] > NOTED]
        if told:
            where = ', '.join(f"{row[2]:.2f} in '{row[1]}' ({row[3]:.2f} to {row[4]:.2f})" for row in told)
            message = (
                f'{name} alone ({what}) tells real from fake, AUC {where}: a model may learn that and not the faces; '
                'prepare both classes alike.'
            )
            report.add('warning' if max(row[3] for row in told) > WARNED else 'note', 'shortcut', message)


def _enough(labels: np.ndarray, groups: np.ndarray) -> bool:
    return all(len(np.unique(groups[labels == label])) >= MIN_GROUPS for label in (0, 1))


def separation(values: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Interval:
    """How well a property alone tells two classes apart.

    Args:
        values: float (n, d), of n pictures.
        labels: 0 or 1, (n,).
        groups: int (n,): pictures of one number are in the same fold.

    Returns:
        AUC of pictures that were not learnt from, with its 95% interval.

    Raises:
        ValueError: A class is in fewer groups than there are folds.
    """
    folds = spread_folds(labels, groups)
    scores = np.zeros(len(labels))
    for fold in range(FOLDS):
        seen = folds != fold
        columns = _columns(values[seen])
        weights = fit_logistic(columns(values[seen]), labels[seen])
        scores[~seen] = columns(values[~seen]) @ weights
    return bootstrap_interval(auc, scores, labels, groups.astype(str).tolist(), num_resamples=RESAMPLES)


def spread_folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Number of the fold of each picture, int (n,): whole groups, the classes spread evenly, always the same."""
    names, units = np.unique(groups, return_inverse=True)
    shares = np.bincount(units, weights=labels) / np.bincount(units)
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(len(names)), shares))
    folds = np.empty(len(names), np.int64)
    folds[order] = np.arange(len(names)) % FOLDS
    return folds[units]


def _columns(seen: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What makes the classifier's inputs of values: standardised, and in bins or squared."""
    mean, std = seen.mean(axis=0), seen.std(axis=0)
    std = np.where(std > 1e-6, std, 1)
    edges = [np.unique(np.quantile(column, np.arange(1, BINS) / BINS)) for column in seen.T]

    def columns(values: np.ndarray) -> np.ndarray:
        scaled = np.clip((values - mean) / std, -5, 5)
        parts = [np.ones((len(values), 1)), scaled]
        if values.shape[1] > BINNED:
            parts.append(scaled**2 / 5)
        else:
            for column, cuts in zip(values.T, edges):
                parts += [(column[:, None] > cuts).astype(float), (column[:, None] >= cuts).astype(float)]
        return np.concatenate(parts, axis=1)

    return columns


def fit_logistic(inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights (d,) of a logistic regression with a ridge, classes weighted alike, by Newton's method.

    Args:
        inputs: float (n, d), the first column ones.
        labels: 0 or 1, (n,).
    """
    share = labels.mean()
    importance = np.where(labels == 1, 0.5 / share, 0.5 / (1 - share))
    weights = np.zeros(inputs.shape[1])
    ridge = np.full(len(weights), _RIDGE)
    ridge[0] = 1e-6
    for _ in range(12):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (importance * (chance - labels)) + ridge * weights
        curve = importance * chance * (1 - chance)
        step = np.linalg.solve((inputs * curve[:, None]).T @ inputs + np.diag(ridge), slope)
        weights -= step
        if abs(step).max() < 1e-3:
            break
    return weights
