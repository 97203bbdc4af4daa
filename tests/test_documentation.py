"""Pages name what there is: a new component is not forgotten there, and none is listed that does not exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from fsfm_mm.commands import COMMANDS
from fsfm_mm.commands.face_parts import PARSERS
from fsfm_mm.commands.preparing import presets
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS
from fsfm_mm.datasets.transforms import mask_types
from fsfm_mm.evaluation import antispoof_metrics, forgery_metrics
from fsfm_mm.models import losses
from fsfm_mm.registry import FACE_DETECTORS

ROOT = Path(__file__).resolve().parents[1]


def part(page, beginning, end):
    """The text of a page from a beginning to an end."""
    text = (ROOT / page).read_text(encoding='utf-8')
    return text[text.index(beginning) :].partition(end)[0]


def marked(text):
    return re.findall('`([^`]+)`', text)


def test_readme_lists_strategies_and_losses():
    strategies = part('README.md', 'Strategies: ', '; losses: ')
    assert set(marked(strategies)) == {kind.__name__ for kind in mask_types().values()}
    similarities = {name for name in losses.__all__ if hasattr(getattr(losses, name), 'function')}
    assert set(marked(part('README.md', '; losses: ', '. **'))) == similarities


def test_readme_lists_the_commands():
    comments = re.findall('# (.*)', part('README.md', 'fsfm-mm --help', 'fsfm-mm train'))
    assert re.findall(r'[\w-]+', ' '.join(comments)) == list(COMMANDS)


def test_table_of_published_sets():
    rows = part('docs/downstream_data.md', '| `name` |', '\n\n').splitlines()[2:]
    assert {name for row in rows for name in marked(row.split('|')[1])} == set(PUBLISHED_SETS)


@pytest.mark.parametrize(
    'option, names', [('detector', presets(FACE_DETECTORS)), ('parser', [*PARSERS, 'none'])]
)
def test_detectors_and_parsers(option, names):
    row = part('docs/preparation.md', f'| `--{option} ', '|\n')
    assert set(names) <= set(marked(row))


@pytest.mark.parametrize(
    'heading, metrics',
    [('## Forgery detection', forgery_metrics), ('## Face anti-spoofing', antispoof_metrics)],
)
def test_tables_of_metrics(heading, metrics):
    columns = metrics(np.array([0.2, 0.7]), np.array([0, 1]), source_threshold=0.5)
    rows = part('docs/evaluation.md', heading, '\n## ').splitlines()
    named = {name for row in rows if row.startswith('|') for name in marked(row.split('|')[1])}
    assert set(columns) <= named
