"""From a dense uint8 batch to normalised images on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from fsfm_mm.registry import MODELS
from fsfm_mm.statistics import resolve_stats


@MODELS.register_module()
class FaceDataPreprocessor(BaseDataPreprocessor):
    """Copies a :class:`~fsfm_mm.structures.PretrainBatch` to the device, scales to 0..1, normalises there.

    Args:
        stats: Name of published statistics ('vggface2', 'ffpp_o', 'imagenet') or the path of a file
            that ``fsfm-mm stats`` wrote (or the reference's ``pretrain_ds_mean_std.txt``).
        mean: Instead of ``stats``: mean of R, G, B on the 0..1 scale.
        std: Instead of ``stats``: standard deviation of R, G, B on the 0..1 scale.
        non_blocking: Copy without waiting (the loader pins its memory).

    Raises:
        ValueError: When neither or both of ``stats`` and ``mean``/``std`` are given.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        stats: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        non_blocking: bool = True,
    ):
        super().__init__(non_blocking)
        if (stats is None) == (mean is None) or (mean is None) != (std is None):
            raise ValueError('give either stats=<name or file>, or both mean and std')
        if stats is not None:
            mean, std = resolve_stats(stats)
        self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data: ``inputs`` uint8 (N, 3, H, W) RGB; optionally ``mask``, ``region_mask`` bool (N, L).
            training: Unused; mmengine's signature.

        Returns:
            The same keys on the device, ``inputs`` as normalised float32; with a mask also
            ``num_masked``, counted on the CPU so that the device is never waited for.

        Raises:
            ValueError: When the rows of ``mask`` do not hide the same number of patches.
        """
        counts = data['mask'].sum(dim=1) if 'mask' in data else None
        data = self.cast_data(data)
        data['inputs'] = self.normalise(data['inputs'])
        if counts is not None:
            if not bool((counts == counts[0]).all()):
                low, high = int(counts.min()), int(counts.max())
                raise ValueError(f'every sample must hide the same number of patches, found {low} to {high}')
            data['num_masked'] = int(counts[0])
        return data

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB images (N, 3, H, W) to normalised floats; float images must be 0..1 already."""
        if not images.is_floating_point():
            images = images.to(self.mean.dtype).div_(255.0)
        return (images - self.mean) / self.std

    def denormalise(self, images: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`normalise`: floats on the 0..1 scale, not clipped."""
        return images * self.std + self.mean
