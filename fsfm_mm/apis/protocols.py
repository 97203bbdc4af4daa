"""Evaluation protocols: what may choose the checkpoint and the threshold, source data or the test set itself."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fsfm_mm.apis.testing import intervals, source_threshold
from fsfm_mm.evaluation import ScoreMetric, ScoreReport, ScoreTable
from fsfm_mm.evaluation.report import INTERVAL, LEFT_OUT
from fsfm_mm.registry import METRICS

#: What each protocol is, in the titles of the tables.
MEANING = {
    'published': 'checkpoint and threshold as the papers chose them',
    'honest': 'checkpoint and threshold from held-out source data only',
}
PROTOCOLS = tuple(MEANING)
#: Why there is no honest protocol.
NO_SOURCE = 'the config has no val_dataloader, whose held-out source data choose checkpoint and threshold'

#: Metrics and scores of one checkpoint on one set.
Scored = tuple[dict[str, float], ScoreTable]


@dataclass(frozen=True)
class ProtocolResult:
    """What a protocol found.

    Attributes:
        report: The table over the test sets.
        checkpoints: Test set to the checkpoint that was chosen for it.
        tables: Test set to its scores under that checkpoint.
        threshold: Frozen threshold of the honest protocol.
        meaning: What it does, in words with numbers.
    """

    report: ScoreReport
    checkpoints: Mapping[str, str]
    tables: Mapping[str, ScoreTable]
    threshold: float | None = None
    meaning: str | None = None


@dataclass
class Evaluation:
    """All that is needed to apply protocols; scores are computed once per checkpoint and set.

    Args:
        checkpoints: Candidate checkpoints (paths).
        sets: Names of the test sets.
        source: Name of the held-out source set, or None without one; in the view in which tests see faces, where a
            threshold is to hold.
        published_source: Name of the same as the published runs saw it when they chose; None where that is no other.
        score: Function of (checkpoint, set name) that returns metrics and scores.
        metric: Config of the metric, for metrics at a frozen threshold.
        target_criterion: Metric by whose least value on the *test set* the published runs chose their
            checkpoint, e.g. 'HTER@target-EER' or 'loss'; None where they chose on source data.
        chosen_on: Test set to the set on which that choice was made, where it was not the test set itself but
            another part of its domain (DiFF's validation images).
        num_resamples: Bootstrap resamples over videos; 0 for no intervals.
        target_ties: Which of the checkpoints with equal values of that criterion the published runs kept: 'first'
            or 'last'.
        rate: Share of the reals that may be flagged at the honest threshold; None takes the EER threshold.
        overridden: What the user let win over the checkpoints' cards; ``score`` may add to it. Every table says it.
    """

    checkpoints: Sequence[str]
    sets: Sequence[str]
    source: str | None
    score: Callable[[str, str], Scored]
    metric: Mapping[str, Any]
    target_criterion: str | None = None
    chosen_on: Mapping[str, str] = field(default_factory=dict)
    num_resamples: int = 1000
    target_ties: str = 'first'
    overridden: Sequence[str] = ()
    published_source: str | None = None
    rate: float | None = None
    _scores: dict[tuple[str, str], Scored] = field(default_factory=dict)

    def scored(self, checkpoint: str, name: str) -> Scored:
        """Metrics and scores of a checkpoint on a set, computed on first use."""
        key = (checkpoint, name)
        if key not in self._scores:
            self._scores[key] = self.score(checkpoint, name)
        return self._scores[key]

    def best(self, name: str, criterion: str, ties: str = 'first') -> str:
        """Checkpoint with the least value of a metric on a set; the first or last of equals.

        Raises:
            ValueError: When the metric does not exist there, e.g. because a class is missing.
        """
        if len(self.checkpoints) == 1:
            return self.checkpoints[0]
        values = [
            self.scored(checkpoint, name)[0].get(criterion, math.nan) for checkpoint in self.checkpoints
        ]
        if any(math.isnan(value) for value in values):
            raise ValueError(
                f'the checkpoint is chosen by {criterion!r} on {name!r}, which has no such value there'
            )
        equals = [path for path, value in zip(self.checkpoints, values) if value == min(values)]
        return equals[-1 if ties == 'last' else 0]

    def best_on_source(self, source: str | None = None) -> str:
        """Checkpoint with the least cross entropy on the held-out source set, or on another of its views.

        Raises:
            ValueError: With several checkpoints and no source set.
        """
        if self.source is None:
            if len(self.checkpoints) > 1:
                raise ValueError(
                    'several checkpoints need a source set (val_dataloader) to choose among them'
                )
            return self.checkpoints[0]
        return self.best(source or self.source, 'loss')

    def run(self, protocol: str) -> ProtocolResult:
        """Apply one protocol.

        Args:
            protocol: 'published' repeats the papers' choices; 'honest' takes checkpoint and threshold from
                source data alone.

        Raises:
            ValueError: For another protocol, or an honest one without a source set.
        """
        if protocol not in PROTOCOLS:
            raise ValueError(f'protocol must be one of {PROTOCOLS}, found {protocol!r}')
        return self._honest() if protocol == 'honest' else self._published()

    def _honest(self) -> ProtocolResult:
        if self.source is None:
            raise ValueError(f'the honest protocol needs a held-out source set: {NO_SOURCE}')
        checkpoint = self.best_on_source()
        metric = METRICS.build(self.metric)
        level = metric.main_level
        threshold, meaning = source_threshold(self.scored(checkpoint, self.source)[1], level, self.rate)
        metric.source_threshold = threshold
        tables = {name: self.scored(checkpoint, name)[1] for name in self.sets}
        refuse_shared_pictures(self.source, self.scored(checkpoint, self.source)[1], tables)
        rows = {name: metric.summarise(table) for name, table in tables.items()}
        rows = {name: {k: v for k, v in row.items() if '@target' not in k} for name, row in rows.items()}
        notes = [
            f'checkpoint {checkpoint}: {self._choice()}',
            f'threshold {threshold:.4f}: {meaning}, on {self.source} ({level} level)',
        ]
        chosen = dict.fromkeys(self.sets, checkpoint)
        return self._result(
            'honest',
            metric,
            rows,
            tables,
            chosen,
            notes,
            threshold=threshold,
            meaning=f'{meaning}, on {self.source} ({level} level)',
        )

    def _published(self) -> ProtocolResult:
        criterion = self.target_criterion
        if criterion is None:
            chosen = dict.fromkeys(self.sets, self.best_on_source(self.published_source))
        else:
            chosen = {
                name: self.best(self.chosen_on.get(name, name), criterion, self.target_ties)
                for name in self.sets
            }
        tables = {name: self.scored(checkpoint, name)[1] for name, checkpoint in chosen.items()}
        rows = {name: self.scored(checkpoint, name)[0] for name, checkpoint in chosen.items()}
        on_target = criterion is not None and len(self.checkpoints) > 1
        if on_target:
            notes = [f'checkpoint for {name}: {checkpoint}' for name, checkpoint in chosen.items()]
            notes += [
                f'checkpoint chosen by {criterion} on {self.chosen_on.get(n, n)}, target data' for n in chosen
            ]
        else:
            notes = [f'checkpoint {next(iter(chosen.values()))}: {self._choice()}']
        selected = sorted({key for row in rows.values() for key in row}) if on_target else []
        if self.source is None:
            notes.append(f'{LEFT_OUT}: {NO_SOURCE}')
        return self._result('published', METRICS.build(self.metric), rows, tables, chosen, notes, selected)

    def _choice(self) -> str:
        """How a checkpoint was chosen on source data."""
        if len(self.checkpoints) == 1:
            return 'the only one given'
        return f'of {len(self.checkpoints)} that with the least loss on {self.source}'

    def _result(
        self,
        protocol: str,
        metric: ScoreMetric,
        rows: Mapping[str, Mapping[str, float]],
        tables: Mapping[str, ScoreTable],
        chosen: Mapping[str, str],
        notes: Sequence[str],
        selected: Sequence[str] = (),
        threshold: float | None = None,
        meaning: str | None = None,
    ) -> ProtocolResult:
        found = {
            n: intervals(rows[n], table, metric.levels, self.num_resamples) for n, table in tables.items()
        }
        counts = {name: _counts(metric, table) for name, table in tables.items()}
        single = all(number['samples'] == number['reals'] + number['fakes'] for number in counts.values())
        units = 'pictures' if single else 'videos'
        what = f'95% bootstrap interval over {units}, {self.num_resamples} resamples'
        caveat = 'card overridden' if self.overridden else ''
        title = f'{protocol} protocol{f", {caveat}" if caveat else ""}: {MEANING[protocol]}'
        notes = [*dict.fromkeys(self.overridden), *notes]
        report = ScoreReport(
            rows,
            found,
            target_selected=selected,
            notes=[*notes, *metric.legend(), *([f'{INTERVAL}: {what}'] if self.num_resamples else [])],
            title=title,
            headings=metric.headings(),
            counts=counts,
            checkpoints=chosen,
            caveat=caveat,
        )
        return ProtocolResult(report, chosen, tables, threshold, meaning)


def refuse_shared_pictures(source: str, held_out: ScoreTable, tables: Mapping[str, ScoreTable]) -> None:
    """Refuse to call a threshold honest that was taken from pictures which it is then measured on.

    Raises:
        ValueError: Naming the set and how many pictures it shares with the held-out source.
    """
    taken = {os.path.realpath(row.img_path) for row in held_out.samples if row.img_path}
    for name, table in tables.items():
        shared = sum(os.path.realpath(row.img_path) in taken for row in table.samples if row.img_path)
        if shared:
            raise ValueError(
                f'{shared} pictures of the test set {name!r} are also in the {source}, from which the honest protocol '
                'takes checkpoint and threshold: give val_dataloader other pictures, or take --protocol published'
            )


def _counts(metric: ScoreMetric, table: ScoreTable) -> dict[str, int]:
    """Reals and fakes at the level of the table for people, and samples."""
    reals = metric.of_main_level(table).labels.tolist()
    return {'reals': sum(reals), 'fakes': len(reals) - sum(reals), 'samples': len(table.samples)}
