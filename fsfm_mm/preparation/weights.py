"""Weights of detectors and parsers: a file of the user's, or fetched once and checked."""

from __future__ import annotations

from pathlib import Path

from fsfm_mm.files import download, sha256_of
from fsfm_mm.files.download import cache_folder


def weights_file(name: str, path: str | Path | None, url: str, sha256: str | None) -> Path:
    """File of weights: the given one, or the cached one, downloaded where it is not in the cache yet.

    The cache is the folder ``weights`` in :func:`fsfm_mm.files.download.cache_folder`.

    Args:
        name: Name of the file in the cache.
        path: The user's file; None for the published one.
        url: http(s) address of the published one.
        sha256: Its checksum, hexadecimal; None where its publisher states none, and nothing is checked.

    Returns:
        Path of an existing file with that checksum.

    Raises:
        ValueError: The file does not exist, or has another checksum.
        ConnectionError: It cannot be fetched.
    """
    if path is not None:
        return _checked(Path(path).expanduser(), sha256, 'name another file')
    cached = cache_folder() / 'weights' / name
    if not cached.is_file():
        try:
            download(url, cached, attempts=3, sha256=sha256)
        except OSError as error:
            raise ConnectionError(
                f'the weights {name} could not be fetched ({error}): get them from {url} by other means '
                f'and name the file (weights=...) or put it at {cached}, or take a detector or parser that needs none.'
            ) from error
    return _checked(cached, sha256, 'delete it, and it is fetched again')


def _checked(path: Path, sha256: str | None, remedy: str) -> Path:
    if not path.is_file():
        raise ValueError(f'the weights {path} do not exist.')
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        raise ValueError(
            f'the weights {path} are not the expected ones: their SHA-256 is {found}, not {sha256}; {remedy}.'
        )
    return path
