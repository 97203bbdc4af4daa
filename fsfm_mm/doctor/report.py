"""What a check of a data set found, as text for a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fsfm_mm.text import few, printable, text_table

#: From bad to harmless: what breaks a run or a result, what should be looked at, what is good to know.
LEVELS = ('error', 'warning', 'note')
#: Files named in the text for one finding; the JSON report has all of them.
SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: One of :data:`LEVELS`.
        check: Short name of the check: 'unreadable', 'same video' ...
        message: One sentence that says what is the matter and what to do.
        files: The files or names that it is about, with a reason after the name where they differ in it.
    """

    level: str
    check: str
    message: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the report; numbers are int or float."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]

    def to_text(self) -> str:
        """Columns of even width under the title, numbers to the right."""
        cells = [self.header, *(tuple(map(_cell, row)) for row in self.rows)]
        sides = ['>' if isinstance(value, (int, float)) else '<' for value in (self.rows or [()])[0]]
        return '\n'.join(
            [printable(self.title), *(f'  {line}' for line in text_table(cells, ''.join(sides) or '<'))]
        )


@dataclass(frozen=True)
class Sample:
    """A picture for the page.

    Attributes:
        name: Caption.
        index: Its place in the source that was read; None where there is nothing to show.
    """

    name: str
    index: int | None


@dataclass
class Report:
    """Everything that a check found.

    Attributes:
        root: The data set.
        kind: 'pretrain', 'deepfake' or 'antispoof'.
        facts: Lines that say what was looked at.
        tables: Counts and statistics.
        findings: In the order in which they were found.
        samples: Pictures to show of the whole set.
        broken: Pictures with a problem to show, the problem in the name.
        lookalikes: Pairs of near-duplicates to show, those in two splits first.
        shares: Share of the pixels of each label, by name; empty without maps.
        separations: Best AUC over the splits of a classifier on each property alone, by name; empty without classes.
    """

    root: str
    kind: str
    facts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    broken: list[Sample] = field(default_factory=list)
    lookalikes: list[tuple[Sample, Sample]] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    separations: dict[str, float] = field(default_factory=dict)

    def add(self, level: str, check: str, message: str, files: Iterable[str] = ()) -> None:
        """Note a finding; raises ValueError for an unknown level."""
        if level not in LEVELS:
            raise ValueError(f'the level must be one of {", ".join(LEVELS)}, found {level!r}.')
        self.findings.append(Finding(level, check, message, tuple(files)))

    def add_files(
        self,
        level: str,
        check: str,
        files: Sequence[str],
        rest: str,
        one: str = 'picture',
        many: str | None = None,
    ) -> None:
        """Note a finding about some files, where there are any: '3 pictures' and the rest of the sentence."""
        if files:
            self.add(level, check, f'{number_of(len(files), one, many)} {rest}', files)

    def sorted_findings(self) -> list[Finding]:
        """Errors first, then warnings, then notes."""
        return sorted(self.findings, key=lambda finding: LEVELS.index(finding.level))

    def count(self, level: str) -> int:
        """How many findings have a level."""
        return sum(finding.level == level for finding in self.findings)

    def failed(self, strict: bool = False) -> bool:
        """Whether there are errors or, with ``strict``, warnings."""
        return self.count('error') > 0 or (strict and self.count('warning') > 0)

    def verdict(self) -> str:
        """Counts of the findings in a line."""
        return ', '.join(
            f'{self.count(level)} {level}{"" if self.count(level) == 1 else "s"}' for level in LEVELS
        )

    def to_text(self) -> str:
        """The report for a terminal."""
        parts = [f'{printable(self.root)} ({self.kind})', *(f'  {printable(fact)}' for fact in self.facts)]
        for table in self.tables:
            parts += ['', table.to_text()]
        for level in LEVELS:
            found = [finding for finding in self.findings if finding.level == level]
            if found:
                parts += ['', f'{level}s']
                parts += [line for finding in found for line in _lines(f'- {finding.check}', finding)]
        return '\n'.join([*parts, '', self.verdict()]) + '\n'

    def findings_text(self) -> str:
        """Errors and warnings alone, each with its level; empty where there are none."""
        lines = [
            line
            for finding in self.sorted_findings()
            if finding.level != 'note'
            for line in _lines(f'{finding.level}: {finding.check}', finding)
        ]
        return ''.join(f'{line}\n' for line in lines)

    def to_json(self) -> str:
        """Everything but the pictures, with all files of each finding."""
        content = {
            'root': self.root,
            'kind': self.kind,
            'counts': {level: self.count(level) for level in LEVELS},
            'facts': self.facts,
            'findings': [
                {'level': f.level, 'check': f.check, 'message': f.message, 'files': list(f.files)}
                for f in self.sorted_findings()
            ],
            'tables': [
                {'title': t.title, 'rows': [dict(zip(t.header, row)) for row in t.rows]} for t in self.tables
            ],
        }
        return json.dumps(content, indent=1) + '\n'  # ASCII: names of files may be no UTF-8


def number_of(count: int, what: str, many: str | None = None) -> str:
    """'1 picture', '3 pictures'; ``many`` is the plural where it is not made with an s."""
    return f'{count} {what if count == 1 else many or what + "s"}'


def _cell(value: str | int | float) -> str:
    return f'{value:.2f}' if isinstance(value, float) else str(value)


def _lines(head: str, finding: Finding) -> list[str]:
    """A finding and the first of its files."""
    start = '\n    '
    files = few(finding.files[:SHOWN], SHOWN, start + '... and {} more', start, len(finding.files))
    return [f'{head}: {printable(finding.message)}', *([f'    {files}'] if files else [])]
