"""What all face data sets share: pipelines that run batch by batch, and one policy for broken files."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from fsfm_mm._startup import import_third_parties
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.files.stopping import NO_SHARED_MEMORY, StoppedError
from fsfm_mm.registry import TRANSFORMS

#: With ``on_broken='skip'``: so many broken samples in a row are a fault of the data set, not of a file.
MAX_BROKEN_RUN = 32

T = TypeVar('T')


def roots_of(data_root: str | os.PathLike | Sequence[str | os.PathLike], what: str = 'folder') -> list[str]:
    """The roots of a data set that has one or several, as texts; raises ValueError where there are none."""
    roots = [data_root] if isinstance(data_root, str | os.PathLike) else list(data_root)
    if not roots:
        raise ValueError(f'data_root must name at least one {what}, but is empty.')
    return [os.fspath(root) for root in roots]


def sample_key(dataset: Any, index: int) -> str:
    """What a sample is called: path or archive key, in any data set or mmengine's wrappers of some; else its number."""
    if hasattr(dataset, 'data_path'):
        return str(dataset.data_path(index))
    if hasattr(dataset, '_get_ori_dataset_idx'):
        inner = dataset._get_ori_dataset_idx(index)
        which, number = inner if isinstance(inner, tuple) else (None, inner)
        return sample_key(dataset.dataset if which is None else dataset.datasets[which], number)
    listed = dataset.get_data_info(index) if isinstance(dataset, BaseDataset) else {}
    return str(listed.get('img_path', index))


