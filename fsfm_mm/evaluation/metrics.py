"""MMEngine metrics for forgery detection and face anti-spoofing, over the pure functions beside this file."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import broadcast_object_list, collect_results, is_main_process
from mmengine.evaluator import BaseMetric

from fsfm_mm.evaluation.functional import cross_entropy
from fsfm_mm.evaluation.report import Heading
from fsfm_mm.evaluation.score_table import SampleScore, ScoreTable, VideoScores
from fsfm_mm.evaluation.summaries import (
    antispoof_headings,
    antispoof_metrics,
    forgery_headings,
    forgery_metrics,
)
from fsfm_mm.registry import METRICS

LEVELS = ('frame', 'video')


class ScoreMetric(BaseMetric):
    """Collects every sample's score once, whatever number of processes computed them.

    After ``evaluate`` the main process has all scores in ``table``; ``levels`` are those that a subclass evaluates:
    ``frame``, ``video``. Metrics that need a class which the set
    lacks are absent from the result, with one warning. Failures are raised on every process.

    Args:
        positive_class: Name of the class whose probability is the score; its index comes from the dataset's
            ``classes``, so class order cannot swap it.
        threshold: Decision threshold of the metrics that need one.
        source_threshold: Threshold chosen on source data; adds the ``...@source`` metrics, at video level
            where that is evaluated, else at frame level.
        out_file: CSV for the score of every sample; the videos' go beside it as ``<name>_videos.csv``.
        collect_device: ``gpu`` (by messages, also between CPUs) or ``cpu`` (through files, which every host must
            see under the same name).
        prefix: Put before every metric's name, with a slash.
        collect_dir: Folder of the files for ``cpu``.
    """

    levels: tuple[str, ...]
    default_prefix = ''  # no prefix is meant, and MMEngine warns of None

    def __init__(
        self,
        positive_class: str = 'real',
        threshold: float = 0.5,
        source_threshold: float | None = None,
        out_file: str | Path | None = None,
        collect_device: str = 'gpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.positive_class = positive_class
        self.threshold = threshold
        self.source_threshold = source_threshold
        self.out_file = None if out_file is None else Path(out_file)
        self.table: ScoreTable | None = None

    def class_names(self) -> tuple[tuple[str, ...], int]:
        """The dataset's classes and the index of the positive one.

        Raises:
            ValueError: Without class names, or where dataset and metric name different positive classes.
        """
        meta: Mapping[str, Any] = self.dataset_meta or {}
        classes = tuple(meta.get('classes') or meta.get('CLASSES') or ())
        if classes.count(self.positive_class) != 1 or len(classes) < 2:
            raise ValueError(
                f'{type(self).__name__}: expected the positive class {self.positive_class!r} once among the '
                f"dataset's classes, found {classes}"
            )
        stated = meta.get('positive_class', self.positive_class)
        if stated != self.positive_class:
            raise ValueError(
                f'{type(self).__name__}: positive_class is {self.positive_class!r}, but the dataset says '
                f'{stated!r}'
            )
        return classes, classes.index(self.positive_class)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep scores and names of a batch.

        Args:
            data_batch: Not used.
            data_samples: Data samples as dictionaries, with ``pred_score`` (classes,), ``gt_label``,
                ``sample_idx`` and, where there are, ``video_id``, ``domain``, ``img_path``, ``class_name``.

        Raises:
            ValueError: For scores that are no probabilities, a missing field, or a ``class_name`` that
                contradicts the label.
        """
        classes, positive = self.class_names()
        self.results.extend(_sample_score(sample, classes, positive) for sample in data_samples)

    def evaluate(self, size: int) -> dict:
        """Metrics of the whole set, the same on every process.

        MMEngine's own cuts the gathered list to ``size``, which is right only for its default sampler; here
        repeated samples are known by their index.

        Args:
            size: Number of samples in the dataset.

        Raises:
            ValueError: On every process, when samples are missing or a metric finds its input wrong.
        """
        parts = collect_results(self.results, sys.maxsize, self.collect_device, tmpdir=self.collect_dir)
        self.results.clear()
        outcome: list[Any] = [None]
        if is_main_process():
            try:
                self.table = ScoreTable.collect(parts or [], size)
                outcome = [self.compute_metrics(list(self.table.samples))]
            except (ValueError, OSError) as error:  # the other processes wait below: tell them
                outcome = [error]
        broadcast_object_list(outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return {f'{self.prefix}/{key}' if self.prefix else key: value for key, value in outcome[0].items()}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics of distinct samples; writes the score tables where ``out_file`` is given.

        Args:
            results: :class:`SampleScore` of every sample, once.

        Raises:
            ValueError: For an empty set, or frames of both classes in one video.
        """
        if not results:
            raise ValueError(f'{type(self).__name__}: the test set has no samples')
        table = ScoreTable(tuple(results))
        if self.out_file is not None:
            table.write_samples(self.out_file)
            if 'video' in self.levels:
                table.write_videos(self.out_file.with_name(f'{self.out_file.stem}_videos.csv'))
        return self.summarise(table) | {'loss': float(cross_entropy(table.true_class_probabilities))}

    def describe(self, unit: str) -> str:
        """What the samples are, for warnings."""
        return f'{type(self).__name__}{f" {self.prefix}" if self.prefix else ""}: {unit}s'

    def where(self) -> str:
        """The threshold of the errors in a table for people."""
        if self.source_threshold is None:
            return f'at the threshold {self.threshold:g}'
        return f'at the threshold {self.source_threshold:.4f}, from source data (@source in the files)'

    @property
    def main_level(self) -> str:
        """The level of the source threshold and of a short table: 'video' where that is evaluated."""
        return 'video' if 'video' in self.levels else self.levels[0]

    def of_main_level(self, table: ScoreTable) -> ScoreTable | VideoScores:
        """Scores and labels at :attr:`main_level`."""
        return table.videos() if self.main_level == 'video' else table

    @abstractmethod
    def summarise(self, table: ScoreTable) -> dict[str, float]:
        """Named metrics of a table of scores."""

    def headings(self) -> list[Heading]:
        """The few metrics that a table for people shows; none of them means all."""
        return []

    def legend(self) -> list[str]:
        """Sentences about these: what their words mean, and at which threshold they are."""
        return []


@METRICS.register_module()
class ForgeryMetric(ScoreMetric):
    """AUC, EER, AP, ACC, BACC and FPR-on-reals per level (``frame/AUC``, ``video/AUC`` ...), and ``loss``.

    ``loss`` is the cross entropy over samples, by whose least value on validation videos of the source the
    published checkpoints were chosen: ``save_best='loss', rule='less'``.

    Args:
        level: ``frame``, ``video`` or both; one without video ids (single pictures) is evaluated at frame level.
        **kwargs: Of :class:`ScoreMetric`.
    """

    def __init__(self, level: str | Sequence[str] = LEVELS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.levels = (level,) if isinstance(level, str) else tuple(level)
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise ValueError(f'level must be one or both of {LEVELS}, found {level!r}')

    def summarise(self, table: ScoreTable) -> dict[str, float]:
        """Metrics of each level, named ``level/metric``."""
        values: dict[str, float] = {}
        for level in self.levels:
            scores = table if level == 'frame' else table.videos()
            frozen = self.source_threshold if level == self.main_level else None
            found = forgery_metrics(
                scores.scores, scores.labels, self.threshold, frozen, self.describe(level)
            )
            values |= {f'{level}/{key}': value for key, value in found.items()}
        return values

    def headings(self) -> list[Heading]:
        """AUC, EER, accuracy, false alarms and misses."""
        return forgery_headings(self.main_level, self.source_threshold is not None)

    def legend(self) -> list[str]:
        """What false alarms and misses are, and the threshold."""
        return [
            'false alarms: reals flagged as fake (FPR-on-reals); misses: fakes passed as real (FNR-on-fakes)',
            f'ACC, FPR, FNR: {self.where()}',
        ]


@METRICS.register_module()
class AntiSpoofMetric(ScoreMetric):
    """AUC, HTER@target-EER (published), HTER@source (honest), TPR@FPR=1%, APCER, BPCER, ACER, and ``loss``.

    ``HTER@source`` appears only with a ``source_threshold``.

    Args:
        level: ``video`` (the protocol: mean score of a video's frames) or ``frame``.
        **kwargs: Of :class:`ScoreMetric`.
    """

    def __init__(self, level: str = 'video', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if level not in LEVELS:
            raise ValueError(f'level must be one of {LEVELS}, found {level!r}')
        self.levels = (level,)

    def summarise(self, table: ScoreTable) -> dict[str, float]:
        """Metrics of the one level, without its name."""
        (level,) = self.levels
        scores = table.videos() if level == 'video' else table
        return antispoof_metrics(
            scores.scores, scores.labels, self.threshold, self.source_threshold, self.describe(level)
        )

    def headings(self) -> list[Heading]:
        """AUC, HTER, false alarms (BPCER), misses (APCER), and the reals accepted at 1% of the spoofs."""
        return antispoof_headings(self.source_threshold is not None)

    def legend(self) -> list[str]:
        """What the error rates are, and their thresholds."""
        words = [
            'false alarms: reals rejected (BPCER); misses: spoofs accepted (APCER); HTER: mean of both errors',
            'TPR@FPR=1%: reals accepted where at most 1% of the spoofs are',
        ]
        if self.source_threshold is not None:
            return [*words, f'HTER, BPCER, APCER: {self.where()}']
        return [
            *words,
            'HTER: at the threshold where both errors are equal on the test set itself',
            f'BPCER, APCER: {self.where()}',
        ]


def _sample_score(sample: Mapping[str, Any], classes: tuple[str, ...], positive: int) -> SampleScore:
    """The light tuple of a data sample."""
    if sample.get('sample_idx') is None:
        raise ValueError(
            "a data sample has no sample_idx, by which repeated samples are known: name it in PackInputs' "
            'meta_keys'
        )
    where = f'sample {sample["sample_idx"]} ({str(sample.get("img_path") or "")!r})'
    scores, label = _prediction(sample, len(classes), where)
    if sample.get('class_name') not in (None, classes[label]):
        raise ValueError(
            f'{where}: class {sample["class_name"]!r} has label {label}, which the dataset calls '
            f'{classes[label]!r}'
        )
    return SampleScore(
        sample_idx=int(_numpy(sample['sample_idx']).item()),
        img_path=str(sample.get('img_path') or ''),
        domain=str(sample.get('domain') or ''),
        video_id=str(sample.get('video_id') or ''),
        class_name=classes[label],
        label=int(label == positive),
        score=float(scores[positive]),
        true_class_probability=float(scores[label]),
    )


def _prediction(sample: Mapping[str, Any], num_classes: int, where: str) -> tuple[np.ndarray, int]:
    """Class probabilities (num_classes,) and true label of a data sample."""
    missing = [key for key in ('pred_score', 'gt_label') if sample.get(key) is None]
    if missing:
        raise ValueError(f'{where} has no {" and no ".join(missing)}')
    scores = _numpy(sample['pred_score']).astype(np.float64)
    labels = _numpy(sample['gt_label']).reshape(-1)
    if scores.shape != (num_classes,) or labels.size != 1 or not 0 <= labels[0] < num_classes:
        raise ValueError(
            f'{where}: expected pred_score ({num_classes},) and one label below {num_classes}, '
            f'found {scores.shape} and {labels.tolist()}'
        )
    if not ((scores >= 0) & (scores <= 1 + 1e-6)).all() or abs(scores.sum() - 1) > 1e-2:
        raise ValueError(
            f'{where}: expected probabilities (after softmax) as pred_score, found {scores.tolist()}'
        )
    return scores.clip(max=1), int(labels[0])


def _numpy(value: Any) -> np.ndarray:
    """A tensor (any device, bfloat16 too), array or number as an array."""
    if hasattr(value, 'detach'):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value)
