"""Randomness of the data as a function of seed, process and iteration, whoever loads the batch and when.

The state of a random generator depends on everything drawn before: on how many workers there are, how far they
read ahead, whether a run was stopped. Here every batch carries a key instead, and seeds the process that loads it.
So any number of workers gives the same batches, and a run that goes on at iteration k needs nothing of what
came before.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from torch.utils.data import DataLoader, Sampler

#: First word of a key: the data and the model of one iteration draw different numbers.
DATA, MODEL = 0, 1
#: So many batches back a sampler knows which samples they were of.
REMEMBERED = 1024


def seed_process(*key: int) -> None:
    """Seed Python's, numpy's and torch's global generators of this process, and of the current GPU.

    Takes less than a tenth of a millisecond and does not wait for a device.

    Args:
        key: Any numbers, 0 or more; keys that differ in one of them give unrelated sequences.
    """
    words = np.random.SeedSequence(key).generate_state(8)
    random.seed(words[:2].tobytes())
    np.random.seed(words[2:6])
    # torch.manual_seed would also queue a stack trace for GPUs that are not in use, which is slow
    seed = int(words[6]) << 31 ^ int(words[7])
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


class SeededBatch(list):
    """Sample indices of a batch; the first to go through them, in a worker or not, is seeded by the key.

    Args:
        indices: Of the samples.
        key: See :func:`seed_process`; None seeds nothing.
    """

    def __init__(self, indices: Iterable[int], key: tuple[int, ...] | None) -> None:
        super().__init__(indices)
        self.key = key

    def __iter__(self) -> Iterator[int]:
        if self.key is not None:
            key, self.key = self.key, None
            seed_process(*key)
        return super().__iter__()

    def __reduce__(self) -> tuple[type, tuple]:
        # a list's own way goes through its items, which would seed the process that only sends them on
        return SeededBatch, (self[:], self.key)


class SeededBatchSampler(Sampler[list[int]]):
    """The batches of another batch sampler, each with its key, from any place on.

    Args:
        batches: A batch sampler, e.g. of a DataLoader.
        seed: 0 or more; the same on all processes, which add their rank.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self.batches = batches
        self.seed = seed
        self.rank = get_rank()
        self._next = (0, 0)
        self._drawn: deque[tuple[int, list[int]]] = deque(maxlen=REMEMBERED)

    def start_at(self, batch: int, iteration: int) -> None:
        """Say where the next pass begins; passes after it begin at 0 again.

        Args:
            batch: So many batches of the pass are left out: their indices are drawn, nothing is loaded.
            iteration: Number of the first batch in the run, which its key is made of.
        """
        self._next = (batch, iteration)

    def __iter__(self) -> Iterator[list[int]]:
        (skip, first), self._next = self._next, (0, 0)
        for number, indices in enumerate(itertools.islice(self.batches, skip, None), first):
            self._drawn.append((number, indices))
            yield SeededBatch(indices, (DATA, self.seed, self.rank, number))

    def indices_of(self, iteration: int) -> list[int]:
        """The samples of a batch that was drawn lately, in this process; empty where that is not known."""
        return next((list(indices) for number, indices in self._drawn if number == iteration), [])

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def sampler(self) -> Any:
        """The sampler of single indices."""
        return self.batches.sampler

    @property
    def batch_size(self) -> int:
        """Samples in a batch."""
        return self.batches.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether a last batch that is not full is left out."""
        return self.batches.drop_last


def seed_batches(loader: DataLoader, seed: int) -> None:
    """Let a DataLoader that nobody has begun to read give seeded batches.

    Args:
        loader: Of a data set with indices; the only change is its ``batch_sampler``.
        seed: See :class:`SeededBatchSampler`.
    """
    seeded = SeededBatchSampler(loader.batch_sampler, seed)
    # torch forbids this by name, since readers at work would not notice; here there are none yet
    object.__setattr__(loader, 'batch_sampler', seeded)
