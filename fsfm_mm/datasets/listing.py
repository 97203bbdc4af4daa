"""Listing the files of a data set; what cannot be listed is said in the log."""

from __future__ import annotations

import logging
import os

from fsfm_mm.files.listing import broken_link, list_files
from fsfm_mm.text import few


def list_samples(folder: str, extensions: tuple[str, ...]) -> list[str]:
    """What :func:`~fsfm_mm.files.listing.list_files` finds, in its order; links that are passed over are logged."""
    left_out: list[str] = []
    files = list_files(folder, extensions, left_out.append)
    _tell(left_out)
    return files


def list_folders(folder: str) -> list[str]:
    """Names of the folders in a folder, sorted; links that lead nowhere are logged."""
    left_out: list[str] = []
    names = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            names.append(name)
        elif os.path.islink(path) and not os.path.splitext(name)[1] and (why := broken_link(path)):
            left_out.append(why)
    _tell(left_out)
    return names


def _tell(left_out: list[str]) -> None:
    if left_out:
        from mmengine.logging import print_log  # here: preparing imports little

        count = f'{len(left_out)} {"link" if len(left_out) == 1 else "links"}'
        print_log(f'Left out: {count}: {few(left_out, between=" ")}', logger='current', level=logging.WARNING)
