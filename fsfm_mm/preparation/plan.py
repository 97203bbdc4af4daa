"""The plan of a run: its sources in chunks, and whether a folder holds the beginning of the same run."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsfm_mm.files import write_atomically
from fsfm_mm.files.broken import broken, reading
from fsfm_mm.files.opening import read_text
from fsfm_mm.files.prepared import SUMMARY_FILE
from fsfm_mm.preparation.settings import Settings, versions
from fsfm_mm.preparation.sources.finding import (
    FACE_TAIL,
    FRAME_TAIL,
    PLAN_FILE,
    WORK_FOLDER,
)
from fsfm_mm.preparation.sources.items import Item, items_by_key
from fsfm_mm.text import printable

#: Frames that a video is taken for where their number is not known from the settings.
UNKNOWN_FRAMES = 32
#: Of a plan that chooses for itself: about so many chunks, each within these bounds.
_CHUNKS, _LEAST_CHUNK, _LARGEST_CHUNK = 64, 16, 256
#: The name of the detector is as good as its config.
#: What the listing says already is not compared again.
_NOT_COMPARED = ('sources', 'maps', 'versions', 'detector_name', 'options', 'expected')
#: What a result says that is older than the entry.
_BEFORE = {'video_reader': 'auto'}


@dataclass(frozen=True)
class Chunk:
    """Consecutive sources that are worked on and written together.

    Attributes:
        number: Its place in the plan, from 0.
        items: The sources.
        absent: Places in ``items`` of those that were not there when they were listed: dangling links.
    """

    number: int
    items: tuple[Item, ...]
    absent: frozenset[int] = frozenset()

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
        missing: Names of sources that a list of the set names and that are not there.
    """

    about: dict[str, Any]
    chunks: tuple[Chunk, ...]
    missing: tuple[str, ...] = ()


def weight(item: Item) -> int:
    """1 for a picture, the number of wanted frames for a video (about, where unknown)."""
    if item.frames is None:
        return 1
    return item.frames.value if item.frames.mode in ('count', 'middle', 'parts') else UNKNOWN_FRAMES


