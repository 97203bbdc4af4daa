"""Score test sets with a trained classifier: one model, several sets, one table of scores each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.runner import Runner

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.checkpoints.card_hook import check_model
from fsfm_mm.engine.data_faults import LOADER_TIMEOUT
from fsfm_mm.evaluation import ScoreTable, bootstrap_interval, select_threshold
from fsfm_mm.evaluation.metrics import ScoreMetric
from fsfm_mm.evaluation.summaries import INTERVAL_METRICS
from fsfm_mm.files.checkpoint_files import load_checkpoint_file
from fsfm_mm.files.checkpoint_matching import mismatch
from fsfm_mm.files.progress import ProgressBar
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.registry import METRICS, MODELS


def load_classifier(
    cfg: Config, checkpoint: str | Path, trust: bool = False
) -> tuple[torch.nn.Module, ModelCard | None]:
    """Build a config's classifier and load all of its weights.

    Args:
        cfg: Config with ``model``; a ``Pretrained`` initialisation in it is not read.
        checkpoint: File that the model's training left, or a converted one.
        trust: Allow the file to run code while it is read.

    Returns:
        The model in evaluation mode on the device that there is, and the checkpoint's card if it has one.

    Raises:
        ValueError: When the file cannot be read, or its weights are not this model's (the keys are named).
    """
    content = load_checkpoint_file(checkpoint, trust=trust)
    state = content.get('state_dict', content.get('model', content))
    settings = cfg.model.copy()
    settings.backbone = {**settings.backbone, 'init_cfg': None}
    model = MODELS.build(settings)
    found = mismatch(model.state_dict(), state, most=3)
    if found:
        raise ValueError(f"{checkpoint} does not hold this config's model: {found}.")
    model.load_state_dict(state)
    card = content.get('card')
    return model.to(get_device()).eval(), None if card is None else ModelCard.from_dict(card)


def check_card(
    card: ModelCard | None, model: torch.nn.Module, metainfo: Mapping[str, Any], name: str
) -> None:
    """Compare a checkpoint's card with the model's preprocessing and a test set's classes.

    Raises:
        ValueError: When the classes or their order contradict: every score would be wrong. Other
            contradictions are warned of.
    """
    if card is None:
        return
    check_model(card, model, where='in this config')
    classes = metainfo.get('classes')
    card.check_against(
        classes=classes,
        positive_class=metainfo.get('positive_class'),
        reaction='error',
        where=f'in test set {name!r}',
    )


@torch.inference_mode()
def score_set(
    model: torch.nn.Module,
    dataset: Mapping[str, Any],
    loader: Mapping[str, Any],
    metric: Mapping[str, Any],
    name: str,
    dtype: str = 'float32',
    card: ModelCard | None = None,
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

    Returns:
        The metrics and the scores, the same on every process.

    Raises:
        ValueError: When the set cannot be used, or the card contradicts its classes.
    """
    device = next(model.parameters()).device
    settings = {**loader, 'dataset': dataset, 'pin_memory': device.type == 'cuda'}
    if settings.get('num_workers', 0) > 0:
        settings.setdefault('timeout', LOADER_TIMEOUT)  # torch waits for ever by itself
    data = Runner.build_dataloader(settings, seed=0)
    check_card(card, model, data.dataset.metainfo, name)
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


def source_threshold(table: ScoreTable, level: str) -> float:
    """EER threshold of source scores at 'video' or 'frame' level, to be frozen before any target is seen."""
    scores = table.videos() if level == 'video' else table
    return select_threshold(scores.scores, scores.labels, 'eer')


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
