"""Scores of a test set: one row a sample, one row a video, as arrays and as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fsfm_mm.evaluation.functional import check_scores
from fsfm_mm.files import write_atomically
from fsfm_mm.files.broken import broken, reading
from fsfm_mm.files.opening import read_text
from fsfm_mm.text import brief, csv_text


class VideoScores(NamedTuple):
    """One row a video, sorted by id.

    Attributes:
        ids: Video ids (V,).
        scores: Mean score of the frames (V,).
        labels: 1 real, 0 fake (V,).
        num_frames: Frames that the mean is over (V,).
    """

    ids: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    num_frames: np.ndarray


def video_scores(scores: np.ndarray, labels: np.ndarray, videos: Sequence[str]) -> VideoScores:
    """Average the frames' scores within each video.

    Args:
        scores: P(real) per frame (n,).
        labels: 1 real, 0 fake, per frame (n,).
        videos: Video id per frame (n,); unique across classes and domains.

    Raises:
        ValueError: For wrong input, or frames of both classes under one id (the message names it).
    """
    scores, labels = check_scores(scores, labels)
    if len(videos) != scores.size:
        raise ValueError(f'expected one video id per frame, found {len(videos)} ids and {scores.size} frames')
    ids, inverse = np.unique(np.asarray(videos, dtype=str), return_inverse=True)
    num_frames = np.bincount(inverse)
    positives = np.bincount(inverse, weights=labels).astype(np.int64)
    mixed = np.flatnonzero((positives > 0) & (positives < num_frames))
    if mixed.size:
        raise ValueError(
            f'all frames of a video must have one label, but video {str(ids[mixed[0]])!r} has '
            f'{positives[mixed[0]]} real and {(num_frames - positives)[mixed[0]]} fake frames '
            f'({mixed.size} such videos): make the id unique, for example with its class folder'
        )
    means = np.bincount(inverse, weights=scores) / num_frames
    return VideoScores(ids, means, (positives > 0).astype(np.int64), num_frames)


class SampleScore(NamedTuple):
    """What a metric keeps of one prediction; light, for it travels between processes.

    Attributes:
        sample_idx: Index in its dataset.
        img_path: File, or empty for a generated picture.
        domain: Data set or domain, or empty.
        video_id: Unique within the domain, or empty for single pictures.
        class_name: Of the ground truth.
        label: 1 positive class (real), 0 otherwise.
        score: P(positive class).
        true_class_probability: P(class of the ground truth).
    """

    sample_idx: int
    img_path: str
    domain: str
    video_id: str
    class_name: str
    label: int
    score: float
    true_class_probability: float


@dataclass(frozen=True)
class ScoreTable:
    """Every sample of a test set once, by index.

    Args:
        samples: The rows.
    """

    samples: tuple[SampleScore, ...]

    @classmethod
    def collect(cls, samples: Sequence[SampleScore], size: int | None = None) -> ScoreTable:
        """Drop what a sampler repeated to fill its last batches, and check that nothing is missing.

        Two rows are the same sample when index, domain and file agree (an index alone does not tell
        the parts of a concatenated dataset apart).

        Args:
            samples: Rows of all processes, in any order.
            size: Samples in the dataset, where known.

        Raises:
            ValueError: When one sample has two labels, or the number of distinct samples is not ``size``.
        """
        distinct: dict[tuple, SampleScore] = {}
        for row in samples:
            first = distinct.setdefault((row.sample_idx, row.domain, row.img_path), row)
            if (first.label, first.video_id) != (row.label, row.video_id):
                raise ValueError(f'sample {row.sample_idx} ({row.img_path!r}) has two labels or videos')
        if size is not None and len(distinct) != size:
            raise ValueError(
                f'expected scores of all {size} samples of the test set, found {len(distinct)} distinct ones '
                f'among {len(samples)}: samples were skipped or replaced, so no result is given'
            )
        return cls(tuple(distinct[key] for key in sorted(distinct)))

    @property
    def scores(self) -> np.ndarray:
        """P(positive class), float64 (n,)."""
        return np.array([row.score for row in self.samples], dtype=np.float64)

    @property
    def labels(self) -> np.ndarray:
        """1 positive class, 0 otherwise, int64 (n,)."""
        return np.array([row.label for row in self.samples], dtype=np.int64)

    @property
    def true_class_probabilities(self) -> np.ndarray:
        """P(class of the ground truth), float64 (n,)."""
        return np.array([row.true_class_probability for row in self.samples], dtype=np.float64)

    @property
    def video_keys(self) -> list[str]:
        """``domain:video_id`` of each sample (n,).

        Raises:
            ValueError: For a sample without video id.
        """
        for row in self.samples:
            if not row.video_id:
                raise ValueError(
                    f'sample {row.sample_idx} ({row.img_path!r}) has no video_id, which video-level metrics '
                    "need: name it in PackInputs' meta_keys, or evaluate at frame level only"
                )
        return [f'{row.domain}:{row.video_id}' if row.domain else row.video_id for row in self.samples]

    def videos(self) -> VideoScores:
        """Mean score of each video.

        Raises:
            ValueError: For a sample without video id, or a video with frames of both classes.
        """
        return video_scores(self.scores, self.labels, self.video_keys)

    def write_samples(self, path: str | Path) -> None:
        """Write one line a sample: index, file, domain, video, class, label, score (exact)."""
        rows = [(*row[:6], repr(row.score), repr(row.true_class_probability)) for row in self.samples]
        write_atomically(path, csv_text([SampleScore._fields, *rows]))

    def write_videos(self, path: str | Path) -> None:
        """Write one line a video: id, label, frames, score (exact).

        Raises:
            ValueError: As :meth:`videos`.
        """
        videos = self.videos()
        rows = zip(
            videos.ids.tolist(),
            videos.labels.tolist(),
            videos.num_frames.tolist(),
            map(repr, videos.scores.tolist()),
        )
        write_atomically(path, csv_text([('video', 'label', 'num_frames', 'score'), *rows]))

    @classmethod
    def read(cls, path: str | Path) -> ScoreTable:
        """Read what :meth:`write_samples` wrote.

        Raises:
            ValueError: For another header or a line that cannot be read (the message has its number).
        """
        with reading(path, ': cannot be read'):
            lines = csv.reader(io.StringIO(read_text(path), newline=''))
            header, rows = next(lines, []), [(lines.line_num, line) for line in lines]
        if tuple(header) != SampleScore._fields:
            raise broken(path, f': expected the columns {SampleScore._fields}, found {brief(header)}')
        return cls(tuple(_parse(line, f'{path}, line {number}') for number, line in rows))


def _parse(line: list[str], where: str) -> SampleScore:
    try:
        index, img_path, domain, video_id, class_name, label, score, true_class = line
        return SampleScore(
            int(index), img_path, domain, video_id, class_name, int(label), float(score), float(true_class)
        )
    except ValueError as error:
        raise broken(where, f': expected {len(SampleScore._fields)} values, found {brief(line)}') from error
