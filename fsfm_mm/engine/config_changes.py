"""Configs as flat tables of names with dots, and what differs between two of them."""

from __future__ import annotations

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
