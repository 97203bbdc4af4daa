"""Loading as a typical research script does it: PIL, float transforms per image, masks per batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from torch.utils.data import Dataset, default_collate
from torchvision import transforms

from plain.masking import plain_masks


class PlainFaces(Dataset):
    """``root/images/X.png`` with ``root/parsing_maps/X.npy``, one sample at a time.

    Args:
        root: Folder in the published layout.
        size: Side that pictures are resized to (bicubic; maps nearest) where they have another.
        mean: Of R, G, B on the 0..1 scale.
        std: Of R, G, B on the 0..1 scale.
    """

    def __init__(
        self, root: str | os.PathLike, size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.root, self.size = Path(root), size
        self.names = sorted(
            path.relative_to(self.root / 'images') for path in (self.root / 'images').rglob('*.png')
        )
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        """Return ``image`` float32 (3, S, S), ``parsing_map`` (S, S) and ``sample``, an object about it."""
        name = self.names[index]
        image = Image.open(self.root / 'images' / name).convert('RGB')
        labels = np.load(self.root / 'parsing_maps' / name.with_suffix('.npy')).squeeze()
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
            labels = np.array(
                Image.fromarray(labels).resize((self.size, self.size), Image.Resampling.NEAREST)
            )
        sample = DataSample(metainfo=dict(img_path=str(name), sample_idx=index, img_shape=image.size))
        return dict(image=self.transform(image), parsing_map=torch.from_numpy(labels), sample=sample)


class PlainCollate:
    """Stacks samples with torch's default collate and masks the batch.

    Args:
        patch_size: Side of a patch in pixels.
        mask_ratio: Share of the patches to mask.
    """

    def __init__(self, patch_size: int, mask_ratio: float) -> None:
        self.patch_size, self.mask_ratio = patch_size, mask_ratio

    def __call__(self, samples: Sequence[dict]) -> dict:
        """Return ``image`` float32, ``parsing_map``, ``mask``, ``region_mask`` and the list ``samples``."""
        batch = default_collate([{key: s[key] for key in ('image', 'parsing_map')} for s in samples])
        rng = np.random.default_rng(np.random.randint(1 << 32, dtype=np.uint32))
        maps = batch['parsing_map'].numpy()
        batch['mask'], batch['region_mask'] = plain_masks(maps, self.patch_size, self.mask_ratio, rng)
        batch['samples'] = [sample['sample'] for sample in samples]
        for sample, mask in zip(batch['samples'], batch['mask']):
            sample.set_field(mask, 'mask')
        return batch
