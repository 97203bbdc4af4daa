"""What a pickle names, read without running it."""

from __future__ import annotations

import pickletools
from typing import Any, BinaryIO

#: Pickles at the start of torch's legacy format: magic number, version, system, the object, storage keys.
MAX_PICKLES = 5


class PickleTruncatedError(ValueError):
    """A pickle ends before its last operation."""


def pickled_globals(stream: Any) -> list[str]:
    """Names of the classes and functions that a pickle, or torch's run of five, asks for.

    Args:
        stream: Binary file at the start of the first pickle; it is closed afterwards.

    Returns:
        'module.name' of each, in order, once.

    Raises:
        PickleTruncatedError: Where a pickle ends too early or holds an operation that does not exist.
    """
    names: dict[str, None] = {}
    with stream:
        for _ in range(MAX_PICKLES):
            at_start = stream.tell()
            if not stream.read(1):
                break
            stream.seek(at_start)
            try:
                names.update(dict.fromkeys(_globals_of_one(stream)))
            except (ValueError, IndexError) as error:
                raise PickleTruncatedError(f'its pickle ends early: {error}') from error
    return list(names)


def _globals_of_one(stream: BinaryIO) -> list[str]:
    found: list[str] = []
    strings: list[str] = []
    memo: dict[int, str] = {}
    for operation, argument, _ in pickletools.genops(stream):
        name = operation.name
        if name == 'GLOBAL':
            found.append(str(argument).replace(' ', '.'))
        elif name == 'STACK_GLOBAL':
            found.append('.'.join(strings[-2:]))
        elif name == 'MEMOIZE':
            memo[len(memo)] = strings[-1] if strings else ''
        elif name in ('BINPUT', 'LONG_BINPUT', 'PUT'):
            memo[int(str(argument))] = strings[-1] if strings else ''
        elif name in ('BINGET', 'LONG_BINGET', 'GET'):
            strings.append(memo.get(int(str(argument)), ''))
        elif isinstance(argument, str):
            strings.append(argument)
    return found
