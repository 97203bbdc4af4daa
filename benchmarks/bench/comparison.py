"""One line of the table against the plain implementation: both numbers, their ratio and its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Comparison:
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
    """

    section: str
    name: str
    unit: str
    plain: float | None
    ours: float
    target: float | None = None
    at_most: bool = False
    note: str = ''

    @property
    def ratio(self) -> float | None:
        """Speed-up, above 1 where the library is faster; of memory and counts the library's share of the plain."""
        if self.plain is None:
            return None
        if self.unit == 'ms':
            return self.plain / self.ours
        return self.ours / self.plain

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        value = self.ours if self.ratio is None else self.ratio
        return value <= self.target if self.at_most else value >= self.target

    def as_dict(self) -> dict[str, Any]:
        """The line for a JSON file."""
        return dict(
            section=self.section,
            name=self.name,
            unit=self.unit,
            plain=self.plain,
            ours=self.ours,
            ratio=self.ratio,
            target=self.target,
            at_most=self.at_most,
            met=self.met,
            note=self.note,
        )
