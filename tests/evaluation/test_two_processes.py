"""Two processes give exactly what one gives, and both of them hear of a failure."""

import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / 'two_processes.py'
pytestmark = pytest.mark.slow


@pytest.fixture
def run(lab, tmp_path):
    """``run(world, wrong, device)``: what each process wrote."""

    def run(world, wrong='nothing', device='cpu'):
        log = tmp_path / 'log'
        codes = lab.run(SCRIPT, [tmp_path, wrong, device], log, world)
        assert codes == [0] * world, log.read_text()[-3000:]
        return [json.loads((tmp_path / f'{world}_{rank}.json').read_text()) for rank in range(world)]

    return run


@pytest.mark.parametrize('device', ['cpu', 'gpu', 'default'], ids=['files', 'messages', 'hosts'])
def test_two_processes_equal_one_exactly(run, tmp_path, device):
    (one,) = run(1)
    two = run(2, device=device)
    assert [process['count'] for process in [one, *two]] == [101, 51, 51]  # one was repeated
    assert two[0]['found'] == two[1]['found'] == one['found']
    assert {'video/AUC', 'FAS/HTER@source', 'FAS/loss'} < set(one['found'])
    for suffix in ('', '_videos'):
        assert (tmp_path / f'2{suffix}.csv').read_bytes() == (tmp_path / f'1{suffix}.csv').read_bytes()


@pytest.mark.parametrize(
    'wrong, message', [('missing', 'all 102 samples'), ('mixed', 'all frames of a video must have one label')]
)
def test_both_processes_hear_of_a_failure(run, wrong, message):
    for process in run(2, wrong):
        assert message in process['found']['error']