def default_chunk_size(items: Sequence[Item]) -> int:
    """Small enough that a small set, too, keeps many processes busy; the same for the same listing."""
    total = sum(weight(item) for item in items)
    return max(_LEAST_CHUNK, min(_LARGEST_CHUNK, -(-total // _CHUNKS)))


def make_chunks(
    items: Sequence[Item], chunk_size: int, sizes: Sequence[int] | None = None
) -> Iterator[Chunk]:
    """Cut the sources into chunks of ``chunk_size`` pictures and frames; a chunk has at least one source.

    Args:
        items: The sources.
        chunk_size: Most pictures and frames of a chunk of several sources.
        sizes: Bytes of each source, see :func:`sizes_of`; None where all are there.
    """

    def chunk(number: int, begin: int, end: int) -> Chunk:
        absent = (i - begin for i in range(begin, end) if sizes is not None and sizes[i] < 0)
        return Chunk(number, tuple(items[begin:end]), frozenset(absent))

    number, begin, total = 0, 0, 0
    for i, item in enumerate(items):
        if total and total + weight(item) > chunk_size:
            yield chunk(number, begin, i)
            number, begin, total = number + 1, i, 0
        total += weight(item)
    if begin < len(items):
        yield chunk(number, begin, len(items))


def sizes_of(items: Sequence[Item]) -> list[int]:
    """Bytes of each source; -1 for a dangling link: reading it will say so."""
    return [_size(item.path) for item in items]


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def listing_digest(items: Sequence[Item], sizes: Sequence[int]) -> str:
    """SHA-256 over the names, sizes and wanted frames of all sources; not over where their roots lie."""
    digest = hashlib.sha256()
    for item, size in zip(items, sizes):
        masks = [_size(file) for file in (item.mask_video, *item.map_files) if file is not None]
        line = json.dumps([item.root, item.source, item.key, size, str(item.frames), item.frame_name, *masks])
        digest.update(line.encode() + b'\n')
    return digest.hexdigest()


def make_plan(
    items: Sequence[Item], settings: Settings, about: dict[str, Any], missing: Sequence[str] = ()
) -> Plan:
    """Plan a run.

    Args:
        items: The sources, in the order of the manifest.
        settings: What decides the result.
        about: Further entries of ``prepare.json``, such as ``sources``.
        missing: Names of listed sources that are not there.

    Raises:
        ValueError: No sources, or two sources whose results could have the same name.
    """
    if not items:
        raise ValueError('there are no pictures or videos in the sources.')
    _check_keys(items, settings.choice)
    sizes = sizes_of(items)
    listing: dict[str, Any] = {'files': len(items), 'sha256': listing_digest(items, sizes)}
    if missing:
        names = '\n'.join(missing).encode('utf-8', 'backslashreplace')
        listing['missing'] = {'files': len(missing), 'sha256': hashlib.sha256(names).hexdigest()}
    chunk_size = settings.chunk_size or default_chunk_size(items)
    chosen = {**asdict(settings), 'chunk_size': chunk_size}
    if not settings.upright:  # results from before the option go on, byte for byte
        del chosen['upright']
    content = {**about, **chosen, 'listing': listing, 'versions': versions()}
    # as it will be read back: tuples are lists in JSON
    return Plan(json.loads(json.dumps(content)), tuple(make_chunks(items, chunk_size, sizes)), tuple(missing))


def _check_keys(items: Sequence[Item], choice: str) -> None:
    """Every key once, and nothing named like a frame or a further face of another source."""
    by_key = items_by_key(items)
    for item in items:
        still, person = FRAME_TAIL.sub('', item.key), FACE_TAIL.sub('', FRAME_TAIL.sub('', item.key))
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
    if out.exists() and not out.is_dir():
        raise ValueError(f'the output {out} is a file: name a new or an empty folder.')
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

    Of several commands that begin at once the first takes it; the others go on only if they are of the same run.

    Raises:
        OSError: The folder cannot be written.
        ValueError: Another command has taken it for another run in the meantime.
    """
    file = _plan_file(out)
    if not file.is_file():
        mine = file.with_name(f'plan-{uuid.uuid4().hex}.json')
        write_atomically(mine, json.dumps(plan.about, indent=2) + '\n', sync=True)
        try:
            os.link(mine, file)  # whole at once, and never over the plan of another
        except FileExistsError:
            pass  # compared below
        except OSError:  # a file system without hard links
            if not file.is_file():
                os.replace(mine, file)
        finally:
            mine.unlink(missing_ok=True)
    check_place(out, plan)


def _plan_file(out: Path) -> Path:
    return out / WORK_FOLDER / PLAN_FILE


def _read(file: Path) -> dict[str, Any]:
    with reading(file, ' cannot be read', ': remove the folder and begin anew.'):
        content = json.loads(read_text(file))
    listing = content.get('listing') if isinstance(content, dict) else None
    if not isinstance(listing, dict) or type(listing.get('files')) is not int:
        raise broken(file, ' is not of this tool: name a new or an empty folder.')
    return content


def _compare(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for key, value in now.items():
        if key in _NOT_COMPARED or before.get(key, _BEFORE.get(key)) == value:
            continue
        if key == 'listing':
            files = f'{before[key]["files"]} files then, {value["files"]} now'
            gone = [listing.get('missing', {}).get('files', 0) for listing in (before[key], value)]
            if any(gone):
                files += f'; of those listed {gone[0]} were missing then, {gone[1]} now'
            what = f'from other sources ({files}; names or sizes have changed)'
        else:
            what = f'with {key} {_shown(before.get(key))}, not {_shown(value)}'
        raise ValueError(
            f'{out} was begun {what}: repeat what it was begun with, name another folder, or remove {out}.'
        )


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
