"""Commands and Python of the Markdown pages, and how they are run: as printed, but small.

A block of a page is a command line by line (no language), Python (```python), or a layout or synopsis (```text).
Three comments in the source of a page, before a block, say more of it:

``<!-- file: NAME -->``: the block is a file of that name, which later blocks use; a module is imported.
``<!-- not run: WHY -->``: nothing of the block can be run here.
``<!-- not run (WORD, ...): WHY -->``: no line with one of these words can.

:data:`REPLACEMENTS` is all that is changed of a command.
"""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsfm_mm.commands import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = ['README.md', *sorted(f'docs/{path.name}' for path in (ROOT / 'docs').glob('*.md'))]
PAGES.sort(key=lambda page: (page != 'README.md', 'custom_' not in page))  # whose modules others use

_BLOCK = re.compile(
    r'^(?:<!-- (?P<key>file|not run)(?: \((?P<words>.*?)\))?: (?P<value>.*?) -->\n+)?'
    r'```(?P<language>\w*)\n(?P<text>.*?)^```$',
    re.M | re.S,
)
_TINY = 'model.pixel_decoder.embed_dim=32 model.pixel_decoder.depth=1 model.pixel_decoder.num_heads=2 '
_TINY += 'model.rep_decoder.depth=1 model.projector.hidden_dim=32 model.predictor.hidden_dim=32'

#: What is added at the end of a command that begins so (as it is after ``fsfm-mm``), and why.
REPLACEMENTS = [
    ('prepare PHOTOS', '--config small_models.py --workers 0', 'a detector and a parser without weights'),
    ('train fsfm_demo', '--iters 2 --batch-size 4 --workers 0', 'two steps'),
    ('train fsfm_vit-s_own-faces', '--epochs 1 --batch-size 4 --workers 0', 'one epoch'),
    ('train fsfm_vit-s_own-faces', f'--arch tiny --cfg-options {_TINY}', 'a small network'),
    ('train vit-t_own-faces', '--epochs 1 --batch-size 4 --workers 0', 'one epoch'),
    ('test vit-t_own-faces', '--batch-size 4 --workers 0', 'no processes for eight pictures'),
    ('train fsfm_vit-b_vggface2_400e', '--epochs 1 --batch-size 4 --workers 0', 'one epoch'),
    (
        'train fsfm_vit-b_vggface2_400e',
        f'--arch tiny --cfg-options {_TINY} optim_wrapper.accumulative_counts=1',
        'a small network',
    ),
    ('prepare-deepfake folders', '--detector none --workers 0', 'a detector without weights'),
    ('masks', '--num 2', 'two faces'),
    ('masks PHOTOS', '--detector none --parser small_models.py', 'a detector and a parser without weights'),
]


@dataclass(frozen=True)
class Step:
    """One command, or one block of Python.

    Attributes:
        page: Its page.
        line: Where it begins there, from 1.
        language: '' for a command, 'python', or 'text' for what is only written to a file.
        text: The command on one line, or the block.
        file: Name of the file that the block is, or ''.
        reason: Why it is not run, or ''.
    """

    page: str
    line: int
    language: str
    text: str
    file: str = ''
    reason: str = ''

    def __str__(self) -> str:
        return f'{self.page}:{self.line}: {self.text.splitlines()[0]}'


def steps(page: str) -> list[Step]:
    """The steps of a page in their order."""
    content = (ROOT / page).read_text(encoding='utf-8')
    found = []
    for block in _BLOCK.finditer(content):
        language, text = block['language'], block['text']
        first = content.count('\n', 0, block.start('text')) + 1
        named = block['value'] if block['key'] == 'file' else ''
        reason = block['value'] if block['key'] == 'not run' else ''
        if language or named:
            found.append(Step(page, first, language or 'text', text, named, reason))
            continue
        words = [word.strip() for word in (block['words'] or '').split(',') if word.strip()]
        for offset, command in _commands(text):
            skipped = reason if not words or any(word in command for word in words) else ''
            found.append(Step(page, first + offset, '', command, reason=skipped))
    return found


def _commands(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a shell with their places; a backslash at the end joins the next one."""
    begin, command = 0, ''
    for number, line in enumerate(text.splitlines()):
        if not command:
            begin = number
        command += line.strip().removesuffix('\\')
        if not line.endswith('\\') and command:
            yield begin, command
            command = ''


def run(step: Step, scope: dict) -> None:
    """Run a step in the current folder, in this process.

    Args:
        step: What to run; raises AssertionError where a command does not end well.
        scope: Names of the page's Python.
    """
    if step.file:
        Path(step.file).write_text(step.text, encoding='utf-8')
        if 'class ' in step.text:  # a module, as against a config
            scope |= vars(importlib.import_module(Path(step.file).stem))
    elif step.language == 'python':
        exec(compile(step.text, str(step), 'exec'), scope)
    if step.language == '':
        words = shlex.split(step.text, comments=True)
        added = [word for replacement in replacements(step) for word in shlex.split(replacement[1])]
        assert _call(words + added) in (0, None), step


def replacements(step: Step) -> list[tuple[str, str, str]]:
    """Those of :data:`REPLACEMENTS` that a command takes."""
    first, second, *arguments = [*shlex.split(step.text, comments=True), '']
    if first == 'python':
        door = re.search(r"run\('([\w-]+)'", (ROOT / second).read_text(encoding='utf-8'))
        second = door[1] if door else second
    if arguments[0].endswith('.py'):
        arguments[0] = Path(arguments[0]).stem
    line = ' '.join([second, *arguments])
    return [replacement for replacement in REPLACEMENTS if line.startswith(replacement[0])]


def _call(words: list[str]) -> int | str | None:
    """Run ``fsfm-mm ...`` or ``python FILE ...`` here; returns the exit code."""
    try:
        if words[0] == 'fsfm-mm':
            return main(words[1:])
        assert words[0] == 'python', f'{words[0]}: neither fsfm-mm nor python'
        before = sys.argv
        sys.argv = words[1:]
        try:
            runpy.run_path(words[1], run_name='__main__')
        finally:
            sys.argv = before
    except SystemExit as end:
        return end.code
    return 0
