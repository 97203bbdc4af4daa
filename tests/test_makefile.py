"""make: what it says before anything is installed, and what it installs torch from; nothing is run but make itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def make(tmp_path):
    """Make in a copy of what it reads, where nothing is installed."""
    if shutil.which('make') is None:
        pytest.skip('there is no make')
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    for name in ('Makefile', 'setup.py'):
        shutil.copy(ROOT / name, tmp_path)
    # the suite itself may have been started by make, which tells its children so
    mine = {name: value for name, value in os.environ.items() if 'MAKE' not in name and name != 'MFLAGS'}
    return lambda *words: subprocess.run(
        ['make', *words], cwd=tmp_path, capture_output=True, text=True, env=mine
    )


def test_help_is_a_line_a_target(make):
    lines = make('help').stdout.splitlines()
    text = (ROOT / 'Makefile').read_text(encoding='utf-8')
    (targets,) = (line for line in text.splitlines() if line.startswith('.PHONY'))
    assert [line.split()[1] for line in lines[:-1]] == targets.split()[1:]
    assert 'make test    the whole check: lint, types, fast tests, slow tests' in lines


@pytest.mark.parametrize('python', ['python3.99', './no/python'])
def test_a_python_that_is_not_there_is_one_sentence(make, tmp_path, python):
    done = make(f'PYTHON={python}', 'demo')
    assert done.returncode == 2
    assert done.stdout == f'There is no {python} that runs here; choose one with: make PYTHON=python3 demo\n'
    assert done.stderr.count('\n') == 1 and not (tmp_path / '.venv').exists()


def test_torch_without_cuda_comes_from_pytorchs_index(make):
    everything = make('-n', 'demo').stdout
    assert (
        'install --disable-pip-version-check -r requirements/lock.txt' in everything
        and 'whl' not in everything
    )
    cpu = make('-n', 'TORCH=cpu', 'demo').stdout
    assert '--index-url https://download.pytorch.org/whl/cpu -r .venv/torch.txt' in cpu
    assert 'install --disable-pip-version-check torch-2.whl' in make('-n', 'TORCH=torch-2.whl', 'demo').stdout


def test_pictures_of_people_are_not_committed():
    if not (ROOT / '.git').exists() or shutil.which('git') is None:
        pytest.skip('this is no clone')
    for name in ('data/my_faces/images/a.png', 'work_dirs/my_faces/reconstructions/iter_1.png'):
        assert subprocess.run(['git', 'check-ignore', '-q', name], cwd=ROOT).returncode == 0, name
    for name in ('tools/data/check.py', 'tests/data/x.npz', 'fsfm_mm/datasets/base.py'):
        assert subprocess.run(['git', 'check-ignore', '-q', '--no-index', name], cwd=ROOT).returncode == 1, (
            name
        )
