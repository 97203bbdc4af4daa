"""Near-duplicates among many pictures: within a set they waste time, between two splits they spoil results.

A perceptual hash finds candidates, small grey copies confirm them.

The hash is the usual 64-bit DCT hash. On its own it is not enough for face crops, which all have the same layout:
among a million portraits millions of pairs of *different* people are within 4 bits. So a candidate counts only
when two 16x16 grey copies also correlate. (Measured on 280 portraits: different people within 4 bits correlate
at 0.92 at most; recompressed, resized, blurred, brighter and darker copies at 0.985 or more.)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fsfm_mm.doctor.report import Report, Sample, number_of
from fsfm_mm.doctor.scanning import Scan

#: Most bits in which two near-duplicates differ.
MAX_BITS = 4
#: Least correlation of their grey copies.
MIN_CORRELATION = 0.97
#: Pictures whose grey copy deviates less than this have no content to compare.
FLAT = 2.0
#: Pairs that the page may show.
MAX_PAIRS = 200
#: The hash's bits are dealt out to so many bands; hashes within MAX_BITS agree in 2 of them or more.
_BANDS = 6


def near_pairs(hashes: np.ndarray) -> np.ndarray:
    """All pairs of hashes that differ in a few bits (:data:`MAX_BITS`), without comparing each with each.

    Every such pair agrees in two bands of bits at least, so for each two bands the hashes are sorted by
    these and only those that agree are compared.

    Args:
        hashes: uint64 (N,), all different.

    Returns:
        int64 (P, 2), first below second, sorted.
    """
    # bit k goes to band k % 6: neighbouring coefficients are alike, and a band of such would tell little
    masks = [sum(1 << k for k in range(band, 64, _BANDS)) for band in range(_BANDS)]
    found = [
        _agreeing(hashes, np.uint64(first | second)) for first, second in itertools.combinations(masks, 2)
    ]
    pairs = np.concatenate(found)
    # one number for a pair: sorting rows is ten times slower
    coded = np.unique(pairs[:, 0] * len(hashes) + pairs[:, 1])
    return np.stack(np.divmod(coded, max(len(hashes), 1)), axis=1)


def _agreeing(hashes: np.ndarray, mask: np.uint64) -> np.ndarray:
    """Pairs of few bits among the hashes that agree under a mask."""
    order = np.argsort(hashes & mask, kind='stable')
    ordered = hashes[order]
    keys = ordered & mask
    left = np.arange(len(keys) - 1)
    pairs = []
    for step in range(1, len(keys)):
        left = left[left < len(keys) - step]
        left = left[keys[left] == keys[left + step]]
        if not len(left):
            break
        close = left[np.bitwise_count(ordered[left] ^ ordered[left + step]) <= MAX_BITS]
        pairs.append(np.stack([order[close], order[close + step]], axis=1))
    return np.sort(np.concatenate(pairs), axis=1) if pairs else np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Lookalikes:
    """Near-duplicates among N pictures.

    Attributes:
        pairs: int64 (P, 2): pairs that connect the groups, not all pairs within them.
        group: int64 (N,): number of each picture's group; a picture without near-duplicates is alone in its own.
    """

    pairs: np.ndarray
    group: np.ndarray


def find_lookalikes(hashes: np.ndarray, thumbs: np.ndarray, owners: np.ndarray) -> Lookalikes:
    """Find near-duplicates.

    Args:
        hashes: uint64 (N,), see :func:`describe`.
        thumbs: uint8 (N, 256).
        owners: int (N,): pictures of one owner (frames of one video) are not compared; below 0 is left out.
    """
    from scipy.sparse import coo_array  # late: it takes a while to import
    from scipy.sparse.csgraph import connected_components

    used = np.flatnonzero((owners >= 0) & (thumbs.std(axis=1) >= FLAT))
    order = used[np.lexsort((owners[used], hashes[used]))]
    first = np.ones(len(order), bool)
    first[1:] = hashes[order[1:]] != hashes[order[:-1]]
    # equal hashes are chained, neighbour to neighbour; different ones are compared by the first of each
    chain = np.stack([order[:-1], order[1:]], axis=1)[~first[1:]]
    heads = order[first]
    pairs = np.concatenate([chain, heads[near_pairs(hashes[heads])]])
    pairs = pairs[owners[pairs[:, 0]] != owners[pairs[:, 1]]]
    pairs = np.sort(pairs[_correlation(thumbs, pairs) >= MIN_CORRELATION], axis=1)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(hashes),) * 2)
    return Lookalikes(pairs, connected_components(links, directed=False)[1].astype(np.int64))


def _correlation(thumbs: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlation of the grey copies of each pair, float (P,)."""
    result = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), 100_000):
        part = slice(start, start + 100_000)
        a, b = (thumbs[pairs[part, side]].astype(np.float32) for side in (0, 1))
        a -= a.mean(axis=1, keepdims=True)
        b -= b.mean(axis=1, keepdims=True)
        result[part] = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return result


def report_lookalikes(
    report: Report,
    names: Sequence[str],
    found: Scan,
    owners: np.ndarray,
    splits: np.ndarray | None,
) -> Lookalikes:
    """Report near-duplicates, and return them: an error between splits, a note within one.

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
    return alike


def _report_crossing(report: Report, names: Sequence[str], pairs: np.ndarray, splits: np.ndarray) -> None:
    """An error for every two splits that share pictures."""
    kinds = sorted({(str(splits[a]), str(splits[b])) for a, b in pairs.tolist()})
    seen: set[frozenset[str]] = set()
    for kind in kinds:
        if frozenset(kind) in seen:
            continue
        seen.add(frozenset(kind))
        chosen = [(a, b) for a, b in pairs.tolist() if {str(splits[a]), str(splits[b])} == set(kind)]
        advice = 'a model would be tested on what it was trained on; remove one of each pair.'
        between = f"of near-duplicates between '{kind[0]}' and '{kind[1]}': {advice}"
        shown = [f'{names[a]} = {names[b]}' for a, b in chosen]
        report.add_files('error', 'near-duplicates in two splits', shown, between, 'pair')
