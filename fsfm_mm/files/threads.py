"""Threads of libraries: one each where processes share the work, so that the same numbers come out everywhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping

#: Libraries with threads of their own: how many there are, and setting it.
_THREADS = {'cv2': ('getNumThreads', 'setNumThreads'), 'torch': ('get_num_threads', 'set_num_threads')}


def one_thread(before: dict[str, int]) -> None:
    """Leave one thread to each library that is loaded by now; ``before`` gets how many it had."""
    for library, (count, choose) in _THREADS.items():
        module = sys.modules.get(library)
        if module is not None:
            before.setdefault(library, getattr(module, count)())
            getattr(module, choose)(1)


def restore_threads(before: Mapping[str, int]) -> None:
    """Give the libraries the threads back that :func:`one_thread` took."""
    for library, number in before.items():
        getattr(sys.modules[library], _THREADS[library][1])(number)
