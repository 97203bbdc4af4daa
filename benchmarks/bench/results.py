"""What is measured, as the JSON files have it: a line of its own, or one against the plain implementation."""

from __future__ import annotations

from typing import Any

#: See :func:`row` and :func:`comparison`.
Line = dict[str, Any]


def row(
    section: str, name: str, images: int, seconds: float, ratio: float | None = None, ratio_of: str = ''
) -> Line:
    """One measured line.

    Args:
        section: 'masks', 'loader', 'step' or 'choices'.
        name: What was timed.
        images: Images that one call handles.
        seconds: Median time of one call, told as ``ms`` and as ``images_per_s``.
        ratio: A number without a unit, see ``ratio_of``.
        ratio_of: What ``ratio`` is, e.g. 'of the step'.
    """
    speed = dict(ms=seconds * 1e3, images_per_s=images / seconds)
    return dict(section=section, name=name, images=images, **speed, ratio=ratio, ratio_of=ratio_of)


def comparison(
    section: str,
    name: str,
    unit: str,
    plain: float | None,
    ours: float,
    target: float | None = None,
    at_most: bool = False,
    note: str = '',
) -> Line:
    """A number of the plain implementation beside the library's.

    Args:
        section: 'loader', 'masks', 'updates', 'step', 'parts', 'memory' or 'cuda'.
        name: What was measured.
        unit: Of ``plain`` and ``ours``: 'images/s', 'masks/s', 'ms', 'MB', '%', 'calls'.
        plain: The plain implementation's number; None where there is nothing to compare with.
        ours: The library's.
        target: What the ratio (or, without ``plain``, ``ours`` itself) is to reach; None without a target.
        at_most: The target is an upper bound.
        note: What a reader must know: batch, threads, what was left out.

    Returns:
        All of them, with ``ratio`` (of times and rates the speed-up, above 1 where the library is faster; of memory
        and counts the library's share of the plain; None without ``plain``) and ``met`` (None without a target).
    """
    ratio = None if plain is None else plain / ours if unit == 'ms' else ours / plain
    line: Line = dict(section=section, name=name, unit=unit, plain=plain, ours=ours, ratio=ratio)
    met = None
    if target is not None:
        value = ours if ratio is None else ratio
        met = value <= target if at_most else value >= target
    return dict(line, target=target, at_most=at_most, met=met, note=note)


def comparison_of_times(
    section: str, name: str, plain: float, ours: float, images: int = 0, unit: str = 'images/s', **rest: Any
) -> Line:
    """A comparison of two times in seconds: of the rates where each handled ``images``, else of milliseconds."""
    if images:
        return comparison(section, name, unit, images / plain, images / ours, **rest)
    return comparison(section, name, 'ms', plain * 1e3, ours * 1e3, **rest)


def verdict(line: Line) -> str:
    """Target of a comparison and whether it is met; empty without a target."""
    if line['target'] is None:
        return ''
    bound = 'at most' if line['at_most'] else 'at least'
    return f'{bound} {line["target"]:g}: {"met" if line["met"] else "NOT MET"}'
