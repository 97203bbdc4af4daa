"""Variables of a config file, such as ``max_epochs``: what other settings are made of, and nothing reads at run time.

A config that inherits another one gets what the other has made already: ``max_epochs = 3`` in it leaves
``train_cfg.max_epochs`` as it was, and so does a change after reading. Therefore a variable that is changed on the
command line is changed in the files, before they are executed, and a file whose variable does nothing is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from fsfm_mm.settings.data import changes, nodes
from fsfm_mm.text import few

#: The arguments of mmengine's runners, which a test compares with them (importing these takes seconds), and what tools
#: and hooks read besides. Another name at the top of a config is a variable.
READ = frozenset(
    {
        'auto_scale_lr',
        'compile',
        'custom_hooks',
        'custom_imports',
        'data_preprocessor',
        'default_hooks',
        'default_scope',
        'env_cfg',
        'experiment_name',
        'find_unused_parameters',
        'launcher',
        'load_from',
        'log_level',
        'log_processor',
        'model',
        'model_wrapper_cfg',
        'named_sets',
        'optim_wrapper',
        'param_scheduler',
        'published_checkpoint',
        'published_on',
        'published_seeds',
        'published_sets',
        'published_ties',
        'randomness',
        'resume',
        'runner_type',
        'strategy',
        'sync_bn',
        'test_cfg',
        'test_dataloader',
        'test_evaluator',
        'test_sets',
        'train_cfg',
        'train_dataloader',
        'val_cfg',
        'val_dataloader',
        'val_evaluator',
        'visualizer',
        'work_dir',
    }
)


def variables(cfg: Mapping[str, Any]) -> list[str]:
    """The variables of a config that was read."""
    return [name for name in cfg if name not in READ and not name.startswith('_')]


def read_with(path: Path, values: Mapping[str, Any], **kwargs: Any) -> tuple[Config, list[set[str]]]:
    """Read a config, and the files that it inherits from, with other values of variables.

    Args:
        path: A config file.
        values: Name -> value, which every assignment to the name gets; of literals.
        **kwargs: Of ``Config.fromfile``.

    Returns:
        The config, and the names that each of the files assigns.
    """
    assigned: list[set[str]] = []
    with _executing_with(values, assigned):
        return Config.fromfile(path, **kwargs), assigned


@contextmanager
def _executing_with(values: Mapping[str, Any], assigned: list[set[str]]) -> Iterator[None]:
    """Change the text that mmengine is about to execute; it has copied it to a file of its own."""
    original = Config._pre_substitute_base_vars

    def substitute(filename: str, copy_name: str) -> dict:
        found = original(filename, copy_name)
        if copy_name.endswith('.py'):
            tree = ast.parse(Path(copy_name).read_text(encoding='utf-8'))
            nodes = list(_assignments(tree))
            assigned.append({node.targets[0].id for node in nodes})  # type: ignore[attr-defined]
            nodes = [node for node in nodes if node.targets[0].id in values]  # type: ignore[attr-defined]
            for node in nodes:
                literal = repr(values[node.targets[0].id])  # type: ignore[attr-defined]
                node.value = ast.parse(literal, mode='eval').body
            if nodes:
                Path(copy_name).write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding='utf-8')
        return found

    Config._pre_substitute_base_vars = staticmethod(substitute)
    try:
        yield
    finally:
        Config._pre_substitute_base_vars = staticmethod(original)


def _assignments(tree: ast.Module) -> Iterator[ast.Assign]:
    """``name = value`` at the top of a file, also below an ``if``."""
    nodes = list(tree.body)
    for node in nodes:
        if isinstance(node, ast.If):
            nodes += [*node.body, *node.orelse]
        elif (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            yield node


def _plain(value: Any) -> Any:
    """A value of a config without mmengine's classes."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return type(value)(map(_plain, value)) if isinstance(value, list | tuple) else value


def _is_literal(value: Any) -> bool:
    try:
        return ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError):
        return False


def effects(path: Path, cfg: Config, values: Mapping[str, Any], **kwargs: Any) -> dict[str, tuple[Any, Any]]:
    """What other values of variables change in a config, the variables themselves left out."""
    other, _ = read_with(path, values, **kwargs)
    found = changes(cfg.to_dict(), other.to_dict())
    return {name: pair for name, pair in found.items() if name.partition('.')[0] in READ}


def refuse_variables_without_effect(path: Path, cfg: Config, assigned: list[set[str]], **kwargs: Any) -> None:
    """Refuse a file that sets a variable which a file below it has used already, with another value.

    Raises:
        ValueError: One sentence that names the variable, and the settings that have to be set with it.
    """
    several = [name for name in variables(cfg) if sum(name in names for names in assigned) > 1]
    values = {name: _plain(cfg[name]) for name in several}
    values = {name: value for name, value in values.items() if _is_literal(value)}
    if not values or not effects(path, cfg, values, **kwargs):
        return
    for name, value in values.items():
        found = effects(path, cfg, {name: value}, **kwargs)
        # of a list that differs its own name, not that of every item
        found_names = list(dict.fromkeys(re.sub(r'\.[0-9]+(\..*)?$', '', name) for name in found))
        if found:
            raise ValueError(
                f'{path} sets {name} = {value!r}, but the file that it inherits from has used its own {name} for '
                f'{few(found_names, 4)} already: set {"this" if len(found_names) == 1 else "these"}, too, '
                f'or give {name} with --cfg-options'
            )


def with_variables(path: Path, cfg: Config, options: Mapping[str, Any], **kwargs: Any) -> Config:
    """The config with variables changed, and all that is made of them.

    Args:
        path: The config's file.
        cfg: The config as it was read.
        options: Variables, or settings in them (``resize.size``), with new values.
        **kwargs: Of ``Config.fromfile``.

    Raises:
        ValueError: A variable of which nothing in this config is made.
    """
    if not options:
        return cfg
    changed = Config(cfg.to_dict())
    changed.merge_from_dict(dict(options))
    names = dict.fromkeys(name.partition('.')[0] for name in options)
    values = {name: _plain(changed[name]) for name in names}
    for name, value in values.items():
        if not changes(_plain(cfg[name]), value):
            continue
        if not _is_literal(value):
            raise ValueError(f'--cfg-options {name}: the value must be written out, found {value!r}')
        if not effects(path, cfg, {name: value}, **kwargs) and not _has_own_code(cfg):
            raise ValueError(
                f'--cfg-options {name}: nothing in {path} is made of {name!r}, {_instead(cfg, name)}'
            )
    return read_with(path, values, **kwargs)[0]


def settings_called(cfg: Config, name: str) -> list[str]:
    """The settings, with dots, whose last part is ``name``."""
    return [key for key in nodes(cfg.to_dict()) if key.endswith(f'.{name}') and key.partition('.')[0] in READ]


def _has_own_code(cfg: Config) -> bool:
    """Whether code of the user is imported, which may read any name of the config."""
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    imports = [imports] if isinstance(imports, str) else imports
    return any(name.partition('.')[0] not in ('fsfm_mm', 'mmpretrain') for name in imports)


def _instead(cfg: Config, name: str) -> str:
    named = settings_called(cfg, name)
    return f'so it would have no effect: set {few(named, 4)}' if named else 'so it would have no effect'
