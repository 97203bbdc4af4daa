"""fsfm-mm leave-one-out: which runs are done, what its tables say; the runs themselves are written by hand here."""

import json

import pytest

from fsfm_mm.apis.protocols import NO_SOURCE
from fsfm_mm.commands import leave_one_out
from fsfm_mm.evaluation import AntiSpoofMetric, ScoreReport
from fsfm_mm.evaluation.report import LEFT_OUT


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Configs a and b; every command that would have run, and results of whatever is tested."""
    configs = [tmp_path / f'{name}.py' for name in 'ab']
    for config in configs:
        config.write_text('')
    called = []

    def run_command(name, *arguments):
        called.append((name, *arguments))
        if name == 'test':
            folder = arguments[arguments.index('--out') + 1]
            seed = int(folder.split('seed')[1][0])
            for protocol in run_command.protocols:
                metric = AntiSpoofMetric(source_threshold=0.4 if protocol == 'honest' else None)
                hter = 'HTER@source' if protocol == 'honest' else 'HTER@target-EER'
                row = {'AUC': 0.5 + seed / 8, hter: 0.25, 'APCER': 0.5, 'BPCER': 0.0}
                notes = [*metric.legend()]
                if 'honest' not in run_command.protocols:
                    notes.append(f'{LEFT_OUT}: {NO_SOURCE}')
                ScoreReport({'o': row}, headings=metric.headings(), notes=notes).write(folder, protocol)

    run_command.protocols = ('published', 'honest')
    monkeypatch.setattr(leave_one_out, 'run_command', run_command)
    arguments = [*map(str, configs), '--out', str(tmp_path / 'out')]
    return run_command, called, arguments


def test_table_fits_and_has_the_words_and_the_deviations(runs, tmp_path, capsys):
    _, called, arguments = runs
    leave_one_out.main([*arguments, '--seeds', '0', '1'])
    assert [name for name, *_ in called] == ['train', 'test'] * 4
    said = capsys.readouterr().out
    table = [line for line in said.splitlines() if str(tmp_path) not in line]  # which may be any length
    assert max(map(len, table)) <= 100
    for text in ('0.5625 ± 0.0884', 'misses', 'false alarms: reals rejected (BPCER)', 'deviation over seeds'):
        assert text in said
    content = json.loads((tmp_path / 'out/honest.json').read_text())
    assert list(content['rows']) == ['a', 'b', 'mean', 'std'] and content['rows']['mean']['AUC'] == 0.5625
    assert content['deviations']['a']['AUC'] == pytest.approx(0.125 / 2**0.5)


def test_what_is_done_is_not_done_again_but_only_with_the_same_settings(runs):
    _, called, arguments = runs
    leave_one_out.main(arguments)
    before = len(called)
    leave_one_out.main([*arguments, '--device', 'cpu'])
    assert len(called) == before
    for more, named in ((['--lr', '0.1'], r'lr None -> 0\.1'), (['--cfg-options', 'a=1'], 'settings')):
        with pytest.raises(SystemExit, match=rf'a/seed0 holds a run with other settings \({named}.*--out'):
            leave_one_out.main([*arguments, *more])
    assert len(called) == before


@pytest.mark.parametrize('arguments', [['a.py', 'b/a.py'], ['a.py', '--seeds', '1', '0', '1']])
def test_two_runs_of_one_folder_are_not_counted_twice(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'b').mkdir()
    for name in ('a.py', 'b/a.py'):
        (tmp_path / name).write_text('x = 1')
    with pytest.raises(SystemExit, match='is given twice'):
        leave_one_out.main(arguments)
    assert not (tmp_path / 'work_dirs').exists()


def test_published_runs_and_a_view_that_tests_take(runs, tmp_path):
    _, called, arguments = runs
    (tmp_path / 'a.py').write_text('published_seeds = [0, 3]')
    leave_one_out.main([*arguments, '--view', 'centre'])
    seeds = [word for name, *words in called if name == 'train' for word in words if 'seed=' in word]
    assert seeds == ['randomness.seed=0', 'randomness.seed=3', 'randomness.seed=0']
    for name, *words in called:
        assert ('--view' in words) == (name == 'test')
    with pytest.raises(SystemExit, match=r'a/seed0 holds a run with other settings \(view centre -> whole\)'):
        leave_one_out.main([*arguments, '--view', 'whole'])


def test_a_protocol_that_is_left_out_is_said_to_be(runs, capsys):
    run_command, called, arguments = runs
    run_command.protocols = ('published',)
    for _ in range(2):
        leave_one_out.main(arguments)
    assert len(called) == 4, 'the runs are finished all the same'
    said = capsys.readouterr().out
    assert 'published protocol, leave one out' in said and 'the honest protocol was left out' in said
