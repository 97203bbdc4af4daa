"""Shared fixtures: deterministic seeds and the optional folder of real pictures."""

import multiprocessing
import random
import signal
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
import torch
from kill_lab import Lab

import fsfm_mm.components  # noqa: F401  (registers everything)

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


@pytest.fixture(autouse=True)
def signal_handlers():
    """Nobody listens to signals for longer than a test, however its run ended."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell ignore it
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope='session')
def faces():
    """Folder of real pictures; tests that ask for it skip where it is missing."""
    if not FACES.is_dir():
        pytest.skip(
            f'the optional folder of real pictures is not at {FACES.parent.name}/{FACES.name} beside the project'
        )
    return FACES


@pytest.fixture(scope='session')
def fork_server():
    """The fork server with all that any test's workers need: what the first pool imports stays, whoever is next."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['torch', 'fsfm_mm.preparation.chunks', 'fsfm_mm.doctor.scanning'])
    forkserver.ensure_running()


@pytest.fixture(scope='session')
def lab():
    """Forked runs, which import everything once for all tests of a process: see :class:`kill_lab.Lab`."""
    lab = Lab()
    yield lab
    lab.close()


def pytest_collection_modifyitems(items):
    """Skip GPU tests with a reason where there is no GPU."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='needs a CUDA device')
    for item in items:
        if 'gpu' in item.keywords:
            item.add_marker(skip)
