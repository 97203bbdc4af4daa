"""Downloading one file over HTTP: resumed where it was cut, complete or not there at all; and the cache of weights."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from filelock import FileLock

from fsfm_mm.text import shortened

CHUNK = 1 << 20
#: Bytes of a file of a detector's or parser's weights: a file with holes can have more than any disk.
MAX_WEIGHTS = 1 << 33


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()  # hashlib.file_digest is not in Python 3.10
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def cache_folder() -> Path:
    """``$FSFM_MM_CACHE``, or fsfm_mm in the user's cache folder (``$XDG_CACHE_HOME``, ``~/.cache``)."""
    own = os.environ.get('FSFM_MM_CACHE')
    return Path(own or f'{os.environ.get("XDG_CACHE_HOME") or "~/.cache"}/fsfm_mm').expanduser()


def download(
    url: str,
    path: str | os.PathLike,
    attempts: int = 5,
    timeout: float = 30.0,
    wait: float = 1.0,
    sha256: str | None = None,
) -> Path:
    """Download a file; processes that want the same one wait for each other.

    What has arrived is kept beside the file (``*.part``) and gone on with, in this call or a later one,
    where the server still has the same version (ETag or Last-Modified) and answers with the very range that is
    missing. A file is whole where the server has said how long it is, or has ended it in chunks, or its checksum is
    known; https is not left for http, nor either for anything else.

    Args:
        url: http(s) address.
        path: File to write.
        attempts: How often in a row nothing may arrive before it gives up.
        timeout: Seconds without a byte that count as a cut.
        wait: Seconds before the second attempt; doubled for each one after.
        sha256: Checksum, hexadecimal, without which what has arrived is deleted; None checks nothing.

    Returns:
        ``path``.

    Raises:
        ConnectionError: When the server refuses, or the file does not arrive whole.
        ValueError: When the address is not http(s), or what arrives has another checksum.
    """
    if not url.lower().startswith(('http://', 'https://')):
        raise ValueError(f'expected an http(s) address, found {url!r}.')
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    with FileLock(f'{path}.lock'):
        failures = 0
        while not path.exists():
            before, whole, reason = _size(part), False, 'the connection was cut'
            try:
                whole = _transfer(url, part, timeout, known=sha256 is not None)
            except urllib.error.HTTPError as error:
                reason = f'the server answers {error.code} {error.reason}'
                if error.code < 500:
                    raise ConnectionError(f'{url}: {shortened(reason, 200)}') from error
            except (
                OSError,
                http.client.HTTPException,
                ValueError,
            ) as error:  # the latter: of a senseless answer
                reason = shortened(str(error) or type(error).__name__, 200)
            if whole:
                _refuse_other(url, part, sha256)
                os.replace(part, path)
                _version_file(part).unlink(missing_ok=True)
                break
            failures = 0 if _size(part) > before else failures + 1
            if failures >= attempts:
                raise ConnectionError(f'{url}: {reason}')
            time.sleep(wait * 2 ** max(failures - 1, 0))
    return path


def weights_file(
    name: str, path: str | Path | None, url: str, sha256: str | None, option: str, instead: str
) -> Path:
    """File of weights: the given one, or the cached one, downloaded where it is not in the cache yet.

    The cache is the folder ``weights`` in :func:`cache_folder`.

    Args:
        name: Name of the file in the cache.
        path: The user's file; None for the published one.
        url: http(s) address of the published one.
        sha256: Its checksum, hexadecimal; None where its publisher states none, and nothing is checked.
        option: What names the user's file on the command line, for the message: '--detector-weights'.
        instead: What does without them, for the message: '--detector blazeface'.

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
            reason = str(error).removeprefix(f'{url}: ')
            raise ConnectionError(
                f'the weights were not fetched ({reason}): get {url} by other means ({option} FILE, or as '
                f'{cached}) or take {instead}, from packages alone.'
            ) from error
    return _checked(cached, sha256, 'delete it, and it is fetched again')


def _checked(path: Path, sha256: str | None, remedy: str) -> Path:
    if not path.is_file():
        raise ValueError(f'the weights {path} do not exist.')
    if (size := path.stat().st_size) > MAX_WEIGHTS:
        raise ValueError(
            f'the weights {path} have {size} bytes, more than the {MAX_WEIGHTS} that are read; {remedy}.'
        )
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        raise ValueError(
            f'the weights {path} are not the expected ones: their SHA-256 is {found}, not {sha256}; {remedy}.'
        )
    return path


def _refuse_other(url: str, part: Path, sha256: str | None) -> None:
    if sha256 is None or (found := sha256_of(part)) == sha256.lower():
        return
    size = _size(part)
    part.unlink()
    _version_file(part).unlink(missing_ok=True)
    raise ValueError(
        f'{url} gave another file than expected ({size} bytes with SHA-256 {found}, not {sha256}); it was deleted.'
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version_file(part: Path) -> Path:
    return part.with_name(f'{part.name}.version')


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows as urllib does, but neither from https to http nor to ftp, where anybody on the way could answer."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        allowed = ('https:',) if req.full_url.lower().startswith('https:') else ('https:', 'http:')
        if not newurl.lower().startswith(allowed):
            told = f'and sends on to {shortened(newurl, 100)}, which is not followed'
            raise urllib.error.HTTPError(req.full_url, code, told, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _range_end(response: Any, have: int, version: str) -> int:
    """Length of the whole file, by an answer to the request for what is missing; raises ValueError for another."""
    stated = response.headers.get('Content-Range', '')
    match = re.fullmatch(r'bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)', stated.strip())
    first, last = (int(match[1]), int(match[2])) if match else (-1, -1)
    total = last + 1 if match is None or match[3] == '*' else int(match[3])
    if first != have or total != last + 1 or response.length not in (None, total - have):
        raise ValueError(
            f'the server answers with another range ({stated!r:.60}) than asked for, from {have} on'
        )
    if _version(response) not in ('', version):  # it need not be repeated with a part
        raise ValueError('the server goes on with another version of the file')
    return total


def _version(response: Any) -> str:
    """What names the version of a file; a weak ETag says "about the same", which is not enough to join two halves."""
    tag = response.headers.get('ETag', '')
    return tag if tag and not tag.startswith('W/') else response.headers.get('Last-Modified', '')


def _transfer(url: str, part: Path, timeout: float, known: bool) -> bool:
    """One request; True when the file is whole, as far as one can tell without its checksum, which may be known."""
    version_file = _version_file(part)
    version = version_file.read_text(encoding='latin-1') if version_file.exists() else ''
    version = version if version.isprintable() else ''
    have = _size(part) if version else 0  # of an unknown version: not to be gone on with
    headers = {'Range': f'bytes={have}-', 'If-Range': version} if have else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink(missing_ok=True)  # longer than the file: begin anew
        return False
    with response:
        resumed = response.status == 206
        try:
            total = _range_end(response, have, version) if resumed else response.length
        except ValueError:
            part.unlink(missing_ok=True)  # and begin anew
            raise
        if (
            response.status not in (200, 206)
            or response.headers.get('Content-Encoding', 'identity') != 'identity'
        ):
            raise ValueError(f'the server answers {response.status} with something else than the file')
        if total is None and not response.chunked and not known:
            raise ValueError(
                'the server does not say how long the file is, so that it could be cut off unseen'
            )
        if not resumed:
            version_file.write_text(_version(response), encoding='latin-1', errors='replace')
        with open(part, 'ab' if resumed else 'wb') as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    return total is None or _size(part) == total
