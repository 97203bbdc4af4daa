"""What a prepared set says of itself: ``prepare.json`` in its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

#: Written last of all by a preparation: the folder that holds it is a complete result.
SUMMARY_FILE = 'prepare.json'


def read_summary(root: str | os.PathLike) -> dict[str, Any]:
    """Content of ``prepare.json``; empty for a set that comes from elsewhere.

    Raises:
        ValueError: The file holds something else.
    """
    summary = Path(root, SUMMARY_FILE)
    if not summary.is_file():
        return {}
    try:
        about = json.loads(summary.read_bytes())
    except ValueError as error:
        raise ValueError(
            f'{summary}: no JSON ({error}): prepare the set again, or delete the file.'
        ) from error
    if not isinstance(about, dict):
        raise ValueError(f'{summary}: expected a JSON object: prepare the set again, or delete the file.')
    return about
