"""Start-up checks and a narrow filter for import noise that no user can act upon.

Everything else that third parties print or warn about is shown.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata

#: One distribution of each pair may be installed: both own the same import folder.
FAMILIES: tuple[tuple[str, str], ...] = (
    ('mmengine', 'onedl-mmengine'),
    ('mmengine-lite', 'onedl-mmengine'),
    ('mmcv', 'onedl-mmcv'),
    ('mmcv-lite', 'onedl-mmcv'),
    ('mmcv-full', 'onedl-mmcv'),
    ('mmpretrain', 'onedl-mmpretrain'),
)

#: Warnings of other packages about their own internals: (message pattern, category).
NOISE: tuple[tuple[str, type[Warning]], ...] = (
    ('Fail to import ``MultiScaleDeformableAttention``', UserWarning),
    ('Importing from timm.models', FutureWarning),
    # mmengine's schedulers step every iteration; while gradients accumulate the optimiser does not, rightly
    ('Detected call of `scheduler.step()` before', UserWarning),
)


def _installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_single_family() -> None:
    """Refuse to start on a mix of upstream OpenMMLab and its maintained fork.

    Raises:
        ImportError: When both distributions of a pair are installed. pip does not notice that they
            overwrite each other's files, and what then runs is neither.
    """
    for upstream, fork in FAMILIES:
        if _installed(upstream) and _installed(fork):
            upstreams = ' '.join(u for u, _ in FAMILIES if _installed(u))
            forks = ' '.join(dict.fromkeys(f for _, f in FAMILIES if _installed(f)))
            raise ImportError(
                f"fsfm_mm needs the maintained fork only, but '{upstream}' and '{fork}' are both installed "
                f'and overwrite each other: run `pip uninstall -y {upstreams} {forks}` and then '
                f'`pip install {forks}`.'
            )


class _DropLine:
    """A text stream that passes everything on except one exact line."""

    def __init__(self, stream, line: str):
        self._stream = stream
        self._line = line
        self._held = ''  # the line, while its newline is still to come
        self._at_line_start = True

    def write(self, text: str) -> int:
        pending, self._held = self._held + text, ''
        if self._at_line_start and pending == self._line:
            self._held = pending
        elif pending and not (self._at_line_start and pending == f'{self._line}\n'):
            self._stream.write(pending)
            self._at_line_start = pending.endswith('\n')
        return len(text)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Silence the known import noise of mmcv, mmpretrain and timm, and nothing else."""
    for message, category in NOISE:
        warnings.filterwarnings('ignore', message=message, category=category)
    stdout = sys.stdout
    sys.stdout = _DropLine(stdout, 'Could not import OneDL')
    try:
        yield
    finally:
        sys.stdout = stdout


def import_third_parties() -> None:
    """Import the noisy packages once, filtered, before anything of ours needs them."""
    with quiet_imports():
        importlib.import_module('mmpretrain.datasets')
        importlib.import_module('mmpretrain.models')