class FaceDataset(BaseDataset):
    """An mmengine dataset whose pipeline can work on whole batches and which never hides a broken file.

    Torch's DataLoader asks for a batch at once (``__getitems__``). The pipeline then runs transform by
    transform over the batch, and a transform with a method ``transform_batch(list) -> list`` gets all its
    samples together: that is how masks are made hundreds at a time. ``dataset[i]`` runs the same pipeline
    on one sample. (mmengine's wrappers such as ConcatDataset fetch sample by sample, which is slower only.)

    Args:
        on_broken: What to do with a sample that a reader refuses with a
            :class:`~fsfm_mm.datasets.transforms.BrokenSampleError`. 'error' raises it. 'skip' takes the
            next readable sample instead, logs the reason once a file, and counts: see
            :meth:`broken_files`. After 32 broken samples in a row 'skip' stops with an error, too.
        mask: Mask transform, e.g. ``dict(type='CRFRPMask', mask_ratio=0.75)``; it is put before the
            pipeline's last transform (the packing). An argument of its own so that a config swaps the
            strategy in one line; a mask transform written into ``pipeline`` does the same.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`. Its ``max_refetch`` has no effect: a
            transform that returns None is an error here.
    """

    def __init__(
        self,
        on_broken: str = 'error',
        mask: dict | Callable | None = None,
        pipeline: Sequence[dict | Callable] = (),
        **kwargs: Any,
    ) -> None:
        if on_broken not in ('error', 'skip'):
            raise ValueError(f"on_broken must be 'error' or 'skip', but is {on_broken!r}.")
        self.on_broken = on_broken
        self._broken: torch.Tensor | None = None
        steps = list(pipeline)
        if mask is not None:
            steps.insert(max(len(steps) - 1, 0), mask)
        steps = [_built(step) if isinstance(step, dict) else step for step in steps]
        super().__init__(pipeline=steps, **kwargs)

    def full_init(self) -> None:
        """List the samples, once; also makes the shared flags of the broken ones."""
        if not self._fully_initialized:
            super().full_init()
            self._reset_broken()

    def _reset_broken(self) -> None:
        # Shared memory, so that the main process sees what the workers met: one byte a sample.
        skips = self.on_broken == 'skip'
        try:
            self._broken = torch.zeros(len(self), dtype=torch.uint8).share_memory_() if skips else None
        except RuntimeError as error:
            raise StoppedError(f'{NO_SHARED_MEMORY}.') from error

    def get_subset_(self, indices: Sequence[int] | int) -> None:
        """Keep the samples ``indices`` only, see :class:`mmengine.dataset.BaseDataset`."""
        super().get_subset_(indices)
        self._reset_broken()

    def get_subset(self, indices: Sequence[int] | int) -> FaceDataset:
        """Return a dataset of the samples ``indices``, see :class:`mmengine.dataset.BaseDataset`."""
        subset = super().get_subset(indices)
        assert isinstance(subset, FaceDataset)
        subset._reset_broken()
        return subset

    def broken_files(self) -> list[str]:
        """Return the image paths of the samples left out so far, by all worker processes together."""
        if self._broken is None:
            return []
        return [self.data_path(index) for index in self._broken.nonzero().flatten().tolist()]

    def data_path(self, idx: int) -> str:
        """Return the image path of sample ``idx`` without reading anything else of it."""
        return super().get_data_info(idx)['img_path']

    def __getitem__(self, idx: int) -> dict:
        """Return sample ``idx`` after the pipeline.

        Raises:
            BrokenSampleError: A file of the sample is unusable and ``on_broken`` is 'error', or 'skip', and 32 samples
                in a row are broken.
            ValueError: A transform returned None.
        """
        self.full_init()
        return self._prepare(idx, self.pipeline.transforms)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[dict]:
        """Return the samples ``indices`` after the pipeline, run over the batch; errors as for one."""
        self.full_init()
        indices = list(indices)  # seeds this process where the batch is a SeededBatch
        transforms = self.pipeline.transforms
        samples = [self._prepare(idx, ()) for idx in indices]
        for depth, transform in enumerate(transforms):
            if hasattr(transform, 'transform_batch'):
                samples = _apply_batch(transform, samples)
            else:
                done = transforms[: depth + 1]
                samples = [self._step(transform, s, i, done) for s, i in zip(samples, indices)]
        return samples

    def _step(self, transform: Callable, sample: dict, idx: int, done: Sequence[Callable]) -> dict:
        try:
            return _apply(transform, sample)
        except BrokenSampleError:
            if self.on_broken == 'error':
                raise
            # Starts again from sample ``idx`` itself, which is rare, marks it and moves on to the next.
            return self._prepare(idx, done)

    def _prepare(self, idx: int, transforms: Sequence[Callable]) -> dict:
        """Run transforms on sample ``idx`` or, when broken ones are skipped, on the next readable one."""
        return self.first_readable(idx, lambda i: _apply_all(transforms, self.get_data_info(i)))

    def first_readable(self, idx: int, read: Callable[[int], T]) -> T:
        """Return ``read(idx)`` or, when broken samples are skipped, the same of the next readable one.

        Args:
            idx: Number of the sample.
            read: Called with the number of a sample.

        Raises:
            BrokenSampleError: The sample is unusable and ``on_broken`` is 'error'.
            BrokenSampleError: 'skip', and 32 samples tried one after the other are broken.
        """
        if self.on_broken == 'error':
            return read(idx)
        first: BrokenSampleError | None = None
        tried = 0
        for candidate in self._candidates(idx):
            try:
                return read(candidate)
            except BrokenSampleError as error:  # noqa: PERF203 - the first success ends the loop
                self._mark_broken(candidate, error)
                first = first or error
                tried += 1
        raise BrokenSampleError(
            f'{tried} samples in a row are broken, so none is left out; the first one: {first}'
        )

    def _candidates(self, idx: int) -> Iterable[int]:
        """Sample ``idx`` and those that may stand in for it, at most 32 together."""
        run = min(MAX_BROKEN_RUN, len(self))
        return (idx, *((idx + step) % len(self) for step in range(1, run)))

    def _mark_broken(self, idx: int, error: BrokenSampleError) -> None:
        assert self._broken is not None
        if not self._broken[idx]:
            self._broken[idx] = 1
            print_log(f'A broken sample is left out: {error}', logger='current', level=logging.WARNING)


def _built(step: dict) -> Callable:
    """A transform of a pipeline: ours, else mmpretrain's whatever the default scope is."""
    if step.get('type') in TRANSFORMS.module_dict:
        return TRANSFORMS.build(step)
    import_third_parties()
    return importlib.import_module('mmpretrain.registry').TRANSFORMS.build(step)


def _apply(transform: Callable, sample: dict) -> dict:
    sample = transform(sample)
    if sample is None:
        raise ValueError(f'The transform {transform} returned None instead of a sample.')
    return sample


def _apply_all(transforms: Sequence[Callable], sample: dict) -> dict:
    for transform in transforms:
        sample = _apply(transform, sample)
    return sample


def _apply_batch(transform: Any, samples: list[dict]) -> list[dict]:
    results = transform.transform_batch(samples)
    if len(results) != len(samples):
        raise ValueError(
            f'The transform {transform} returned {len(results)} samples for a batch of {len(samples)}.'
        )
    return results
