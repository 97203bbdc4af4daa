"""The published deepfake sets by name, with their official split files."""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Any

from mmengine.logging import print_log

from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.names import SPLITS, one_of, quoted
from fsfm_mm.datasets.labelled.published_rules import Video
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS, check_options
from fsfm_mm.registry import DATASETS


@DATASETS.register_module()
class NamedForgerySet(LabelledDataset):
    """A published deepfake set, from frames extracted into folders like the source's.

    See :mod:`fsfm_mm.datasets.labelled.published_rules` for the layout and for each set's rule and options. The
    frames of one video are those that were extracted; the number of *videos* is compared with the published one.

    Args:
        name: One of :data:`~fsfm_mm.datasets.labelled.published_sets.PUBLISHED_SETS`, such as 'celebdf_v2'.
        data_root: Folder of the set.
        split: 'train', 'val' or 'test', as far as the set has it.
        options: Options of the set's rule: ``compression`` and ``manipulations`` (ffpp), ``youtube_real``
            (celebdf_v1, _v2), ``subsets`` (diff).
        domain: Name of the domain; by default ``name``.
        missing: 'warn', or 'error' where a split file names videos without frames (face extraction finds no
            face in a few videos of most sets, so the default counts them and goes on).
        **kwargs: See :class:`~fsfm_mm.datasets.labelled.base.LabelledDataset`.

    Raises:
        ValueError: The set or an option is unknown, a folder or split file is missing or malformed, or a
            class is empty.
    """

    def __init__(
        self,
        name: str,
        data_root: str,
        split: str = 'test',
        options: dict | None = None,
        domain: str | None = None,
        missing: str = 'warn',
        **kwargs: Any,
    ) -> None:
        one_of('missing', missing, ('warn', 'error'))
        one_of('split', split, SPLITS)
        self.name, self.root, self.split = name, os.fspath(data_root), split
        self.options = dict(options or {})
        check_options(name, self.options)
        self.domain, self.missing = domain or name, missing
        super().__init__(**kwargs)

    def source(self) -> str:
        """Return name, split and folder."""
        return f'{self.name} ({self.split}) in {self.root}'

    def list_entries(self) -> list[dict]:
        """List the frames of the split's videos."""
        if not os.path.isdir(self.root):
            raise ValueError(f'{self.root}: no such data_root.')
        videos = PUBLISHED_SETS[self.name].list_videos(self.root, self.split, self.options)
        self._check_frames(videos)
        self._check_counts(videos)
        return [
            {
                'img_path': os.path.join(self.root, frame),
                'class_name': video.class_name,
                'video_id': f'{video.class_name}/{video.name}',
                'domain': self.domain,
            }
            for video in videos
            for frame in video.frames
        ]

    def _check_frames(self, videos: list[Video]) -> None:
        empty = [video.name for video in videos if not video.frames]
        if not empty:
            return
        message = (
            f'{self.source()}: {len(empty)} of {len(videos)} listed videos have no frames: {quoted(empty)}'
        )
        if self.missing == 'error' or len(empty) == len(videos):
            raise ValueError(f'{message}. Extract their faces first, or allow some with missing="warn".')
        print_log(f'{message}.', logger='current', level=logging.WARNING)

    def _check_counts(self, videos: list[Video]) -> None:
        named = PUBLISHED_SETS[self.name]
        expected = named.counts.get(self.split)
        if expected is None:
            return
        groups = Counter('/'.join(v.name.split('/')[: named.count_by]) for v in videos if v.frames)
        for group, count in groups.items():
            if count != expected:
                print_log(
                    f'{self.source()}: {count} videos{" in " + group if group else ""}, but the published '
                    f'split has {expected}: results do not compare with published ones.',
                    logger='current',
                    level=logging.WARNING,
                )
