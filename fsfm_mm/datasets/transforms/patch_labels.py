"""From a parsing map to the table of label sets that the masking transforms read."""

from __future__ import annotations

from typing import Any

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class BuildPatchLabels(FaceTransform):
    """Record which parsing labels occur in which patch.

    Put it after everything that moves pixels (resize, crop, flip) and before a masking transform.

    Required key: ``parsing_map``, integer (H, W) with labels 0..10, or else a precomputed
    ``patch_labels``, which is then left alone. Added key: ``patch_labels``, uint16
    (H/patch_size, W/patch_size), bit ``k`` set where label ``k`` occurs.

    Args:
        patch_size: Side of a patch in pixels, 1 or more.

    Raises:
        ValueError: ``patch_size`` is below 1.
    """

    def __init__(self, patch_size: int = 16) -> None:
        if patch_size < 1:
            raise ValueError(f'patch_size must be at least 1 pixel; found {patch_size}.')
        self.patch_size = patch_size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``patch_labels`` to a sample.

        Args:
            results: The sample, with ``parsing_map`` or ``patch_labels``.

        Returns:
            The same dictionary with ``patch_labels``.

        Raises:
            ValueError: Neither key is there, or the map is not (H, W), holds no integers or labels
                outside 0..10, or is not divisible into patches. The sample's path is named where known.
        """
        if 'parsing_map' not in results:
            if 'patch_labels' in results:
                return results
            raise ValueError(
                f"{_where(results)}BuildPatchLabels needs the key 'parsing_map' (or precomputed "
                "'patch_labels'): load the parsing map before it."
            )
        parsing_map = results['parsing_map']
        if parsing_map.ndim != 2:
            raise ValueError(
                f'{_where(results)}A sample needs a parsing map (H, W); found shape {parsing_map.shape}.'
            )
        try:
            results['patch_labels'] = patch_labels(parsing_map, self.patch_size)
        except ValueError as error:
            raise ValueError(f'{_where(results)}{error}') from error
        return results


def _where(results: dict[str, Any]) -> str:
    """Name the sample at the start of an error message, as far as it is known."""
    path = results.get('map_path') or results.get('img_path')
    return f'{path}: ' if path else ''
