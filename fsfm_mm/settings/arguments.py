"""The arguments that a class or function takes, and values in a config that cannot be meant for them."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NOT_SETTINGS = {'self', 'cls', 'args', 'kwargs'}


def argument_names(called: Any) -> list[str]:
    """Names of the arguments of a function, or of a class and the classes that it derives from."""
    return list(_arguments(called))


def constructors(called: Any) -> Iterator[Any]:
    """The functions whose arguments a class takes, nearest first: its ``__init__``, and as long as one has
    ``**kwargs``, that of the next class below; of a function itself.
    """
    for base in inspect.getmro(called) if inspect.isclass(called) else [called]:
        function = base.__dict__.get('__init__') if inspect.isclass(base) else base
        if inspect.isfunction(function) or (function is not None and not inspect.isclass(called)):
            yield function
            if not takes_more(function):
                return


def takes_more(function: Any) -> bool:
    """Whether a function has ``**kwargs``."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def _arguments(called: Any) -> dict[str, tuple[inspect.Parameter, Any]]:
    """The arguments by name, each with the function that declares it; the nearest class wins."""
    found: dict[str, tuple[inspect.Parameter, Any]] = {}
    for function in constructors(called):
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in _NOT_SETTINGS:
                found.setdefault(name, (parameter, function))
    return found


def wrong_values(called: Any, settings: Mapping[str, Any]) -> list[str]:
    """A remark on every value that is text, a number or no truth value where its argument takes none.

    That is what a mistyped value of the command line is. Other types are left to the code that uses them: what an
    annotation allows is often narrower than what works.

    Args:
        called: Class or function.
        settings: Its arguments by name.
    """
    remarks = []
    for name, (parameter, function) in _arguments(called).items():
        value = settings.get(name)
        if value is None:
            continue
        kinds = _kinds(parameter, function)
        if kinds and (
            (isinstance(value, str) and str not in kinds)
            or (kinds <= {bool, type(None)} and not (isinstance(value, bool) or value in (0, 1)))
            or (isinstance(value, int | float) and not kinds & {bool, int, float})
        ):
            names = ' or '.join(sorted(_NAMES.get(kind, kind.__name__) for kind in kinds - {type(None)}))
            remarks.append(f'{name} must be {names}, found {value!r}')
    return remarks


_NAMES = {
    bool: 'True or False',
    int: 'a whole number',
    float: 'a number',
    tuple: 'a list of values',
    list: 'a list of values',
    dict: 'a dict',
    str: 'a text',
}


def _kinds(parameter: inspect.Parameter, function: Any) -> set[type]:
    """Types that an argument takes: of its annotation, else of its default; empty where anything may do."""
    try:
        annotation = typing.get_type_hints(function).get(parameter.name)
    except Exception:  # names that are imported for type checkers only
        annotation = None
    if annotation is not None:
        return _plain(annotation)
    default = parameter.default
    return {type(default)} if isinstance(default, bool | int | float | tuple | list | dict) else set()


def _plain(annotation: Any) -> set[type]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [_plain(part) for part in typing.get_args(annotation)]
        return set().union(*parts) if all(parts) else set()
    kind = typing.get_origin(annotation) or annotation
    if kind is Sequence:
        return set() if str in typing.get_args(annotation) else {tuple}
    if kind in (bool, int, float, str, tuple, list, dict, type(None)):
        return {kind}
    return set()
