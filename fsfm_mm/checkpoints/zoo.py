"""Published weights by name: fetched once, checked, and then taken from the disk."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from fsfm_mm.files import download, sha256_of
from fsfm_mm.files.download import cache_folder

#: Folder for files that were fetched and for files put there by hand.
FOLDER_VARIABLE = 'FSFM_MM_ZOO_DIR'
PARTS = ('online', 'target', 'stats')


@functools.cache
def _zoo() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name('zoo.json').read_text(encoding='utf-8'))


def zoo_names() -> tuple[str, ...]:
    """Names of the published weights."""
    return tuple(_zoo()['models'])


def zoo_entry(name: str) -> dict[str, Any]:
    """What zoo.json says of a name, with ``repository``, ``licence`` and ``source`` filled in.

    Raises:
        ValueError: For an unknown name, listing those that there are.
    """
    zoo = _zoo()
    if name not in zoo['models']:
        raise ValueError(f'{name!r} is not one of the published weights: {", ".join(zoo_names())}.')
    return {**{key: value for key, value in zoo.items() if key != 'models'}, **zoo['models'][name]}


def zoo_folder() -> Path:
    """``$FSFM_MM_ZOO_DIR``, or the folder zoo in :func:`~fsfm_mm.files.download.cache_folder`."""
    own = os.environ.get(FOLDER_VARIABLE)
    return Path(own).expanduser() if own else cache_folder() / 'zoo'


def fetch(name: str, part: str = 'online') -> Path:
    """File of published weights, downloaded where it is not on the disk yet.

    Looked for in this order: :func:`zoo_folder` / name / file, the cache of the Hugging Face hub, the hub. The
    hub's own variables hold: ``$HF_ENDPOINT`` names a mirror, ``$HF_HUB_CACHE`` the cache, ``$HF_HUB_OFFLINE`` forbids
    to ask. The download is ours: one that was cut goes on where it was, also in a later call.

    Args:
        name: One of :func:`zoo_names`.
        part: 'online' (the encoder and its decoders), 'target' (the target network) or 'stats'
            (``pretrain_ds_mean_std.txt``).

    Returns:
        Path of the file; a pretraining checkpoint of the reference, see ``zoo_entry(name)['source']``.

    Raises:
        ValueError: For an unknown name or part; when the file is not the one that zoo.json knows.
        ConnectionError: When it cannot be fetched, saying from where and where to put it by hand.
    """
    entry = zoo_entry(name)
    if part not in PARTS:
        raise ValueError(f'part must be one of {PARTS}, found {part!r}')
    remote = f'{entry["folder"]}/{entry["files"][part]}'
    local = zoo_folder() / name / entry['files'][part]
    if local.is_file():
        return _checked(local, entry['sha256'][part])
    import huggingface_hub  # heavy: only where something is fetched

    cached = huggingface_hub.try_to_load_from_cache(entry['repository'], remote)
    if isinstance(cached, str):
        return _checked(Path(cached), entry['sha256'][part])
    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise ConnectionError('HF_HUB_OFFLINE is set')
        _print_licence(name, entry)
        download(huggingface_hub.hf_hub_url(entry['repository'], remote), local, attempts=3)
    except OSError as error:
        address = f'https://huggingface.co/{entry["repository"]}/resolve/main/{remote}'
        raise ConnectionError(
            f'{name} could not be fetched ({str(error).splitlines()[0] if str(error) else type(error).__name__}): '
            f'get {address} by other means and put it at {local}, or set HF_ENDPOINT to a mirror.'
        ) from error
    return _checked(local, entry['sha256'][part])


def _print_licence(name: str, entry: dict[str, Any]) -> None:
    print_log(
        f'fetching {name}: these weights were published by the authors of FSFM and FS-VFM '
        f'(huggingface.co/{entry["repository"]}) under {entry["licence"]}: attribution, no commercial use.',
        logger='current',
    )


def _checked(path: Path, sha256: str | None) -> Path:
    """The path, once its content is what zoo.json expects; nothing is known where that has no checksum."""
    if sha256 is not None and sha256_of(path) != sha256:
        raise ValueError(
            f'{path} is not the published file: its SHA-256 is not {sha256}; delete it and fetch it again.'
        )
    return path
