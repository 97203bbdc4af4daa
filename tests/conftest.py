"""Shared fixtures: deterministic seeds and the optional folder of real pictures."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import fsfm_mm  # noqa: F401  (registers everything)

# models of the tests are tiny: a second thread only waits, and for long when the machine is busy
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
FACES = ROOT.parent / 'shared' / 'faces'


@pytest.fixture(autouse=True)
def seed():
    """The same random numbers for every test, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def faces():
    """Folder of real pictures; tests that ask for it skip where it is missing."""
    if not FACES.is_dir():
        pytest.skip(
            f'the optional folder of real pictures is not at {FACES.parent.name}/{FACES.name} beside the project'
        )
    return FACES


def pytest_collection_modifyitems(items):
    """Skip GPU tests with a reason where there is no GPU."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='needs a CUDA device')
    for item in items:
        if 'gpu' in item.keywords:
            item.add_marker(skip)
