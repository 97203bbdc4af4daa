"""What a config's model is fed in the benchmark: random pixels under masks of drawn faces."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.config import Config

from fsfm_mm.datasets.transforms import PatchMask
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.registry import TRANSFORMS
from fsfm_mm.structures import PretrainBatch


def square_size(cfg: Config) -> tuple[int, int]:
    """Side of the images and of the patches of a config's backbone, in pixels.

    Raises:
        ValueError: When the images are not square.
    """
    size = cfg.model.backbone.get('img_size', 224)
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise ValueError(f'the benchmark draws square faces, but the backbone has img_size={tuple(size)}')
    return sides.pop(), cfg.model.backbone.get('patch_size', 16)


def mask_transform(cfg: Config) -> PatchMask:
    """The mask transform of a config's training set, from ``mask=`` or out of its pipeline.

    Raises:
        ValueError: When it has none.
    """
    dataset = cfg.train_dataloader.dataset
    steps = [dataset.get('mask'), *dataset.get('pipeline', ())]
    for step in steps:
        kind = TRANSFORMS.get(step['type']) if step else None
        if isinstance(kind, type) and issubclass(kind, PatchMask):
            return TRANSFORMS.build(step)
    raise ValueError(
        "the config's train_dataloader.dataset has no mask transform such as dict(type='CRFRPMask')"
    )


def face_maps(count: int, size: int) -> np.ndarray:
    """Parsing maps of generated faces, int8 (count, size, size)."""
    return np.stack([draw_face(i, size)[1] for i in range(count)]).astype(np.int8)


def random_batch(mask: PatchMask, maps: np.ndarray, patch_size: int, batch_size: int) -> PretrainBatch:
    """A batch of random pixels under masks of generated faces.

    Args:
        mask: The config's mask transform.
        maps: Parsing maps (M, S, S); repeated where M is less than the batch.
        patch_size: Side of a patch in pixels.
        batch_size: Images N.
    """
    chosen = maps[np.arange(batch_size) % len(maps)]
    samples = mask.transform_batch([dict(patch_labels=patch_labels(m, patch_size)) for m in chosen])
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, 3, *maps.shape[1:])
    return PretrainBatch(
        inputs=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        mask=torch.from_numpy(np.stack([sample['mask'] for sample in samples])),
        region_mask=torch.from_numpy(np.stack([sample['region_mask'] for sample in samples])),
    )
