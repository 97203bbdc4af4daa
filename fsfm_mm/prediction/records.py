"""Predictions on the disk: a line of JSON as soon as a file is done, a table at the end, and what is done already."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fsfm_mm.files import replacing
from fsfm_mm.files.broken import reading
from fsfm_mm.files.listing import stat_of_file
from fsfm_mm.prediction.results import COLUMNS, Prediction
from fsfm_mm.text import csv_text

LINES, TABLE = 'predictions.jsonl', 'predictions.csv'


class Records:
    """The predictions in a folder, to which is added; whatever interrupts it costs the file that was worked on.

    Args:
        folder: Made where missing.
        model: Facts of the model, see :attr:`~fsfm_mm.prediction.Detector.facts`.
        overwrite: Begin anew.

    Attributes:
        done: Names of the inputs that are there already.

    Raises:
        ValueError: The folder holds predictions of another model or with other settings, or something else.
    """

    def __init__(self, folder: str | os.PathLike, model: Mapping[str, Any], overwrite: bool = False) -> None:
        self.path, self.table = Path(folder, LINES), Path(folder, TABLE)
        self._model = dict(model)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            stat_of_file(self.path)  # no pipe is waited at
        if overwrite:
            self.path.unlink(missing_ok=True)
        self._cut_off_half_a_line()
        self.done = {prediction.input for prediction in self}
        self._file = open(self.path, 'a', encoding='utf-8')  # noqa: SIM115 - closed by close()

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Prediction]:
        """All predictions, one at a time: a million of them need no memory."""
        if not self.path.is_file():
            return
        model = json.loads(json.dumps(self._model))
        with open(self.path, 'rb') as lines:
            for number, line in enumerate(lines, 1):
                with reading(f'{self.path}:{number}', ' is no prediction', ': name another folder'):
                    content = json.loads(line)
                    prediction = Prediction.from_dict(content)
                if content.get('model') != model:
                    raise ValueError(
                        f'{self.path} holds predictions of another model or with other settings: name another folder, '
                        'or --overwrite'
                    )
                yield prediction

    def add(self, prediction: Prediction) -> None:
        """Keep a prediction."""
        self._file.write(prediction.to_json(self._model) + '\n')
        self._file.flush()

    def close(self) -> None:
        """Write the table."""
        self._file.close()
        with replacing(self.table, sync=False) as part, open(part, 'w', encoding='utf-8', newline='') as file:
            file.write(csv_text([COLUMNS]))
            for prediction in self:
                file.write(csv_text(prediction.rows()))

    def _cut_off_half_a_line(self) -> None:
        if not self.path.is_file():
            return
        with open(self.path, 'rb+') as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(end - 65536, 0)
                file.seek(start)
                place = file.read(end - start).rfind(b'\n')
                if place >= 0:
                    end = start + place + 1
                    break
                end = start
            file.truncate(end)
