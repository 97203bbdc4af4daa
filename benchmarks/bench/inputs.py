"""What one run measures, and what the model is fed: random pixels under masks of drawn faces."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from mmengine.config import Config

from bench.timing import Timer
from bench.training_step import TrainingStep, build_step
from fsfm_mm.datasets.transforms import PatchMask
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.registry import TRANSFORMS
from fsfm_mm.structures import PretrainBatch


@dataclass(frozen=True)
class Bench:
    """A config, and how it is measured.

    Args:
        cfg: A pretraining config with an AutocastOptimWrapper.
        device: Where the step runs, 'cpu' or 'cuda'.
        timer: How everything is timed.
        batch_size: Images of a step, and of a batch of the config's loader.
        mask_batch: Faces that are drawn; masks are made for so many at a time.
        matmul_size: Side of the square matrices whose product measures the attainable speed.
        loader_batches: Batches of one timing of the config's loader.
        pictures: Faces that are stored in every way, for the loaders of the comparison.
        workers: Loader processes; 0 loads in this process on one thread, which is the figure per core.
        data_root: Folder of the loaders' faces instead of the config's, or of drawn ones.
    """

    cfg: Config
    device: str = 'cpu'
    timer: Timer = field(default_factory=Timer)
    batch_size: int = 16
    mask_batch: int = 256
    matmul_size: int = 2048
    loader_batches: int = 4
    pictures: int = 256
    workers: int = 0
    data_root: str | None = None

    @property
    def size(self) -> int:
        """Side of the backbone's images in pixels.

        Raises:
            ValueError: They are not square.
        """
        size = self.cfg.model.backbone.get('img_size', 224)
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise ValueError(f'the benchmark draws square faces, but the backbone has img_size={tuple(size)}')
        return sides.pop()

    @property
    def patch_size(self) -> int:
        """Side of the backbone's patches in pixels."""
        return self.cfg.model.backbone.get('patch_size', 16)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the step."""
        return resolve_dtype(self.cfg.optim_wrapper.get('dtype', 'float32'), self.device)

    @cached_property
    def mask(self) -> PatchMask:
        """The mask transform of the training set, from ``mask=`` or out of its pipeline.

        Raises:
            ValueError: It has none.
        """
        dataset = self.cfg.train_dataloader.dataset
        for step in (dataset.get('mask'), *dataset.get('pipeline', ())):
            kind = TRANSFORMS.get(step['type']) if step else None
            if isinstance(kind, type) and issubclass(kind, PatchMask):
                return TRANSFORMS.build(step)
        raise ValueError(
            "the config's train_dataloader.dataset has no mask transform such as dict(type='CRFRPMask')"
        )

    @cached_property
    def maps(self) -> np.ndarray:
        """Parsing maps of drawn faces, int8 (``mask_batch``, S, S)."""
        return np.stack([draw_face(i, self.size)[1] for i in range(self.mask_batch)]).astype(np.int8)

    @cached_property
    def batch(self) -> PretrainBatch:
        """Random pixels under masks of drawn faces, repeated where fewer are drawn than the batch has."""
        chosen = self.maps[np.arange(self.batch_size) % len(self.maps)]
        samples = self.mask.transform_batch(
            [dict(patch_labels=patch_labels(m, self.patch_size)) for m in chosen]
        )
        masks = {
            key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in ('mask', 'region_mask')
        }
        shape, generator = (self.batch_size, 3, self.size, self.size), torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return PretrainBatch(inputs=pixels, **masks)  # type: ignore[typeddict-item]

    def step(self) -> TrainingStep:
        """A training step with fresh weights."""
        return build_step(self.cfg, self.batch, self.device)
