"""What a test leaves on the disk, beside the checkpoint: tables, scores per sample and video, pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsfm_mm.files.opening import read_text

if TYPE_CHECKING:
    from fsfm_mm.apis.protocols import ProtocolResult


def results_folder(checkpoints: Sequence[str | os.PathLike]) -> Path:
    """Where the results of a test belong: in ``test/`` beside the checkpoint, under the checkpoint's name.

    Args:
        checkpoints: The one that is tested, or several to choose among.

    Raises:
        ValueError: Several checkpoints lie in different folders, so none of these is the results' own.
    """
    paths = [Path(checkpoint) for checkpoint in checkpoints]
    folders = [path if path.is_dir() else path.parent for path in paths]
    if len({folder.absolute() for folder in folders}) > 1:
        raise ValueError(
            f'the checkpoints lie in different folders ({folders[0]}, {folders[-1]}, ...): name the folder of the '
            'results with --out'
        )
    first, last = paths[0].stem, paths[-1].stem
    return folders[0] / 'test' / (first if len(paths) == 1 else f'{first}_to_{last}_of_{len(paths)}')


def set_earlier_aside(folder: Path, protocol: str, result: ProtocolResult) -> str | None:
    """Make room for the results of a protocol: earlier ones of other sets or checkpoints are kept.

    Results of the same sets and checkpoints are removed, since the new ones take their place; others are moved to
    ``earlier_N/``, so that no file of theirs lies among the new ones.

    Returns:
        A sentence about what was done; None where there was nothing.
    """
    files = [*folder.glob(f'{protocol}.*'), *folder.glob(f'{protocol}_*')]
    if not files:
        return None
    if _same_test(folder / f'{protocol}.json', result):
        for file in files:
            file.unlink()
        return f'earlier results of the {protocol} protocol in {folder} were replaced'
    number = 1
    while (folder / f'earlier_{number}' / f'{protocol}.json').exists():
        number += 1
    aside = folder / f'earlier_{number}'
    aside.mkdir(exist_ok=True)
    for file in files:
        file.replace(aside / file.name)
    return f'earlier results of the {protocol} protocol, of other sets or checkpoints, are in {aside} now'


def _same_test(path: Path, result: ProtocolResult) -> bool:
    """Whether an earlier report is about the same sets under the same checkpoints."""
    try:
        before = json.loads(read_text(path))['checkpoints']
        now = result.report.checkpoints
        return before.keys() == now.keys() and all(
            Path(before[name]).absolute() == Path(now[name]).absolute() for name in now
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def file_names(sets: Iterable[str]) -> list[str]:
    """What the files of each test set are called: letters, numbers and '-', short, and each another."""
    names: list[str] = []
    for name in sets:
        plain = ''.join(c if c.isascii() and c.isalnum() else '-' for c in name)[:80]
        candidate, number = plain, 1
        while candidate in names:
            number += 1
            candidate = f'{plain}-{number}'
        names.append(candidate)
    return names


def write_result(result: ProtocolResult, protocol: str, folder: Path) -> None:
    """Table in four forms, scores per sample and video, ROC curves and histograms."""
    from fsfm_mm.visualization import draw_roc_curves, draw_score_histogram

    result.report.write(folder, protocol)
    caveat = result.report.caveat
    prefix = (
        f'{protocol}_{caveat.replace(" ", "-")}' if caveat else protocol
    )  # scores and pictures say it by name
    also = f', {caveat}' if caveat else ''
    curves = {}
    threshold = 0.5 if result.threshold is None else result.threshold
    for (name, table), of_set in zip(result.tables.items(), file_names(result.tables)):
        stem = f'{prefix}_{of_set}'
        table.write_samples(folder / f'{stem}_samples.csv')
        scores: Any = table
        if all(row.video_id for row in table.samples):
            table.write_videos(folder / f'{stem}_videos.csv')
            scores = table.videos()
        draw_score_histogram(
            scores.scores,
            scores.labels,
            folder / f'{stem}_scores.png',
            threshold=threshold,
            title=name + also,
        )
        if len(set(scores.labels.tolist())) == 2:
            curves[name] = (scores.scores, scores.labels)
    if curves:
        draw_roc_curves(
            curves, folder / f'{prefix}_roc.png', title=f'{protocol} protocol{also}', threshold=threshold
        )
