"""The configs that come with the package: found by name from anywhere, listed with what they are.

They lie where OpenMMLab's tools look for them, in ``.mim`` of the package: in a clone that is a link to ``configs/``.
"""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config.utils import MODULE2PACKAGE

#: The folder of the configs.
CONFIGS = Path(__file__).resolve().parents[1] / '.mim' / 'configs'

# `_base_ = 'fsfm_mm::fsfm/fsfm_demo.py'`: mmengine takes the names of OpenMMLab's own packages only
MODULE2PACKAGE.setdefault('fsfm_mm', 'fsfm_mm')


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
    near = difflib.get_close_matches(parts[-1] if parts else '', [Path(n).name for n in known], 3)
    hint = f' (did you mean {" or ".join(dict.fromkeys(near))}?)' if near else ''
    raise ValueError(f'there is no config file {name}{hint}')


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
