"""What a prepared set says of itself: ``prepare.json`` in its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fsfm_mm.files.broken import broken, check_kinds, parse_json, reading
from fsfm_mm.files.opening import MAX_TEXT, read_bytes
from fsfm_mm.text import brief

#: Written last of all by a preparation: the folder that holds it is a complete result.
SUMMARY_FILE = 'prepare.json'
#: What is read of it, where it is there.
_KINDS = {
    'approximate_maps': bool,
    'map_limits': str,
    'detector_name': str,
    'chip_padding': float,
    'margin': float,
    'set': str,
    'options': dict,
    'expected': list,
}
_ROW = {'split': str, 'folder': str, 'listed': int, 'there': int}


def read_summary(root: str | os.PathLike) -> dict[str, Any]:
    """Content of ``prepare.json``; empty for a set that comes from elsewhere.

    Raises:
        ValueError: The file holds something else.
    """
    summary = Path(root, SUMMARY_FILE)
    if not summary.is_file():
        return {}
    then = ': prepare the set again, or delete the file.'
    with reading(summary, ': cannot be read', then):
        data = read_bytes(summary, MAX_TEXT)
    about = parse_json(data, summary, then=then)
    check_kinds(about, _KINDS, summary, then)
    for row in about.get('expected') or ():
        if not isinstance(row, dict) or not set(_ROW) <= set(row):
            told = f'"expected" must have objects with {", ".join(_ROW)}, found {brief(row)}'
            raise broken(summary, f': {told}{then}')
        check_kinds(row, _ROW, summary, then)
    return about
