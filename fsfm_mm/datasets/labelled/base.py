"""What all labelled face data sets share: labels by class name, video ids, frames per video."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from fsfm_mm.datasets.base import FaceDataset
from fsfm_mm.datasets.labelled.names import one_of, quoted


class LabelledDataset(FaceDataset):
    """A face data set whose samples have a class, a domain and a video.

    A subclass lists its samples in :meth:`list_entries`, with class *names*. The label is the position of
    that name in ``classes`` and is made in one place, here, so that 'real' and 'fake' cannot swap. Every
    entry becomes ``dict(img_path, class_name, gt_label, video_id, domain)``. ``metainfo`` has ``classes``
    and ``positive_class``.

    Args:
        classes: Names of the classes; the position is the label.
        positive_class: The class whose probability is the score (binary label 1).
        max_frames_per_video: Keep at most so many frames of a video, spread from its first to its last
            (``linspace(0, n - 1, k)``, rounded down); None keeps all.
        empty_classes: 'error' or 'warn' where a domain has no sample of a class.
        metainfo: More meta information; its ``classes`` and ``positive_class``, if any, must agree.
        **kwargs: Arguments of :class:`~fsfm_mm.datasets.FaceDataset`: ``pipeline``, ``on_broken`` ...

    Raises:
        ValueError: An argument is out of range, or (from :meth:`full_init`) the listing is unusable.
    """

    def __init__(
        self,
        classes: Sequence[str] = ('fake', 'real'),
        positive_class: str = 'real',
        max_frames_per_video: int | None = None,
        empty_classes: str = 'error',
        metainfo: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.classes = checked_classes(classes, positive_class)
        self.positive_class = positive_class
        one_of('empty_classes', empty_classes, ('error', 'warn'))
        if max_frames_per_video is not None and max_frames_per_video < 1:
            raise ValueError(f'max_frames_per_video must be 1 or more, but is {max_frames_per_video}.')
        self.max_frames_per_video = max_frames_per_video
        self.empty_classes = empty_classes
        ours = {'classes': self.classes, 'positive_class': positive_class}
        others = {key: value for key, value in (metainfo or {}).items() if key not in ours}
        _refuse_other_meta(metainfo or {}, ours)
        super().__init__(metainfo=others, data_prefix={}, **kwargs)
        # Not through the argument: mmengine takes a string there for the name of a file, and there may
        # well be a folder 'real'.
        self._metainfo.update(ours)

    def list_entries(self) -> list[dict]:
        """List the samples: ``img_path``, ``class_name``, ``video_id``, ``domain`` each.

        It is called once, after ``__init__``. A subclass keeps its arguments in attributes before it calls this class's
        ``__init__``, but not as ``ann_file``, ``data_root`` or ``data_prefix``: mmengine sets these itself.
        """
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """List the samples with their labels; raises ValueError where a class is empty."""
        entries = self.list_entries()
        self._check_filled(entries)
        if self.max_frames_per_video is not None:
            entries = spread_frames(entries, self.max_frames_per_video)
        labels = {name: label for label, name in enumerate(self.classes)}
        return [{**entry, 'gt_label': labels[entry['class_name']]} for entry in entries]

    def entry(self, idx: int) -> dict:
        """Return what the listing knows of sample ``idx``: nothing is read, drawn or transformed."""
        self.full_init()
        return BaseDataset.get_data_info(self, idx)

    def _check_filled(self, entries: Sequence[dict]) -> None:
        counts = Counter((entry['domain'], entry['class_name']) for entry in entries)
        if not counts:
            raise ValueError(f'{self.source()}: no samples found.')
        for domain in dict.fromkeys(domain for domain, _ in counts):
            empty = [name for name in self.classes if not counts[domain, name]]
            if not empty:
                continue
            found = ', '.join(f'{counts[domain, name]} {name}' for name in self.classes)
            message = (
                f"{self.source()}: no samples of class {quoted(empty)} in the domain '{domain}' ({found})."
            )
            if self.empty_classes == 'error':
                raise ValueError(f"{message} empty_classes='warn' allows it.")
            print_log(message, logger='current', level=logging.WARNING)

    def source(self) -> str:
        """Return where the samples come from, for messages."""
        return type(self).__name__


def checked_classes(classes: Sequence[str], positive_class: str) -> tuple[str, ...]:
    """Return the class names as a tuple; raises ValueError unless they are distinct and hold the positive one."""
    names = () if isinstance(classes, str) else tuple(classes)
    if len(names) < 2 or len({name.lower() for name in names}) < len(names) or not all(names):
        raise ValueError(f'classes must be two or more different names, but are {classes!r}.')
    if positive_class not in names:
        raise ValueError(
            f'positive_class must be one of the classes {quoted(names)}, but is {positive_class!r}.'
        )
    return names


def _refuse_other_meta(given: dict, ours: dict) -> None:
    for key, value in ours.items():
        other = given.get(key, value)
        if (other if isinstance(other, str) else tuple(other)) != value:
            raise ValueError(f"metainfo['{key}'] is {other!r}, but the argument {key} is {value!r}.")


def natural_key(name: str) -> list:
    """Sort key that puts frame_10 after frame_9."""
    return [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'([0-9]+)', name)]


def spread_frames(entries: Sequence[dict], count: int) -> list[dict]:
    """Keep at most ``count`` frames of each video, spread from the first to the last.

    Args:
        entries: Samples with ``img_path``, ``domain``, ``class_name`` and ``video_id``.
        count: Most frames of a video, 1 or more.

    Returns:
        The frames number ``linspace(0, n - 1, count)``, rounded down, of each video of n frames, in the order
        of ``entries``.
    """
    videos: dict[tuple, list[int]] = defaultdict(list)
    for index, entry in enumerate(entries):
        videos[entry['domain'], entry['class_name'], entry['video_id']].append(index)
    kept: set[int] = set()
    for frames in videos.values():
        frames.sort(key=lambda index: natural_key(entries[index]['img_path']))
        if len(frames) > count:
            # integers: a floating-point linspace may round a whole number down to the frame before it
            frames = [frames[i * (len(frames) - 1) // max(count - 1, 1)] for i in range(count)]
        kept.update(frames)
    return [entry for index, entry in enumerate(entries) if index in kept]
