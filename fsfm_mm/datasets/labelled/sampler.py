"""Balanced batches: equally many samples of every domain and class."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import DataLoader, Sampler

from fsfm_mm.datasets.labelled.splits import entries_of
from fsfm_mm.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class DomainBalancedSampler(Sampler[int]):
    """Sample indices such that each batch has ``per_group`` samples of every (domain, class).

    Face anti-spoofing (FSFM's recipe): 12 of each. The groups take turns, index by index, so any batch size
    that is a multiple of their number gives balanced batches; ``per_group`` times their number is the one to
    set. A group is a stream of permutations of its samples, one after the other, of which every process takes
    its share: processes see different samples until a group is used up, small groups begin again, and no
    sample comes twice as often as another of its group.

    By default the indices never end, for mmengine's IterBasedTrainLoop, which resumes with :meth:`skip`.

    Args:
        dataset: A labelled data set, or mmengine's ConcatDataset of some.
        per_group: Samples of each group in a batch of one process.
        batch_size: Batch size of the DataLoader, to be checked against ``per_group``; or with
            ``per_group=None`` to be shared out among the groups. The sampler cannot see it by itself.
        seed: Seed, the same in all processes; None agrees on a random one.
        shuffle: False takes each group in its order in the data set.
        infinite: False ends after one epoch: when the largest group has been seen once.
        round_up: With ``infinite=False``, whether the last batch is filled up (each sample comes at least once)
            or left out.
        group_by: The keys of an entry that make the groups.

    Raises:
        ValueError: ``batch_size`` does not fit, or a domain lacks a class that another has.
    """

    def __init__(
        self,
        dataset: Any,
        per_group: int | None = 12,
        batch_size: int | None = None,
        seed: int | None = 0,
        shuffle: bool = True,
        infinite: bool = True,
        round_up: bool = True,
        group_by: Sequence[str] = ('domain', 'class_name'),
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.groups = group_indices(dataset, group_by)
        self.per_group = _per_group(per_group, batch_size, list(self.groups))
        self.batch_size = self.per_group * len(self.groups)
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle, self.infinite, self.round_up = shuffle, infinite, round_up
        self.epoch = self._skipped = 0

    def __iter__(self) -> Iterator[int]:
        """Yield indices: forever, or for one epoch; from where :meth:`skip` has put it."""
        start, self._skipped = self._skipped, 0
        streams = [self._stream(number, start) for number in range(len(self.groups))]
        positions = itertools.count(start) if self.infinite else range(start, self._epoch_length())
        for position in positions:
            yield next(streams[position % len(streams)])

    def _stream(self, number: int, start: int) -> Iterator[int]:
        """Indices of one group for this process, after ``start`` samples of all groups together."""
        members = list(self.groups.values())[number]
        # of this group, this process has taken so many of the first ``start`` indices
        taken = (start - number + len(self.groups) - 1) // len(self.groups)
        done = -1
        for place in itertools.count(taken * self.world_size + self.rank, self.world_size):
            turn, offset = divmod(place, len(members))
            if turn != done:
                order, done = self._order(number, turn, len(members)), turn
            yield int(members[order[offset]])

    def _order(self, number: int, turn: int, size: int) -> np.ndarray:
        """Permutation of a group in its pass ``turn``: a function of its own numbers, so skipping costs nothing."""
        if not self.shuffle:
            return np.arange(size)
        return np.random.default_rng([self.seed, self.epoch, number, turn]).permutation(size)

    def _epoch_length(self) -> int:
        largest = max(len(members) for members in self.groups.values())
        share = self.per_group * self.world_size
        batches = -(-largest // share) if self.round_up else largest // share
        return batches * self.batch_size

    def skip(self, num_samples: int) -> None:
        """Let the next iteration begin after ``num_samples`` indices of this process (mmengine's contract).

        Args:
            num_samples: Counted from the start of the stream, 0 or more; costs nothing.

        Raises:
            ValueError: The number is negative.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples must be 0 or more, but is {num_samples}.')
        self._skipped = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Take other permutations, those of ``epoch``."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Indices of one epoch for this process, also where they do not end there."""
        return self._epoch_length()


def group_indices(
    dataset: Any, group_by: Sequence[str] = ('domain', 'class_name')
) -> dict[tuple, np.ndarray]:
    """Sort the samples of a data set into groups, without reading images.

    Args:
        dataset: See :func:`~fsfm_mm.datasets.labelled.splits.entries_of`.
        group_by: Keys of an entry.

    Returns:
        Group -> indices of its samples, int64; groups in sorted order.

    Raises:
        ValueError: A combination of the keys' values has no sample (a domain without real faces): batches of
            what there is would not be balanced.
    """
    found: dict[tuple, list[int]] = defaultdict(list)
    for index, entry in enumerate(entries_of(dataset)):
        found[tuple(entry[key] for key in group_by)].append(index)
    if not found:
        raise ValueError('The data set is empty, so there is nothing to balance.')
    values = [sorted({group[k] for group in found}) for k in range(len(group_by))]
    for group in itertools.product(*values):
        if group not in found:
            what = ', '.join(f'{key} {value!r}' for key, value in zip(group_by, group))
            raise ValueError(
                f'No samples with {what}, so batches cannot be balanced (groups: {sorted(found)}).'
            )
    return {group: np.array(found[group]) for group in sorted(found)}


def _per_group(per_group: int | None, batch_size: int | None, groups: Sequence[tuple]) -> int:
    """Samples of each group in a batch."""
    names = f'{len(groups)} groups {groups}'
    if per_group is None:
        if batch_size is None or batch_size < 1 or batch_size % len(groups):
            raise ValueError(f'batch_size {batch_size} cannot be shared out equally among {names}.')
        return batch_size // len(groups)
    if per_group < 1:
        raise ValueError(f'per_group must be 1 or more, but is {per_group}.')
    if batch_size is not None and batch_size != per_group * len(groups):
        raise ValueError(
            f'batch_size must be {per_group * len(groups)} = per_group {per_group} * {names}, but is {batch_size}.'
        )
    return per_group


def check_balanced_loader(loader: DataLoader) -> None:
    """Check that a DataLoader with a :class:`DomainBalancedSampler` makes the batches that the sampler means.

    Args:
        loader: Any DataLoader; one with another sampler passes.

    Raises:
        ValueError: Its batch size is not ``per_group`` times the number of groups.
    """
    sampler = loader.sampler
    if isinstance(sampler, DomainBalancedSampler):
        size = getattr(loader.batch_sampler, 'batch_size', None)
        _per_group(sampler.per_group, size, list(sampler.groups))
