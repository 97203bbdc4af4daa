"""What a model is shown of a crop: the step of its own tests that brings it to the model's size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.checkpoints.picture_settings import resize_step
from fsfm_mm.datasets.transforms import ResizeFace
from fsfm_mm.settings.data import settings_of_text


def test_view(card: ModelCard, *configs: Mapping[str, Any] | None) -> ResizeFace:
    """The step that resizes crops, as the tests of the config that trained the model have it.

    Args:
        card: The model's; its size and its view win.
        configs: Configs to look in, the first that has tests is taken; then the card's own.
    """
    step: dict[str, Any] = {}
    texts = [settings_of_text(card.config)] if card.config else []
    for config in (*configs, *texts):
        dataset = ((config or {}).get('test_dataloader') or {}).get('dataset')
        if dataset:
            step = resize_step(dataset) or {}
            break
    known = {key: step[key] for key in ('interpolation', 'view') if key in step}
    if card.view is not None:
        known['view'] = card.view
    return ResizeFace(card.input_size or 224, **known)
