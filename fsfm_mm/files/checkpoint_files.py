"""Checkpoint files: read without running code that they contain, written whole or not at all."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import torch
from safetensors.torch import load_file as load_safetensors
from safetensors.torch import save_file

from fsfm_mm.files import replacing
from fsfm_mm.files.broken import broken, reading, reason
from fsfm_mm.files.listing import stat_of_file
from fsfm_mm.text import brief, shortened

ZIP_START = b'PK\x03\x04'
#: Torch's legacy format begins with a pickled magic number; later protocols put a frame before the number.
LEGACY_NUMBER = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
LEGACY_START = b'\x80\x02' + LEGACY_NUMBER
#: Pickles at the start of torch's legacy format: magic number, version, system, the object, storage keys.
MAX_PICKLES = 5
#: The end of a sentence about a file that lost something.
AGAIN = ': copy or download it again, or take the checkpoint before it.'
#: Characters of a class's name in a pickle: with the square of it grows the time that torch takes to refuse it.
LONGEST_GLOBAL = 1000
#: An operation takes a byte of the file, a few microseconds, and up to 220 bytes of memory.
MAX_OPERATIONS = 4_000_000
#: Tensors may name the same bytes many times over; so many times the size of the file, and so many bytes, are enough.
UNPACKED_TIMES, UNPACKED_BYTES = 16, 1 << 26
#: What a safetensors file holds beside tensors, as JSON: the card, and what timm needs to build an export.
METADATA = ('card', 'timm_config')
NUMPY_MAKERS = ('_reconstruct', 'scalar')


def _history_method(owner: Any, name: str) -> Any:
    """The one use that mmengine's log buffers make of ``getattr`` in a pickle; no other is allowed."""
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'GLOBAL builtins.getattr (for {name!r}) was not an allowed global')
    return getattr(owner, name)


@functools.cache
def allowed_globals() -> tuple[tuple[Any, str], ...]:
    """What a pickle may name besides torch's own list: (object, name in the file).

    ``argparse.Namespace`` for the reference's ``args``; numpy numbers and arrays, log buffers and config
    dictionaries for mmengine's own checkpoints. A ``ConfigDict`` becomes a plain dict. mmengine's loader
    also allows ``getattr`` without limits; here it reaches the four methods of a log buffer only.
    """
    # here, not above: whoever only asks what kind of file something is shall not wait for mmengine
    from mmengine.logging import HistoryBuffer

    arrays = np._core.multiarray  # type: ignore[attr-defined]  # private, and what pickles name
    numbers = ('?', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')
    return (
        (argparse.Namespace, 'argparse.Namespace'),
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_history_method, 'builtins.getattr'),
        (dict, 'mmengine.config.config.ConfigDict'),
        (np.ndarray, 'numpy.ndarray'),
        (np.dtype, 'numpy.dtype'),
        *((getattr(arrays, f), f'numpy.{c}.multiarray.{f}') for c in ('_core', 'core') for f in NUMPY_MAKERS),
        *((t := type(np.dtype(code)), f'{t.__module__}.{t.__name__}') for code in numbers),
    )


