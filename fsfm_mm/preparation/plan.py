"""The plan of a run: its sources in chunks, and whether a folder holds the beginning of the same run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsfm_mm.files import write_atomically
from fsfm_mm.preparation.items import Item
from fsfm_mm.preparation.settings import Settings, versions
from fsfm_mm.preparation.sources import printable

#: Frames that a video is taken for where their number is not known from the settings.
UNKNOWN_FRAMES = 32
#: Folder for what is needed until a run is complete.
WORK_FOLDER = '.prepare'
#: Written last of all: where it is, the run is complete.
SUMMARY_FILE = 'prepare.json'
_NOT_COMPARED = ('sources', 'versions')
_FRAME, _FACE = re.compile(r'_frame_?\d+$'), re.compile(r'_face\d+$')


@dataclass(frozen=True)
class Chunk:
    """Consecutive sources that are worked on and written together.

    Attributes:
        number: Its place in the plan, from 0.
        items: The sources.
    """

    number: int
    items: tuple[Item, ...]

    @property
    def weight(self) -> int:
        """Pictures and wanted frames, as far as known."""
        return sum(weight(item) for item in self.items)


@dataclass(frozen=True)
class Plan:
    """A run: what it says of itself, and its chunks.

    Attributes:
        about: Content of ``plan.json``: sources, settings, digest of the listing, versions.
        chunks: All chunks.
    """

    about: dict[str, Any]
    chunks: tuple[Chunk, ...]


def weight(item: Item) -> int:
    """1 for a picture, the number of wanted frames for a video (about, where unknown)."""
    if item.frames is None:
        return 1
    return item.frames.value if item.frames.mode in ('count', 'middle') else UNKNOWN_FRAMES


def make_chunks(items: Sequence[Item], chunk_size: int) -> Iterator[Chunk]:
    """Cut the sources into chunks of ``chunk_size`` pictures and frames; a chunk has at least one source."""
    number, begin, total = 0, 0, 0
    for i, item in enumerate(items):
        if total and total + weight(item) > chunk_size:
            yield Chunk(number, tuple(items[begin:i]))
            number, begin, total = number + 1, i, 0
        total += weight(item)
    if begin < len(items):
        yield Chunk(number, tuple(items[begin:]))


def listing_digest(items: Sequence[Item]) -> str:
    """SHA-256 over the names, sizes and wanted frames of all sources; not over where their roots lie."""
    digest = hashlib.sha256()
    for item in items:
        try:
            size = os.path.getsize(item.path)
        except OSError:  # a dangling link: reading it will say so
            size = -1
        line = json.dumps([item.root, item.source, item.key, size, str(item.frames), item.frame_name])
        digest.update(line.encode() + b'\n')
    return digest.hexdigest()


def make_plan(items: Sequence[Item], settings: Settings, about: dict[str, Any]) -> Plan:
    """Plan a run.

    Args:
        items: The sources, in the order of the manifest.
        settings: What decides the result.
        about: Further entries of ``prepare.json``, such as ``sources``.

    Raises:
        ValueError: No sources, or two sources whose results could have the same name.
    """
    if not items:
        raise ValueError('there are no pictures or videos in the sources.')
    _check_keys(items, settings.choice)
    listing = {'files': len(items), 'sha256': listing_digest(items)}
    content = {**about, **settings.as_dict(), 'listing': listing, 'versions': versions()}
    # as it will be read back: tuples are lists in JSON
    return Plan(json.loads(json.dumps(content)), tuple(make_chunks(items, settings.chunk_size)))


def _check_keys(items: Sequence[Item], choice: str) -> None:
    """Every key once, and nothing named like a frame or a further face of another source."""
    by_key: dict[str, Item] = {}
    for item in items:
        other = by_key.setdefault(item.key, item)
        if other is not item:
            raise ValueError(
                f'{printable(other.path)} and {printable(item.path)} would both be written as {item.key}: rename one.'
            )
    for item in items:
        still, person = _FRAME.sub('', item.key), _FACE.sub('', _FRAME.sub('', item.key))
        clashes = still != item.key and still in by_key and by_key[still].frames is not None
        clashes |= choice == 'all' and person != still and person in by_key
        if clashes:
            other = by_key[still] if still in by_key and still != item.key else by_key[person]
            raise ValueError(
                f'{printable(item.path)} has a name that a face of {printable(other.path)} could get '
                f'({item.key}): rename one.'
            )


def is_complete(out: Path) -> bool:
    """Whether a run has been finished there."""
    return (out / SUMMARY_FILE).is_file()


def check_place(out: Path, plan: Plan) -> None:
    """Check that a folder is free for a run, or holds the same run, begun or finished; changes nothing.

    Args:
        out: Folder of the output; may be missing.
        plan: The run.

    Raises:
        ValueError: The folder holds something else, or another run.
    """
    for file in (out / SUMMARY_FILE, _plan_file(out)):
        if file.is_file():
            _compare(out, _read(file), plan.about)
            return
    if out.is_dir():
        foreign = sorted(path.name for path in out.iterdir() if path.name != WORK_FOLDER)
        if foreign:
            raise ValueError(
                f'{out} holds files of something else ({foreign[0]}): name a new or an empty folder.'
            )


def begin(out: Path, plan: Plan) -> None:
    """Take a folder that :func:`check_place` has passed for a run; once it is ours, nothing happens.

    Raises:
        OSError: The folder cannot be written.
    """
    if not _plan_file(out).is_file():
        write_atomically(_plan_file(out), json.dumps(plan.about, indent=2) + '\n', sync=True)


def open_plan(out: Path, plan: Plan) -> bool:
    """:func:`check_place` and :func:`begin`; returns True when the complete result is there already."""
    check_place(out, plan)
    if is_complete(out):
        return True
    begin(out, plan)
    return False


def _plan_file(out: Path) -> Path:
    return out / WORK_FOLDER / 'plan.json'


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (ValueError, OSError) as error:
        raise ValueError(f'{file} cannot be read ({error}): remove the folder and begin anew.') from error
    if not isinstance(content, dict) or 'listing' not in content:
        raise ValueError(f'{file} is not of this tool: name a new or an empty folder.')
    return content


def _compare(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for key, value in now.items():
        if key in _NOT_COMPARED or before.get(key) == value:
            continue
        if key == 'listing':
            files = f'{before[key]["files"]} files then, {value["files"]} now'
            what = f'from other sources ({files}; names or sizes have changed)'
        else:
            what = f'with {key} {_shown(before.get(key))}, not {_shown(value)}'
        raise ValueError(
            f'{out} was begun {what}: repeat what it was begun with, name another folder, or remove {out}.'
        )


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
