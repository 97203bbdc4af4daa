"""The masking strategies as pipeline transforms: ``dict(type='CRFRPMask', mask_ratio=0.75)``.

:class:`PatchMask` is the plugin contract; a strategy of one's own is a subclass with one method (see
``docs/custom_masking.md``). The mathematics is in :mod:`fsfm_mm.ops.masks`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.ops.masks import crfr_p_masks, crfr_r_masks, fasking_masks, frp_masks, random_masks
from fsfm_mm.ops.region_tables import check_mask_ratio, num_masked
from fsfm_mm.registry import TRANSFORMS


class PatchMask(FaceTransform):
    """Base of all masking transforms; subclasses implement :meth:`strategy`.

    Required key: ``patch_labels``, uint16 (h, w). Added keys: ``mask`` and ``region_mask``, bool (h*w,) in
    row-major order, True = hidden from the encoder.

    Args:
        mask_ratio: Share of the patches to mask, in the open interval (0, 1). Every image gets exactly
            ``K = L - int(L * (1 - mask_ratio))`` masked patches, as in MAE.

    Attributes:
        title: Name of the strategy in the papers; those with one are listed by :func:`mask_types`.

    Raises:
        ValueError: ``mask_ratio`` is outside (0, 1).
    """

    title: str

    def __init__(self, mask_ratio: float = 0.75) -> None:
        check_mask_ratio(mask_ratio)
        self.mask_ratio = mask_ratio

    @abstractmethod
    def strategy(
        self, patch_labels: np.ndarray, num_masked: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose the masked patches of a batch of images.

        Args:
            patch_labels: Label sets, uint16 (N, h, w): bit ``k`` is set where label ``k`` of
                :data:`fsfm_mm.regions.LABEL_NAMES` occurs in the patch.
            num_masked: Number K of patches to mask in each image, 1..h*w-1.
            rng: Source of all randomness.

        Returns:
            ``mask`` and ``region_mask``, bool (N, h*w): exactly K True in every row of the first, and the
            second a subset of it (all False where no region is covered).
        """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the masks of one sample.

        Args:
            results: The sample, with ``patch_labels``.

        Returns:
            The same dictionary with ``mask`` and ``region_mask``.

        Raises:
            ValueError: ``patch_labels`` is missing or malformed, or the strategy breaks its contract.
        """
        return self.transform_batch([results])[0]

    def transform_batch(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add the masks of many samples with one call of the strategy, some 20 times faster.

        Args:
            results: The samples, each with ``patch_labels`` of the same grid.

        Returns:
            The same dictionaries with ``mask`` and ``region_mask``.

        Raises:
            ValueError: ``patch_labels`` is missing or malformed somewhere, the grids differ, or the
                strategy breaks its contract.
        """
        if not results:
            return results
        mask, region_mask = self.masks(self._stack_labels(results))
        for i, sample in enumerate(results):
            sample['mask'], sample['region_mask'] = mask[i], region_mask[i]
        return results

    def masks(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Masks and region masks of a batch, bool (N, L), for label sets uint16 (N, h, w); errors as above."""
        k = num_masked(labels[0].size, self.mask_ratio)
        # A fresh generator at each call, seeded from numpy's global state: mmengine seeds that in
        # every worker, while a stored generator would be duplicated by fork. Two words are taken
        # whatever the strategy, so the random crops around it do not depend on which one it is.
        seed = np.random.randint(1 << 32, size=2, dtype=np.uint32)
        mask, region_mask = self.strategy(labels, k, np.random.default_rng(seed))
        self._check(mask, region_mask, (len(labels), labels[0].size), k)
        return mask, region_mask

    def _stack_labels(self, results: list[dict[str, Any]]) -> np.ndarray:
        """Collect the samples' label sets, uint16 (N, h, w)."""
        name = type(self).__name__
        if any('patch_labels' not in sample for sample in results):
            raise ValueError(
                f"{name} needs the key 'patch_labels': put the transform BuildPatchLabels before it."
            )
        labels = [sample['patch_labels'] for sample in results]
        for table in labels:
            if table.dtype != np.uint16 or table.ndim != 2 or table.shape != labels[0].shape:
                raise ValueError(
                    f'{name} needs patch_labels of type uint16 and of one grid (h, w) in a batch; '
                    f'found {table.dtype} {table.shape} beside {labels[0].shape}.'
                )
        # np.stack costs more than the masks of a single image.
        return labels[0][None] if len(labels) == 1 else np.stack(labels)

    def _check(self, mask: np.ndarray, region_mask: np.ndarray, shape: tuple[int, int], k: int) -> None:
        """Hold a strategy to its contract: a wrong count would only surface inside the model."""
        name = type(self).__name__
        for array in (mask, region_mask):
            if array.dtype != np.bool_ or array.shape != shape:
                raise ValueError(
                    f'{name}.strategy must return two bool arrays {shape}; found {array.dtype} {array.shape}.'
                )
        counts = np.count_nonzero(mask, axis=1)
        if (counts != k).any():
            raise ValueError(
                f'{name}.strategy must mask exactly {k} patches of every image; '
                f'found {counts.min()} to {counts.max()}.'
            )
        if (region_mask > mask).any():
            raise ValueError(f'{name}.strategy must return a region_mask that is a subset of its mask.')


def mask_types() -> dict[str, type[PatchMask]]:
    """The registered strategies that have a title of their own, in the order of their registration.

    Returns:
        Title -> class.
    """
    kinds = [kind for kind in TRANSFORMS.module_dict.values() if isinstance(kind, type)]
    return {kind.title: kind for kind in kinds if issubclass(kind, PatchMask) and 'title' in vars(kind)}


@TRANSFORMS.register_module()
class RandomMask(PatchMask):
    """Mask uniformly at random, as MAE does; the region mask is empty."""

    title = 'Random'
    strategy = staticmethod(random_masks)


@TRANSFORMS.register_module()
class FaskingMask(PatchMask):
    """Mask facial parts before skin and background (Fasking-I, after MARLIN); the region mask is empty."""

    title = 'Fasking-I'
    strategy = staticmethod(fasking_masks)


@TRANSFORMS.register_module()
class FRPMask(PatchMask):
    """Mask every facial region at the same ratio (FSFM section 3.1); the region mask is empty."""

    title = 'FRP'
    strategy = staticmethod(frp_masks)


@TRANSFORMS.register_module()
class CRFRRMask(PatchMask):
    """Cover a random facial region, the rest at random (CRFR-R, FSFM section 3.1)."""

    title = 'CRFR-R'
    strategy = staticmethod(crfr_r_masks)


@TRANSFORMS.register_module()
class CRFRPMask(PatchMask):
    """Cover a random facial region, the other regions proportionally (CRFR-P, FSFM section 3.1)."""

    title = 'CRFR-P'
    strategy = staticmethod(crfr_p_masks)
