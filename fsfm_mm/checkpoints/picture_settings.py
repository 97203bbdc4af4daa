"""What the settings of data sets must have in common with a model: the pictures' size, the colour of padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: Steps that decide the size of the pictures, and their argument that says it.
SIZE_OF = {
    'ResizeFace': 'size',
    'RandomFaceCrop': 'size',
    'TimmTrainAugment': 'size',
    'Resize': 'scale',
    'RandomResizedCrop': 'scale',
    'CenterCrop': 'crop_size',
    'RandomCrop': 'crop_size',
}


def parts_of(dataset: Any) -> Iterator[dict]:
    """The settings of a data set, or of each that it concatenates or wraps."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    for part in inner:
        yield from parts_of(part)
    if not inner:
        yield dataset


def set_picture_size(dataset: dict, size: int | Sequence[int]) -> None:
    """Let all parts of a data set give pictures of a size; its settings are changed in place.

    Args:
        dataset: Its settings; the last step that decides a size is the one that is changed.
        size: Side in pixels, or (height, width).
    """
    value = size if isinstance(size, int) else list(size)
    for part in parts_of(dataset):
        step = _last_sized(part)
        if step is not None:
            step[SIZE_OF[step['type']]] = value
        elif 'img_size' in part:
            part['img_size'] = value


def picture_view(dataset: Mapping[str, Any]) -> str | None:
    """What of a picture a data set's settings show, 'whole' or 'centre'; None where its parts do not say one."""
    steps = [_last_sized(part) for part in parts_of(dataset)]
    views = {step.get('view', 'whole') if step and step['type'] == 'ResizeFace' else None for step in steps}
    return views.pop() if len(views) == 1 else None


def resize_step(dataset: Mapping[str, Any]) -> dict | None:
    """Settings of the ``ResizeFace`` that decides the size of a data set's pictures, of its first part; or None."""
    step = _last_sized(next(parts_of(dataset)))
    return step if step and step['type'] == 'ResizeFace' else None


def set_view(dataset: dict, view: str, where: str = 'view') -> None:
    """Let all parts of a data set show the whole of its pictures or their centre; settings are changed in place.

    Args:
        dataset: Its settings; the last step that decides a size is the one that is changed.
        view: 'whole' or 'centre', see ``ResizeFace``.
        where: What the message begins with.

    Raises:
        ValueError: That step is no ``ResizeFace``.
    """
    for part in parts_of(dataset):
        step = _last_sized(part)
        if step is None or step['type'] != 'ResizeFace':
            raise ValueError(
                f'{where}: the view is an argument of ResizeFace, but the pipeline of {part.get("type")} has '
                f'{step["type"] if step else "no step that resizes"}: put a ResizeFace into it.'
            )
        step['view'] = view


def set_padding(dataset: dict, stats: Any, only: Any = None) -> None:
    """Let the steps that pad with a mean colour take another one's; settings are changed in place.

    Args:
        dataset: Settings of a data set.
        stats: What ``resolve_stats`` takes.
        only: Change only steps that have these; None for all.
    """
    for part in parts_of(dataset):
        for step in part.get('pipeline') or ():
            if step.get('type') == 'TimmTrainAugment' and only in (None, step.get('stats')):
                step['stats'] = stats


def _last_sized(dataset: Mapping[str, Any]) -> dict | None:
    sized = [step for step in dataset.get('pipeline') or () if step.get('type') in SIZE_OF]
    return sized[-1] if sized else None
