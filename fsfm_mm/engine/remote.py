"""Checkpoints that lie at an address: mmengine would fetch them and unpickle what comes without limits."""

from __future__ import annotations

from typing import Any, NoReturn

from mmengine.runner import CheckpointLoader

from fsfm_mm.engine.stopping import RunStoppedError


def refuse(filename: str, map_location: Any = None) -> NoReturn:
    """Refuse an address; mmengine calls it in the place of a loader."""
    raise RunStoppedError(
        f'{filename} is not a local file, and a checkpoint from elsewhere is not read unseen: download it first, '
        'then name the file.'
    )


def refuse_remote_checkpoints() -> None:
    """Take all of mmengine's loaders but the local one from this process.

    They serve ``load_from`` and ``init_cfg=dict(type='Pretrained')`` with ``http://``, ``s3://``,
    ``torchvision://`` and the like, and run code that the fetched file contains.
    """
    local = CheckpointLoader._schemes['']
    CheckpointLoader._schemes.clear()
    CheckpointLoader.register_scheme(prefixes='', loader=local)
    CheckpointLoader.register_scheme(prefixes=r'\S*://', loader=refuse)
