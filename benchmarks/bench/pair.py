"""The library's training step beside the plain one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config

from bench.training_step import MOMENTUM, TrainingStep, build_step
from fsfm_mm.models.layers import Block
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.structures import PretrainBatch
from plain import PlainFSFM, PlainTraining

#: Functions by the implementation that they run.
Arms = dict[str, Callable[[], object]]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute with so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def checkpointing(model: torch.nn.Module) -> Iterator[None]:
    """Checkpoint the activations of every block for a while."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    before = [block.with_cp for block in blocks]
    for block in blocks:
        block.with_cp = True
    try:
        yield
    finally:
        for block, value in zip(blocks, before):
            block.with_cp = value


class Pair:
    """The library's training step and the plain one, with the same weights, batch and precision.

    Args:
        cfg: A pretraining config of FSFM with the paper's losses.
        batch: Input of both, two images or more.
        device: Where they run.
        dtype: 'float32' or 'bfloat16'.
    """

    def __init__(self, cfg: Config, batch: PretrainBatch, device: torch.device | str, dtype: str) -> None:
        cfg = copy.deepcopy(cfg)
        cfg.optim_wrapper.dtype = dtype
        self.dtype = resolve_dtype(dtype, device)
        self.ours: TrainingStep = build_step(cfg, batch, device)
        model = self.ours.model
        self.plain = PlainTraining(PlainFSFM(model), momentum=MOMENTUM, dtype=self.dtype)
        # the plain loader normalises in its workers, so its batch is floats
        images = model.data_preprocessor.normalise(batch['inputs'].to(device)).cpu()
        self.plain_batch = dict(image=images, mask=batch['mask'], region_mask=batch['region_mask'])
        self.images = len(batch['mask'])

    @property
    def precision(self) -> str:
        """Name of the dtype."""
        return str(self.dtype).removeprefix('torch.')

    def take(self, count: int) -> Pair:
        """The same pair on the first images of the batch."""
        fewer = copy.copy(self)
        fewer.ours, fewer.images = self.ours.take(count), count
        fewer.plain_batch = {key: value[:count] for key, value in self.plain_batch.items()}
        return fewer

    def whole(self) -> Arms:
        """One training step of each."""
        return {'ours': self.ours.whole, 'plain': lambda: self.plain.step(self.plain_batch)}

    def checkpointed(self) -> None:
        """One training step of the library with activation checkpointing."""
        with checkpointing(self.ours.model):
            self.ours.whole()

    def updates(self) -> dict[str, Arms]:
        """What comes after the gradients: together, and by part."""
        ours, plain = self.ours, self.plain
        groups = ours.optim.optimizer.step, plain.optimizer.step

        def both() -> None:
            ours.optim.step()
            ours.update_target()

        wrapped = [ours.with_gradients(both), plain.with_gradients(self.plain_batch, plain.update)]
        adamw = [ours.with_gradients(groups[0]), plain.with_gradients(self.plain_batch, groups[1])]
        return {
            'clipping, AdamW and momentum update': dict(zip(('ours', 'plain'), wrapped)),
            'AdamW: fused, merged groups (default, a group each)': dict(zip(('ours', 'plain'), adamw)),
            'momentum update: one call (loop)': {'ours': ours.update_target, 'plain': plain.update_target},
        }
