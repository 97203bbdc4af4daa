"""The configs that come with the package: found by name from anywhere, listed with what they are.

They lie where OpenMMLab's tools look for them, in ``.mim`` of the package: in a clone that is a link to ``configs/``.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.config import DELETE_KEY
from mmengine.config.utils import MODULE2PACKAGE

from fsfm_mm.text import did_you_mean

#: The folder of the configs.
CONFIGS = Path(__file__).resolve().parents[1] / '.mim' / 'configs'

# `_base_ = 'fsfm_mm::fsfm/fsfm_demo.py'`: mmengine takes the names of OpenMMLab's own packages only
MODULE2PACKAGE.setdefault('fsfm_mm', 'fsfm_mm')
_find_base = Config._get_cfg_path


def find_base(name: str, filename: str) -> tuple[str, str | None]:
    """File and scope of a base, for mmengine; the scope of our configs is the one that they state, mmpretrain's.

    With a scope of their own every dict in them would get a key ``_scope_``, which the runner of
    onedl-mmengine 0.10 hands on to collate functions as an argument. Goes when it does not.

    Args:
        name: The base as it is written, e.g. ``fsfm_mm::fsfm/fsfm_demo.py``.
        filename: The file in which it is written.
    """
    path, scope = _find_base(name, filename)
    return path, None if scope == 'fsfm_mm' else scope


Config._get_cfg_path = staticmethod(find_base)
_merge = Config._merge_a_into_b


def merge(a: dict, b: Any, allow_list_keys: bool = False) -> Any:
    """Merge ``a`` over ``b``, for mmengine, which refuses a dict over what is none, such as ``neck=None``.

    A dict takes the place of any single value, of an empty list, and with a ``type`` of any list. Goes when mmengine
    takes it.

    Args:
        a: The dict that wins.
        b: What is inherited.
        allow_list_keys: Whether ``{'0': ...}`` means the first of a list.
    """
    if isinstance(b, dict):
        b = b.copy()
        for key, value in a.items():
            if not isinstance(value, dict):
                continue
            below = b.get(key)
            keeps = isinstance(below, dict) or (isinstance(below, list) and below and 'type' not in value)
            if key in b and not keeps:
                del b[key]
            if key not in b:
                value.pop(DELETE_KEY, None)
    return _merge(a, b, allow_list_keys)


Config._merge_a_into_b = staticmethod(merge)


def find_config(name: str | os.PathLike) -> Path:
    """The file of a config.

    Args:
        name: A path; or the name of a config of ours, ``fsfm_demo``, ``fsfm/fsfm_demo`` or
            ``configs/fsfm/fsfm_demo.py``. A file that exists wins.

    Raises:
        ValueError: There is no such file and no such config, or several configs have the name.
    """
    path = Path(name)
    if path.is_file():
        return path
    wanted = path.with_suffix('') if path.suffix == '.py' else path
    parts = wanted.parts[1:] if wanted.parts[:1] == ('configs',) else wanted.parts
    known = config_names()
    found = [known_name for known_name in known if Path(known_name).parts[-len(parts) :] == parts and parts]
    exact = [known_name for known_name in found if Path(known_name).parts == parts]
    if len(exact or found) == 1:
        return (CONFIGS / f'{(exact or found)[0]}.py').resolve()
    if found:
        raise ValueError(f'{name} is the name of several configs: write {" or ".join(found)}')
    meant = did_you_mean(parts[-1] if parts else '', (Path(n).name for n in known))
    raise ValueError(f'there is no config file {name}{meant}')


def config_names() -> list[str]:
    """Names of all configs that can be run, such as ``fsfm/fsfm_demo``, sorted."""
    files = CONFIGS.glob('*/*.py')
    return sorted(
        str(file.relative_to(CONFIGS).with_suffix('')) for file in files if file.parent.name != '_base_'
    )


def list_configs() -> Iterator[tuple[str, str]]:
    """Name and first line of the docstring of every config that can be run."""
    for name in config_names():
        text = (CONFIGS / f'{name}.py').read_text(encoding='utf-8')
        yield name, (ast.get_docstring(ast.parse(text)) or '').partition('\n')[0]