def load_checkpoint_file(path: str | os.PathLike, trust: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: torch's zip or legacy format, or safetensors.

    The content decides which of them it is, not the name. Pickles are read with torch's weights-only
    unpickler and :func:`allowed_globals`, so that a file cannot run code.

    Args:
        path: The file.
        trust: Unpickle without limits. **A pickle can run any program**: only for files whose origin you
            know.

    Returns:
        The dictionary in the file. A safetensors file gives ``state_dict`` and, where it has one, ``card``.

    Raises:
        ValueError: One sentence: no such file, a folder, empty, cut short, no checkpoint, no dictionary in
            it, or a pickle that needs more than weights, naming what.
    """
    path = Path(path)
    kind = _file_kind(path)
    if kind == 'safetensors':
        return _load_safetensors(path)
    if kind == 'zip':
        _check_zip(path)
    loaded = _load_pickled(path, kind, trust)
    if not isinstance(loaded, Mapping):
        raise broken(
            path,
            f': expected a dictionary (a checkpoint or a state dict), found a {type(loaded).__name__}.',
        )
    with reading(path, ' holds no checkpoint', AGAIN):
        _check_content(loaded, path.stat().st_size)
    return dict(loaded)


def _check_content(loaded: Mapping[str, Any], size: int) -> None:
    """Whether names are texts, and tensors not far more than the file that they came from."""
    state = loaded.get('state_dict', {})
    if not isinstance(state, Mapping):
        raise ValueError(f'state_dict must hold tensors by name, but is {brief(state)}')
    parts = {'it': loaded, 'state_dict': state, 'model': loaded.get('model')}
    total = 0
    for name, part in parts.items():
        for key, value in part.items() if isinstance(part, Mapping) else ():
            if not isinstance(key, str):
                raise ValueError(f'the names in {name} must be texts, but one is {brief(key)}')
            if isinstance(value, torch.Tensor):
                if value.layout != torch.strided or value.is_meta:
                    raise ValueError(f'{shortened(key, 60)} is a tensor without values or a sparse one')
                total += value.numel() * value.element_size()
    if total > UNPACKED_TIMES * size + UNPACKED_BYTES:
        raise ValueError(f'{size} bytes stand for tensors of {total}')


def check_whole(path: str | os.PathLike) -> None:
    """Check a checkpoint file from beginning to end, without keeping it in memory.

    The checksums in torch's zip files are compared (about a second a gigabyte); other files are read. A folder
    (a sharded checkpoint of another strategy) passes.

    Args:
        path: The file.

    Raises:
        ValueError: One sentence: it is cut short, damaged, or no checkpoint.
    """
    path = Path(path)
    if path.is_dir():
        return
    if _file_kind(path) != 'zip':
        load_checkpoint_file(path)
        return
    _check_zip(path)
    with _cut_short(path), zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f'the checksum of {damaged} is wrong')


def _file_kind(path: Path) -> str:
    """'zip', 'legacy' or 'safetensors', by the first bytes."""
    if path.is_dir():
        raise broken(path, ' is a folder: expected a checkpoint file.')
    with reading(path, ': the checkpoint cannot be read'):
        stat_of_file(path)
        with open(path, 'rb') as file:
            head = file.read(64)
    if not head:
        raise broken(path, ' is empty: expected a checkpoint file; copy or download it again.')
    if head.startswith(ZIP_START):
        return 'zip'
    if head[:1] == b'\x80' and (LEGACY_NUMBER in head[:32] or LEGACY_START.startswith(head)):
        return 'legacy'
    if head[8:9] == b'{' or (len(head) < 9 and path.suffix == '.safetensors'):
        return 'safetensors'
    raise broken(path, f' is not a checkpoint: {_what_else(head)}.')


def _what_else(head: bytes) -> str:
    text = head.lstrip().lower()
    if text.startswith((b'<!doctype', b'<html', b'<?xml')):
        return 'it is a web page, as servers send instead of a file that needs a log-in or is gone'
    if text.startswith(b'version https://git-lfs'):
        return "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'"
    if head[:1] == b'\x80':
        return 'it is a pickle, but not one that torch.save wrote'
    if len(head) < 8 and any(start.startswith(head) for start in (ZIP_START, LEGACY_START)):
        return 'it is cut short after a few bytes'
    return f'expected a zip archive or pickle of torch.save or a safetensors file, found {head[:12]!r}'


def _cut_short(path: Path) -> contextlib.AbstractContextManager[None]:
    return reading(path, ' is cut short or damaged', AGAIN)


def _check_zip(path: Path) -> None:
    size = path.stat().st_size
    with _cut_short(path):
        if not zipfile.is_zipfile(path):
            raise ValueError('the directory at the end of the zip archive is missing')
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if sum(entry.compress_size for entry in entries) > size:  # the same bytes under many names
            raise ValueError('its parts together are longer than the file')
    names = [entry.filename.rsplit('/', 1)[-1] for entry in entries]
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if 'data.pkl' not in names:
        raise broken(path, ' is not a checkpoint: it is a zip archive that torch.save did not write.')
    if names.count('data.pkl') > 1:  # whoever looks at one of them might not look at the one that is loaded
        raise broken(path, ' is not a checkpoint: it has more than one data.pkl, torch.save writes one.')
    if 'constants.pkl' in names:
        raise broken(path, ' is a TorchScript program, not a checkpoint: expected a state dict.')
    if packed:  # a few bytes can unpack to more than any memory holds
        told = f'{shortened(packed[0], 60)} in it is compressed, which torch.save never does'
        raise broken(path, f' is not a checkpoint: {told}.')


def _load_pickled(path: Path, kind: str, trust: bool) -> Any:
    with _cut_short(path):
        names = [] if trust else pickled_globals(_pickle_bytes(path, kind))
        if any(len(name) > LONGEST_GLOBAL for name in names):
            raise ValueError(f'its pickle asks for a name of more than {LONGEST_GLOBAL} characters')
        # an open file: of a path, torch would believe the ending
        with open(path, 'rb') as file, torch.serialization.safe_globals(list(allowed_globals())):
            try:
                return torch.load(file, map_location='cpu', weights_only=not trust)
            except (pickle.UnpicklingError, ImportError, AttributeError) as raised:
                if isinstance(raised, pickle.UnpicklingError) == trust:
                    raise  # damaged; else it may be whole, and ask for too much
                error = raised
    if trust:
        told = f': its pickle needs something that is not installed ({reason(error)}).'
        raise broken(path, told) from error
    return _explain(path, error, names)


def _explain(path: Path, error: Exception, names: Sequence[str]) -> NoReturn:
    """Say what a whole pickle asks for and is not given."""
    message = str(error)
    match = re.search(r'GLOBAL ([\w.]+)', message)
    harmless = {'collections.OrderedDict', '_codecs.encode', *(name for _, name in allowed_globals())}
    others = [name for name in names if name not in harmless and not name.startswith('torch.')]
    said = re.search(r'WeightsUnpickler error: (.*)', message)
    unknown = f'an operation that is not known here ({shortened(said[1] if said else message, 60)})'
    needed = shortened(match[1], 80) if match else shortened(', '.join(others), 80) or unknown
    told = f'its pickle asks for {needed}, which is more than weights and may run a program'
    raise broken(
        path,
        f' was not loaded: {told}; if you trust where the file comes from, load it with --trust (trust=True).',
    ) from error


def _pickle_bytes(path: Path, kind: str) -> BinaryIO:
    if kind == 'legacy':
        return open(path, 'rb')
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.rsplit('/', 1)[-1] == 'data.pkl')
        return io.BytesIO(archive.read(name))


def pickled_globals(stream: BinaryIO) -> list[str]:
    """Names of the classes and functions that a pickle, or torch's run of five, asks for; nothing of it is run.

    ``torch.serialization.get_unsafe_globals_in_checkpoint`` knows neither the legacy format nor pickles of protocol
    4, and does not tell a pickle that is cut from a whole one.

    Args:
        stream: Binary file at the start of the first pickle; it is closed afterwards.

    Returns:
        'module.name' of each, in order, once.

    Raises:
        ValueError: Where a pickle ends too early or holds an operation that does not exist.
        OverflowError: It has more than :data:`MAX_OPERATIONS`.
    """
    names: dict[str, None] = {}
    with stream:
        for _ in range(MAX_PICKLES):
            start = stream.tell()
            if not stream.read(1):
                break
            stream.seek(start)
            try:
                names.update(dict.fromkeys(_globals_of_one(stream)))
            except (ValueError, IndexError) as error:
                raise ValueError(f'its pickle ends early: {error}') from error
    return list(names)


def _globals_of_one(stream: BinaryIO) -> Iterator[str]:
    strings: list[str] = ['']
    memo: dict[Any, str] = {}
    for number, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if number == MAX_OPERATIONS:
            raise OverflowError(
                f'its pickle has more than {MAX_OPERATIONS} operations, weights need thousands'
            )
        if operation.name == 'GLOBAL':
            yield str(argument).replace(' ', '.')
        elif operation.name == 'STACK_GLOBAL':
            yield '.'.join(strings[-2:])
        elif operation.name == 'MEMOIZE':
            memo[len(memo)] = strings[-1]
        elif operation.name.endswith('PUT'):
            memo[argument] = strings[-1]
        elif operation.name.endswith('GET'):
            strings.append(memo.get(argument, ''))
        elif isinstance(argument, str):
            strings.append(argument)


def _load_safetensors(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with _cut_short(path), open(path, 'rb') as file:
        length = int.from_bytes(file.read(8), 'little')
        if size < 8 + length:
            follow = f'{max(size - 8, 0)} follow'
            raise ValueError(f'a safetensors header of {length} bytes is announced, {follow}')
        text = file.read(length)
    with reading(path, ' is not a checkpoint: its safetensors header is no such JSON'):
        header = json.loads(text)
        ends = [int(entry['data_offsets'][1]) for name, entry in header.items() if name != '__metadata__']
        metadata = {name: (header.get('__metadata__') or {}).get(name) for name in METADATA}
    with _cut_short(path):
        expected = 8 + length + max(ends, default=0)
        if size < expected:
            raise ValueError(f'{expected} bytes are announced, {size} are there')
    with reading(path, ': the safetensors file is damaged'):
        loaded: dict[str, Any] = {'state_dict': load_safetensors(path)}
    for name, value in metadata.items():
        if value is not None:
            with reading(path, f': the {name} in it is no JSON'):
                loaded[name] = json.loads(value)
    return loaded


def save_checkpoint_file(obj: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write a checkpoint; whoever looks at ``path`` sees the old file or the whole new one.

    Args:
        obj: What torch.save takes. For a path that ends in ``.safetensors``: tensors by name, or
            ``{'state_dict': tensors, 'card': card}``; the card is stored as JSON in the file's metadata.
        path: File to write; missing folders are made.

    Raises:
        ValueError: When something else than tensors and a card is to go into a safetensors file.
        OSError: When the disk refuses; no partial file stays behind.
    """
    path = Path(path)
    as_safetensors = path.suffix == '.safetensors'
    tensors, metadata = _flat(obj, path) if as_safetensors else ({}, {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        if as_safetensors:
            save_file(tensors, part, metadata=metadata)
        else:
            torch.save(obj, part)


def _flat(obj: Mapping[str, Any], path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors without shared memory, and metadata, for safetensors."""
    whole = isinstance(obj.get('state_dict'), Mapping)
    state = obj['state_dict'] if whole else obj
    others = sorted(set(obj) - {'state_dict', *METADATA}) if whole else []
    others += sorted(str(key) for key, value in state.items() if not isinstance(value, torch.Tensor))
    if others:
        raise ValueError(
            f'{path}: safetensors holds tensors and the card only, found {others[:8]}: leave them out or '
            'write a .pth file.'
        )
    metadata = {'format': 'pt'}
    for name in METADATA if whole else ():
        if obj.get(name) is not None:
            metadata[name] = json.dumps(obj[name], ensure_ascii=False)
    seen: set[int] = set()
    tensors = {}
    for key, value in state.items():
        value = value.detach().contiguous()
        pointer = value.untyped_storage().data_ptr()
        tensors[key] = value.clone() if pointer in seen else value
        seen.add(pointer)
    return tensors, metadata
