"""Settings as plain data: read from a config's text, as flat tables of names with dots, and what two differ in."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

#: Stands for a setting that one of two configs lacks.
ABSENT = type('Absent', (), {'__repr__': lambda self: 'not set'})()


def flat(settings: Any, prefix: str = '') -> dict[str, Any]:
    """Every single value of nested settings by its name with dots.

    Lists that hold dicts are taken apart (``pipeline.1.size``); other lists, and empty dicts, are values.
    """
    parts: Any = None
    if isinstance(settings, Mapping):
        parts = dict.items(settings) if isinstance(settings, dict) else settings.items()
    elif isinstance(settings, list | tuple) and any(isinstance(item, Mapping) for item in settings):
        parts = enumerate(settings)
    if parts is None or not settings:
        return {prefix: settings}
    found: dict[str, Any] = {}
    for key, value in parts:
        found |= flat(value, f'{prefix}.{key}' if prefix else str(key))
    return found


def nodes(settings: Any) -> list[str]:
    """The names with dots of all nested settings, dicts and lists of dicts included, in their order."""
    found: dict[str, None] = {}
    for name in flat(settings):
        parts = name.split('.')
        found |= {'.'.join(parts[: i + 1]): None for i in range(len(parts))}
    return list(found)


def changes(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """Name -> (value before, value after) of every setting that differs; :data:`ABSENT` where there is none."""
    old, new = flat(before), flat(after)
    return {
        name: (old.get(name, ABSENT), new.get(name, ABSENT))
        for name in dict.fromkeys([*old, *new])
        if not same(old.get(name, ABSENT), new.get(name, ABSENT))
    }


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same in a config: a tuple is a list, 1 is not True."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def belongs(name: str, settings: Any) -> bool:
    """Whether a name with dots is one of ``settings`` or lies in one of them."""
    return any(name == setting or name.startswith(f'{setting}.') for setting in settings)


def settings_of_text(text: str) -> dict[str, Any]:
    """The settings in the text of a config as mmengine writes it, without executing anything.

    Args:
        text: Of ``cfg.pretty_text``: assignments of values that are written out.

    Returns:
        The settings; what is no value that is written out is its text. Empty where the text is no config.
    """
    try:
        return {
            node.targets[0].id: _value(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # the latter: nested too deeply
        return {}


def _value(node: ast.expr) -> Any:
    is_dict = isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict' and not node.args
    if isinstance(node, ast.Call) and is_dict and all(keyword.arg for keyword in node.keywords):
        return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {str(_value(key)): _value(value) for key, value in zip(node.keys, node.values) if key}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return ast.unparse(node)
