"""Timing functions against each other, and the machine that it is done on."""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

Key = TypeVar('Key', bound=Hashable)


@dataclass(frozen=True)
class Row:
    """One measured line of a report.

    Args:
        section: 'masks', 'loader', 'step' or 'choices'.
        name: What was timed.
        images: Images that one call handles.
        seconds: Median time of one call.
        ratio: A number without a unit, see ``ratio_of``.
        ratio_of: What ``ratio`` is, e.g. 'of the step'.
    """

    section: str
    name: str
    images: int
    seconds: float
    ratio: float | None = None
    ratio_of: str = ''

    def as_dict(self) -> dict[str, Any]:
        """The row for a JSON file: ``ms`` a call, ``images_per_s``, ``images`` a call and the ratio."""
        return dict(
            section=self.section,
            name=self.name,
            images=self.images,
            ms=self.seconds * 1e3,
            images_per_s=self.images / self.seconds,
            ratio=self.ratio,
            ratio_of=self.ratio_of,
        )


def measure(
    arms: Mapping[Key, Callable[[], object]],
    repeats: int = 5,
    device: torch.device | str = 'cpu',
    min_seconds: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
) -> dict[Key, float]:
    """Time functions in turns, so that whatever else the machine does falls on all of them alike.

    Args:
        arms: Functions without arguments. Each is called before anything counts, short ones twice.
        repeats: How many times each is timed, 1 or more.
        device: On CUDA, events on the current stream are read instead of the clock.
        min_seconds: Length that one timing should have at least: shorter functions are called several
            times in a row for it.
        say: Takes progress lines.

    Returns:
        Median seconds of one call of each.

    Raises:
        ValueError: ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ValueError(f'repeats must be at least 1, found {repeats}')
    device = torch.device(device)
    calls: dict[Key, int] = {}
    for key, function in arms.items():
        say(f'  warm-up: {_label(key)}')
        seconds = _seconds(function, 1, device)
        if device.type == 'cuda' or seconds < 20 * min_seconds:
            seconds = _seconds(function, 1, device)  # the first call of a short one is no measure of it
        calls[key] = max(1, math.ceil(min_seconds / max(seconds, 1e-9)))
    times: dict[Key, list[float]] = {key: [] for key in arms}
    for repeat in range(repeats):
        say(f'  repeat {repeat + 1} of {repeats}')
        for key, function in arms.items():
            times[key].append(_seconds(function, calls[key], device))
    return {key: statistics.median(values) for key, values in times.items()}


def _label(key: Hashable) -> str:
    return ', '.join(part for part in key if part) if isinstance(key, tuple) else str(key)


def _seconds(function: Callable[[], object], calls: int, device: torch.device) -> float:
    """Mean seconds of one of ``calls`` calls in a row."""
    if device.type != 'cuda':
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return (time.perf_counter() - start) / calls
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    first.record()
    for _ in range(calls):
        function()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3 / calls


def describe_machine(device: torch.device | str) -> dict[str, Any]:
    """What the numbers depend on; no host name, no paths.

    Args:
        device: The device that the model runs on.

    Returns:
        ``cpu`` (model), ``cores`` (that this process may use), ``torch_threads``, ``omp_wait_policy`` (of the
        environment), ``torch``, ``python`` and ``device`` (its name).
    """
    device = torch.device(device)
    affinity = getattr(os, 'sched_getaffinity', None)
    cpu = _cpu_model()
    return dict(
        cpu=cpu,
        cores=len(affinity(0)) if affinity else os.cpu_count(),
        torch_threads=torch.get_num_threads(),
        omp_wait_policy=os.environ.get('OMP_WAIT_POLICY', ''),
        torch=torch.__version__,
        python=platform.python_version(),
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else cpu,
    )


def _cpu_model() -> str:
    """Name, family and model: virtual machines often hide the first only."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text(errors='replace').splitlines() if cpuinfo.exists() else []
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(':')
        found.setdefault(key.strip(), value.strip())
    if 'model name' not in found:
        return platform.machine()
    return f'{found["model name"]} (family {found.get("cpu family")}, model {found.get("model")})'
