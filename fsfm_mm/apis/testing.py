"""Score test sets with a trained classifier: one model, several sets, one table of scores each."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from scipy.stats import binomtest

from fsfm_mm.apis.loading import Loaded, load_checked
from fsfm_mm.checkpoints.agreement import refuse_or_note, typed_for
from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.checkpoints.card_hook import FROM_METAINFO
from fsfm_mm.checkpoints.picture_settings import picture_view, set_picture_size
from fsfm_mm.datasets.labelled.crops import CROP_FACTS, are_nearest, crop_facts
from fsfm_mm.engine.data_faults import LOADER_TIMEOUT
from fsfm_mm.evaluation import ScoreTable, bootstrap_interval, select_threshold
from fsfm_mm.evaluation.metrics import ScoreMetric
from fsfm_mm.evaluation.summaries import INTERVAL_METRICS
from fsfm_mm.files.progress import ProgressBar
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.registry import METRICS
from fsfm_mm.settings.reading import typed_settings

#: How frame scores become a video's, see :meth:`~fsfm_mm.evaluation.ScoreTable.videos`.
AGGREGATION = 'mean'


def load_classifier(
    cfg: Config, checkpoint: str | Path, trust: bool = False, override: bool = False
) -> Loaded:
    """The classifier of a checkpoint: as its card says, not as the config does.

    Args:
        cfg: Config with ``model``, which is built where the card does not say how. What the user typed in it
            (``read_config``'s options) and contradicts the card is refused.
        checkpoint: File that the model's training left, a converted one, or a work directory.
        trust: Allow the file to run code while it is read.
        override: Let what was typed win over the card.

    Returns:
        The model in evaluation mode on the device that there is, its card, and what was decided.

    Raises:
        ValueError: The file cannot be read, is no classifier's, contradicts what was typed, or its weights are not
            the model's (the keys are named).
    """
    loaded = load_checked(
        checkpoint,
        cfg.model,
        typed_for(typed_settings(cfg), 'model.'),
        override,
        trust=trust,
    )
    if not isinstance(getattr(loaded.model, 'head', None), torch.nn.Module):
        raise ValueError(
            f'{checkpoint} holds a {type(loaded.model).__name__} of pretraining, which has no classes: fine-tune a '
            f'detector from it first (fsfm-mm train vit-t_own-faces --init {checkpoint})'
        )
    for sentence in loaded.agreement.taken:
        print_log(sentence, logger='current')
    return loaded


def fit_dataset(dataset: Mapping[str, Any], card: ModelCard, takes_classes: bool = False) -> dict[str, Any]:
    """A test set's config with the size of pictures that the card says.

    Args:
        dataset: Config of a data set, which is not changed.
        card: The checkpoint's card.
        takes_classes: Whether the set has no classes of its own, and gets the card's.
    """
    fitted = copy.deepcopy(dict(dataset))
    if card.input_size is not None:
        set_picture_size(fitted, card.input_size)
    if takes_classes and card.classes is not None:
        fitted.update(classes=card.classes, positive_class=card.positive_class or card.classes[-1])
    return fitted


def check_card(
    card: ModelCard | None, metainfo: Mapping[str, Any], name: str, override: bool = False
) -> tuple[str, ...]:
    """Compare a checkpoint's card with what a test set says of itself.

    Crops that come as near to the card's as can be without dlib, or MTCNN, are warned of and taken; so are crops of
    which nothing is known.

    Returns:
        Notes on what was overridden: the crop's margin and the detector.

    Raises:
        ValueError: They contradict. Classes and their order are never overridden: every score would be wrong.
    """
    if card is None:
        return ()
    where = f'in test set {name!r}'
    facts = {key: metainfo.get(key) for key in FROM_METAINFO}
    order = {key: facts.pop(key) for key in ('classes', 'positive_class')}
    card.check_against(**order, reaction='error', where=where)
    facts['aggregation'] = facts['aggregation'] or AGGREGATION
    if card.detector is not None and facts.get('detector') is None:
        print_log(
            f'nothing says how the faces of {name!r} were cut (no prepare.json); the model saw crops of '
            f'{card.detector!r}: other crops give other scores, and a threshold of theirs holds for them alone.',
            logger='current',
            level=logging.WARNING,
        )
    if are_nearest(facts, card.to_dict()):
        told = {key: facts.pop(key) for key in CROP_FACTS}
        for sentence in card.check_against(**told, reaction='return', where=where):
            print_log(
                f'{sentence} These crops come nearest to each other, but are not the same: do not compare the '
                'third digit with published numbers.',
                logger='current',
                level=logging.WARNING,
            )
    found = card.check_against(**facts, reaction='return', where=where)
    return refuse_or_note([sentence.rstrip('.') for sentence in found], override)


def check_view(
    card: ModelCard | None, dataset: Mapping[str, Any], name: str, override: bool = False
) -> tuple[str, ...]:
    """Compare what a test set shows of its crops with what the card's tests show.

    Args:
        card: The checkpoint's card.
        dataset: Config of the test set.
        name: Its name, for messages.
        override: Let the test set win.

    Returns:
        Notes on what was overridden.

    Raises:
        ValueError: They contradict.
    """
    if card is None:
        return ()
    found = card.check_against(view=picture_view(dataset), reaction='return', where=f'in test set {name!r}')
    return refuse_or_note([sentence.rstrip('.') for sentence in found], override)


@torch.inference_mode()
def score_set(
    model: torch.nn.Module,
    dataset: Mapping[str, Any],
    loader: Mapping[str, Any],
    metric: Mapping[str, Any],
    name: str,
    dtype: str = 'float32',
    card: ModelCard | None = None,
    overridden: list[str] | None = None,
) -> tuple[dict[str, float], ScoreTable]:
    """Score every sample of a test set.

    Args:
        model: From :func:`load_classifier`.
        dataset: Config of the data set.
        loader: Config of a dataloader, whose ``dataset`` is replaced.
        metric: Config of a :class:`~fsfm_mm.evaluation.ScoreMetric`.
        name: Name of the set, for progress and messages.
        dtype: 'float32', 'bfloat16' or 'auto'.
        card: The checkpoint's card; its classes must be the set's.
        overridden: Where notes go on crops and detectors that contradict the card; None refuses these sets.

    Returns:
        The metrics and the scores, the same on every process.

    Raises:
        ValueError: When the set cannot be used, or the card contradicts what it says of itself.
    """
    device = next(model.parameters()).device
    settings = {**loader, 'dataset': dataset, 'pin_memory': device.type == 'cuda'}
    if settings.get('num_workers', 0) > 0:
        settings.setdefault('timeout', LOADER_TIMEOUT)  # torch waits for ever by itself
    data = Runner.build_dataloader(settings, seed=0)
    facts = {**data.dataset.metainfo, **crop_facts(data.dataset)}
    notes = check_card(card, facts, name, override=overridden is not None)
    if overridden is not None:
        overridden += notes
    evaluator: ScoreMetric = METRICS.build(metric)
    evaluator.dataset_meta = data.dataset.metainfo
    autocast = resolve_dtype(dtype, device) == torch.bfloat16
    with ProgressBar(len(data.dataset), 'pictures', name=name, shown=is_main_process()) as bar:
        for batch in data:
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                samples = model.test_step(batch)  # type: ignore[operator]
            evaluator.process(batch, [sample.to_dict() for sample in samples])
            bar.show(min(bar.done + len(samples) * get_world_size(), bar.total))
    metrics = evaluator.evaluate(len(data.dataset))
    table = [evaluator.table]  # on the main process only: all processes go on with the same scores
    broadcast_object_list(table)
    assert table[0] is not None
    return metrics, table[0]


def source_threshold(table: ScoreTable, level: str, rate: float | None = None) -> tuple[float, str]:
    """A threshold of source scores, to be frozen before any target is seen, and what it does there.

    Args:
        table: Scores of held-out source data.
        level: 'video' or 'frame'.
        rate: Share of the reals that may be taken for fake; None gives the EER threshold.

    Returns:
        The threshold, and words: how it was chosen, false alarms and misses with 95% intervals (Clopper-Pearson).

    Raises:
        ValueError: There are too few reals for the rate: not one of them could be flagged.
    """
    scores = table.videos() if level == 'video' else table
    reals = int(scores.labels.sum())
    if rate is not None and reals * rate < 1:
        raise ValueError(
            f'a threshold at which {rate:g} of the reals are flagged needs {math.ceil(1 / rate)} real {level}s of '
            f'held-out source data or more, found {reals}: take a higher rate, or more data'
        )
    criterion, chosen = (
        ('eer', 'EER threshold') if rate is None else ('fpr_on_reals', f'{rate:g} of the reals flagged')
    )
    threshold = select_threshold(scores.scores, scores.labels, criterion, 0.01 if rate is None else rate)
    taken = scores.scores >= threshold
    false_alarms, misses = (
        int((~taken & (scores.labels == 1)).sum()),
        int((taken & (scores.labels == 0)).sum()),
    )
    fakes = len(scores.labels) - reals
    return (
        threshold,
        f'{chosen}: flags {_share(false_alarms, reals)} reals, misses {_share(misses, fakes)} fakes',
    )


def _share(count: int, number: int) -> str:
    """'3 of 200 (1.5%, 95% interval 0.3-4.3%)'."""
    if not number:
        return '0 of 0'
    interval = binomtest(count, number).proportion_ci()
    low, high = 100 * interval.low, 100 * interval.high
    return f'{count} of {number} ({count / number:.1%}, 95% interval {low:.1f}-{high:.1f}%)'


def intervals(
    metrics: Mapping[str, float], table: ScoreTable, levels: Sequence[str], num_resamples: int
) -> dict[str, tuple[float, float]]:
    """Bootstrap confidence intervals (95%, over videos) of the metrics that have one.

    Args:
        metrics: Metrics of the set, as its evaluator named them.
        table: Its scores.
        levels: Levels that were evaluated; a metric without a level in its name is the last one's.
        num_resamples: Resamples; 0 for no intervals.
    """
    found: dict[str, tuple[float, float]] = {}
    for key in metrics if num_resamples else ():
        level, _, short = key.rpartition('/')
        if short not in INTERVAL_METRICS:
            continue
        by_video = (level or levels[-1]) == 'video'
        has_videos = all(row.video_id for row in table.samples)
        scores = table.videos() if by_video else table
        units = None if by_video or not has_videos else table.video_keys
        interval = bootstrap_interval(
            INTERVAL_METRICS[short], scores.scores, scores.labels, units, num_resamples=num_resamples
        )
        found[key] = (interval.low, interval.high)
    return found
