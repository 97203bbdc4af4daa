"""Reporting near-duplicates: within a set they waste time, between two splits they spoil results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsfm_mm.doctor.lookalikes import find_lookalikes
from fsfm_mm.doctor.report import Report, Sample, number_of
from fsfm_mm.doctor.scanning import Scan

#: Pairs that the page may show.
MAX_PAIRS = 200


def report_lookalikes(
    report: Report,
    names: Sequence[str],
    found: Scan,
    owners: np.ndarray,
    splits: np.ndarray | None,
) -> None:
    """Report near-duplicates: an error between splits, a note within one.

    Args:
        report: Where to.
        names: Name of each picture.
        found: What reading them gave.
        owners: int (N,), number of each picture's video: frames of one are alike and not compared.
        splits: (N,) name of each picture's split; None where there are no splits.
    """
    owners = np.where(found.sizes[:, 0] > 0, owners, -1)
    alike = find_lookalikes(found.hashes, found.thumbs, owners)
    pairs = alike.pairs
    crossing = np.zeros(len(pairs), bool) if splits is None else splits[pairs[:, 0]] != splits[pairs[:, 1]]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], ~crossing))  # those between splits first, then by place
    pairs, crossing = pairs[order], crossing[order]
    for first, second in pairs[:MAX_PAIRS].tolist():
        report.lookalikes.append((Sample(names[first], first), Sample(names[second], second)))
    if splits is not None:
        _report_crossing(report, names, pairs[crossing], splits)
    within = pairs[~crossing]
    if len(within):
        groups: dict[int, list[int]] = {}
        for index in np.unique(within).tolist():
            groups.setdefault(int(alike.group[index]), []).append(index)
        count = sum(map(len, groups.values()))
        message = (
            f'{number_of(count, "picture")} in {number_of(len(groups), "group")} of near-duplicates'
            f'{"" if splits is None else " within a split"}: look at them, and delete what is there twice.'
        )
        largest = sorted(groups.values(), key=lambda group: (-len(group), group))
        report.add('note', 'near-duplicates', message, [' = '.join(names[i] for i in g) for g in largest])


def _report_crossing(report: Report, names: Sequence[str], pairs: np.ndarray, splits: np.ndarray) -> None:
    """An error for every two splits that share pictures."""
    kinds = sorted({(str(splits[a]), str(splits[b])) for a, b in pairs.tolist()})
    seen: set[frozenset[str]] = set()
    for kind in kinds:
        if frozenset(kind) in seen:
            continue
        seen.add(frozenset(kind))
        chosen = [(a, b) for a, b in pairs.tolist() if {str(splits[a]), str(splits[b])} == set(kind)]
        message = (
            f"{number_of(len(chosen), 'pair')} of near-duplicates between '{kind[0]}' and '{kind[1]}': a model would "
            'be tested on what it was trained on; remove one of each pair.'
        )
        report.add(
            'error', 'near-duplicates in two splits', message, [f'{names[a]} = {names[b]}' for a, b in chosen]
        )
