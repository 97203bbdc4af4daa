"""Two processes give exactly what one gives, and both of them hear of a failure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / 'two_processes.py'
pytestmark = pytest.mark.slow


def run(folder, world, wrong='nothing', device='cpu'):
    """What each process wrote."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(world)]
    env = os.environ | {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    result = subprocess.run(
        [*command, str(SCRIPT), str(folder), wrong, device],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads((folder / f'{world}_{rank}.json').read_text()) for rank in range(world)]


@pytest.mark.parametrize('device', ['cpu', 'gpu', 'default'], ids=['files', 'messages', 'hosts'])
def test_two_processes_equal_one_exactly(tmp_path, device):
    (one,) = run(tmp_path, 1)
    two = run(tmp_path, 2, device=device)
    assert [process['count'] for process in [one, *two]] == [101, 51, 51]  # one was repeated
    assert two[0]['found'] == two[1]['found'] == one['found']
    assert {'video/AUC', 'FAS/HTER@source', 'FAS/loss'} < set(one['found'])
    for suffix in ('', '_videos'):
        assert (tmp_path / f'2{suffix}.csv').read_bytes() == (tmp_path / f'1{suffix}.csv').read_bytes()


@pytest.mark.parametrize(
    'wrong, message', [('missing', 'all 102 samples'), ('mixed', 'all frames of a video must have one label')]
)
def test_both_processes_hear_of_a_failure(tmp_path, wrong, message):
    for process in run(tmp_path, 2, wrong):
        assert message in process['found']['error']
