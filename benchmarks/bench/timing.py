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
class Timer:
    """Times functions in turns, so that whatever else the machine does falls on all of them alike.

    Args:
        repeats: How many times each function is timed, 1 or more; the median counts.
        min_seconds: Length that one timing should have at least: shorter functions are called several
            times in a row for it.
        say: Takes progress lines.

    Raises:
        ValueError: ``repeats`` is below 1.
    """

    repeats: int = 5
    min_seconds: float = 0.0
    say: Callable[[str], object] = lambda line: None

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f'repeats must be at least 1, found {self.repeats}')

    def measure(
        self, arms: Mapping[Key, Callable[[], object]], device: torch.device | str = 'cpu'
    ) -> dict[Key, float]:
        """Time some functions.

        Args:
            arms: Functions without arguments. Each is called before anything counts, short ones twice.
            device: On CUDA, events on the current stream are read instead of the clock.

        Returns:
            Median seconds of one call of each.
        """
        device = torch.device(device)
        calls: dict[Key, int] = {}
        for key, function in arms.items():
            self.say(f'  warm-up: {label(key)}')
            seconds = _seconds(function, 1, device)
            if device.type == 'cuda' or seconds < 20 * self.min_seconds:
                seconds = _seconds(function, 1, device)  # the first call of a short one is no measure of it
            calls[key] = max(1, math.ceil(self.min_seconds / max(seconds, 1e-9)))
        times: dict[Key, list[float]] = {key: [] for key in arms}
        for repeat in range(self.repeats):
            self.say(f'  repeat {repeat + 1} of {self.repeats}')
            for key, function in arms.items():
                times[key].append(_seconds(function, calls[key], device))
        return {key: statistics.median(values) for key, values in times.items()}


def label(key: Hashable) -> str:
    """A key as text: the parts of a tuple that are not empty."""
    return ': '.join(part for part in key if part) if isinstance(key, tuple) else str(key)


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


def matmul(size: int, dtype: torch.dtype, device: torch.device) -> Callable[[], torch.Tensor]:
    """A function that multiplies two square matrices: 2 * size**3 operations."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` of ``torch.float32``."""
    return str(dtype).removeprefix('torch.')


def threads() -> str:
    """Torch's number of threads as words."""
    count = torch.get_num_threads()
    return f'{count} thread{"s" if count > 1 else ""}'


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
    first = cpuinfo.read_text(errors='replace').partition('\n\n')[0] if cpuinfo.exists() else ''
    found = {
        key.strip(): value.strip() for key, _, value in (line.partition(':') for line in first.splitlines())
    }
    if 'model name' not in found:
        return platform.machine()
    return f'{found["model name"]} (family {found.get("cpu family")}, model {found.get("model")})'
