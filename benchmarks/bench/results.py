"""What is measured: a line of its own, or one against the plain implementation with its ratio and target."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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
        """The row for a JSON file, with ``ms`` a call and ``images_per_s`` in place of the seconds."""
        found = asdict(self)
        seconds = found.pop('seconds')
        return dict(found, ms=seconds * 1e3, images_per_s=self.images / seconds)


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

    @classmethod
    def of_times(
        cls, section: str, name: str, plain: float, ours: float, images: int = 0, **rest: Any
    ) -> Comparison:
        """A line of two times in seconds.

        Args:
            section: See :class:`Comparison`.
            name: See :class:`Comparison`.
            plain: Seconds of the plain implementation.
            ours: Seconds of the library.
            images: That each handled: the line tells its rate (images/s unless ``rest`` has another unit), and
                without images milliseconds.
            **rest: Other arguments.
        """
        if not images:
            return cls(section, name, 'ms', plain * 1e3, ours * 1e3, **rest)
        return cls(section, name, rest.pop('unit', 'images/s'), images / plain, images / ours, **rest)

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
        return dict(asdict(self), ratio=self.ratio, met=self.met)


def verdict(row: dict[str, Any]) -> str:
    """Target of a comparison (as a dictionary) and whether it is met; empty without a target."""
    if row['target'] is None:
        return ''
    bound = 'at most' if row['at_most'] else 'at least'
    return f'{bound} {row["target"]:g}: {"met" if row["met"] else "NOT MET"}'
