"""An order of samples that is random and yet reads shard after shard."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from fsfm_mm.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ShardSampler(Sampler[int]):
    """Shuffles shards, and samples within a window of a few shards.

    All samples in the order of the shuffled shards make one line, which is cut into equal stretches, one for
    each worker process of each rank. A worker goes through its own stretch window by window, in random order
    within a window. So it reads a few shards at a time and each shard once an epoch; only the shards at the two
    ends of a stretch are read by two workers. A DataLoader gives batch i to worker i % num_workers, and the
    order of indices follows that: with other numbers than the loader's every sample still comes once, from
    more shards at a time.

    The order is a function of seed and epoch, ranks and workers; each epoch has every sample once, apart from
    ``round_up``.

    Args:
        dataset: An :class:`~fsfm_mm.datasets.ArchivedFaces`.
        batch_size: The loader's, of one process.
        num_workers: The loader's.
        window: Shards whose samples are mixed, 1 or more.
        seed: Seed, the same in all processes; None agrees on a random one.
        shuffle: False keeps shards and samples in their order.
        infinite: True never ends (for mmengine's IterBasedTrainLoop): epoch follows epoch.
        round_up: Whether the first samples of an epoch come again so that all ranks have equally many.

    Raises:
        ValueError: The dataset has no shards, or a number is below its range.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        num_workers: int = 0,
        window: int = 8,
        seed: int | None = None,
        shuffle: bool = True,
        infinite: bool = False,
        round_up: bool = True,
    ) -> None:
        if not hasattr(dataset, 'shard_numbers'):
            raise ValueError(f'ShardSampler needs an ArchivedFaces data set, found {type(dataset).__name__}.')
        for name, value, low in (
            ('batch_size', batch_size, 1),
            ('num_workers', num_workers, 0),
            ('window', window, 1),
        ):
            if value < low:
                raise ValueError(f'{name} must be {low} or more, but is {value}.')
        self.rank, self.world_size = get_dist_info()
        numbers = dataset.shard_numbers()
        samples, counts = np.argsort(numbers, kind='stable'), np.unique(numbers, return_counts=True)[1]
        self._shards = np.split(samples, np.cumsum(counts)[:-1])
        self._total = len(samples)
        self.batch_size, self.workers, self.window = batch_size, max(num_workers, 1), window
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle, self.infinite, self.round_up = shuffle, infinite, round_up
        self.epoch = self._skipped = 0

    def __iter__(self) -> Iterator[int]:
        """Yield indices, of one epoch or of all; from where :meth:`skip` has put it."""
        start, self._skipped = self._skipped, 0
        first, start = divmod(start, len(self)) if self.infinite else (0, start)
        for turn in itertools.count(first) if self.infinite else (first,):
            yield from map(int, self._epoch(turn)[start:])
            start = 0

    def __len__(self) -> int:
        """Indices of one epoch for this process, also where they do not end there."""
        return len(range(*self._share()))

    def set_epoch(self, epoch: int) -> None:
        """Take the order of ``epoch``."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Let the next iteration begin after ``num_samples`` indices of this process (mmengine's contract).

        Args:
            num_samples: Counted from the start of the epoch, or of the endless stream; 0 or more.

        Raises:
            ValueError: The number is negative.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples must be 0 or more, but is {num_samples}.')
        self._skipped = num_samples

    def _share(self) -> tuple[int, int]:
        """This rank's stretch of the line: first place and the one after its last, which wraps around."""
        total = self._total
        if self.round_up:
            share = -(-total // self.world_size)
            return self.rank * share, (self.rank + 1) * share
        return self.rank * total // self.world_size, (self.rank + 1) * total // self.world_size

    def _epoch(self, turn: int) -> np.ndarray:
        """Indices of this process, int64, in the epoch after ``turn`` epochs of the stream."""
        epoch, (begin, last) = self.epoch + turn, self._share()
        order = np.arange(len(self._shards))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        # the last stretch goes on at the start of the line
        shards = [self._shards[number] for number in order] * -(-last // self._total)
        line, ends = np.concatenate(shards), np.cumsum([len(shard) for shard in shards])
        # batches count from the start of the stream, not of the epoch
        workers = (turn * len(self) + np.arange(len(self))) // self.batch_size % self.workers
        indices = np.empty(len(self), np.int64)
        for worker in range(self.workers):
            mine = workers == worker
            end = begin + int(mine.sum())
            borders = ends[(ends > begin) & (ends < end)][self.window - 1 :: self.window]
            windows = np.split(line[begin:end], borders - begin)
            if self.shuffle:
                key = [self.seed, epoch, self.rank, worker]
                windows = [
                    np.random.default_rng([*key, number]).permutation(window)
                    for number, window in enumerate(windows)
                ]
            indices[mine] = np.concatenate(windows)
            begin = end
        return indices
