"""Checkpoints on the disk: always one that is whole, whatever happens and when."""

import os
import pickle
import shutil
import socket

import pytest
import torch
from resume_cases import assert_same_run, finetuning, pretraining

from fsfm_mm.engine.saving import holding, point_to
from fsfm_mm.files.checkpoint_files import check_whole
from fsfm_mm.files.checkpoint_folders import last_whole_checkpoint, pointed_to


def files(work_dir):
    return sorted(path.name for path in work_dir.glob('*.pth'))


@pytest.mark.slow
@pytest.mark.parametrize('keep', [1, 2])
def test_killed_while_saving(lab, tmp_path, keep):
    """In the middle of the file, before it has its name, before the pointer names it; each time once more."""
    config = pretraining(tmp_path, checkpoint=dict(interval=1))
    keeping = ['--cfg-options', f'default_hooks.checkpoint.max_keep_ckpts={keep}']
    assert lab.train(config, tmp_path / 'whole', *keeping) == 0
    killed, found = tmp_path / 'killed', []
    for place in ('write 1', 'replace 1', 'pointer 1', 'write 2', 'pointer 1', 'replace 1'):
        assert lab.train(config, killed, '--resume', *keeping, at=f'KILL {place}') == -9
        last = last_whole_checkpoint(killed)
        found.append(last and last.name)
        assert len(list(killed.glob('.*.pth.*.part'))) == (place[:5] in ('write', 'repla'))
    # the fifth time epoch_3.pth is whole, but not yet named
    assert found == [None, None, 'epoch_1.pth', 'epoch_2.pth', 'epoch_2.pth', 'epoch_2.pth']
    assert lab.train(config, killed, '--resume', *keeping) == 0
    assert_same_run(tmp_path / 'whole', killed)
    assert files(killed) == [f'epoch_{n}.pth' for n in (1, 2, 3)][-keep:]


@pytest.mark.slow
def test_the_best_is_there_until_a_better_one_is(lab, tmp_path):
    """Killed in the middle of writing a best checkpoint: the best before it remains."""
    # of these faces the untrained detector is right by chance, and less so after another epoch
    config = finetuning(tmp_path, **{'default_hooks.checkpoint.rule': 'less'})
    assert lab.train(config, tmp_path / 'whole') == 0
    (best,) = (tmp_path / 'whole').glob('best_*')
    assert best.name == 'best_frame_AUC_epoch_2.pth', 'this test needs an epoch 2 that is better than epoch 1'
    killed = tmp_path / 'killed'
    # written: epoch_1, best_1, epoch_1 again with the best's name, epoch_2, best_2
    assert lab.train(config, killed, at='KILL replace 5') == -9
    assert [path.name for path in killed.glob('best_*')] == ['best_frame_AUC_epoch_1.pth']
    assert lab.train(config, killed, '--resume') == 0
    assert_same_run(tmp_path / 'whole', killed)


@pytest.fixture(scope='module')
def finished(lab, tmp_path_factory):
    """A finished run and its config: do not change it."""
    folder = tmp_path_factory.mktemp('finished')
    config = pretraining(folder, checkpoint=dict(interval=1))
    assert lab.train(config, folder / 'whole') == 0
    return config, folder / 'whole'


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b'')


@pytest.mark.parametrize('damage', [cut, flip_a_bit, empty])
def test_a_damaged_checkpoint_is_passed_over(lab, finished, tmp_path, damage):
    config, whole = finished
    work_dir = tmp_path / 'work'
    assert lab.train(config, work_dir, at='KILL after_train_iter 12') == -9
    damage(work_dir / 'epoch_2.pth')
    assert lab.train(config, work_dir, '--resume') == 0
    text = (tmp_path / 'work.log').read_text()
    assert 'epoch_2.pth is ' in text and f'Going on from {work_dir}/epoch_1.pth' in text
    assert_same_run(whole, work_dir)
    for path in work_dir.glob('*.pth'):
        damage(path)
    assert lab.train(config, work_dir, '--resume') == 1
    assert 'No other checkpoint in' in (tmp_path / 'work.log').read_text()
    assert lab.train(config, work_dir, '--resume', str(path)) == 1


def test_a_full_disk_stops_the_run(lab, finished, tmp_path):
    config, whole = finished
    work_dir = tmp_path / 'work'
    assert lab.train(config, work_dir, at='FULL write 2') == 1
    sentence = (tmp_path / 'work.log').read_text().splitlines()[-1]
    assert sentence.startswith(
        'train.py: stopped at iteration 11: a checkpoint could not be written (No space'
    )
    assert (
        f'the last good checkpoint is {work_dir}/epoch_1.pth: make room and go on with --resume.' in sentence
    )
    assert files(work_dir) == ['epoch_1.pth']
    assert not list(work_dir.glob('.*.part'))
    assert pointed_to(work_dir) == work_dir / 'epoch_1.pth'
    assert lab.train(config, work_dir, '--resume') == 0
    assert_same_run(whole, work_dir)


def test_a_work_directory_may_move(lab, finished, tmp_path):
    config, whole = finished
    assert lab.train(config, tmp_path / 'here', at='KILL after_train_iter 12') == -9
    (tmp_path / 'here').rename(tmp_path / 'there')
    assert pointed_to(tmp_path / 'there') == tmp_path / 'there/epoch_2.pth'
    assert lab.train(config, tmp_path / 'there', '--resume') == 0
    assert_same_run(whole, tmp_path / 'there')


def test_two_runs_do_not_share_a_work_directory(lab, finished, tmp_path):
    """The second stops before it touches anything; a killed one is out of the way at once."""
    config, whole = finished
    with holding(tmp_path):
        (tmp_path / '.epoch_1.pth.1.part').touch()  # what the first is writing
        log = tmp_path.with_name(f'{tmp_path.name}.log')
        assert lab.train(config, tmp_path) == 1
        assert log.read_text().splitlines()[-1] == (
            f'train.py: {tmp_path} is in use by another run (process {os.getpid()} on {socket.gethostname()}): wait '
            'for it or stop it, or give this one a --work-dir of its own.'
        )
        assert (tmp_path / '.epoch_1.pth.1.part').exists() and not files(tmp_path)
    assert lab.train(config, tmp_path, at='KILL after_train_iter 12') == -9
    assert lab.train(config, tmp_path, '--resume') == 0
    assert_same_run(whole, tmp_path)


def test_a_copied_work_directory_goes_on_from_its_own_files(tmp_path):
    (tmp_path / 'here').mkdir()
    (tmp_path / 'here/epoch_1.pth').touch()
    point_to(tmp_path / 'here', tmp_path / 'here/epoch_1.pth')
    shutil.copytree(tmp_path / 'here', tmp_path / 'there')
    assert pointed_to(tmp_path / 'there') == tmp_path / 'there/epoch_1.pth'


class Program:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return exec, (f'open({self.target!r}, "w").close()',)


def test_resuming_runs_no_code(lab, finished, tmp_path):
    config, whole = finished
    checkpoint = torch.load(whole / 'epoch_2.pth', weights_only=False)
    checkpoint['message_hub']['runtime_info']['x'] = Program(tmp_path / 'was_here')
    torch.save(checkpoint, tmp_path / 'foreign.pth')
    assert lab.train(config, tmp_path / 'work', '--resume', str(tmp_path / 'foreign.pth')) == 1
    last = (tmp_path / 'work.log').read_text().splitlines()[-1]
    assert last.startswith('train.py: ') and 'exec' in last
    assert not (tmp_path / 'was_here').exists()


def test_checkpoints_before_this_format_can_be_resumed(lab, finished, tmp_path):
    """mmengine's own have no run state."""
    config, whole = finished
    checkpoint = torch.load(whole / 'epoch_2.pth', weights_only=False)
    del checkpoint['run_state']
    torch.save(checkpoint, tmp_path / 'plain.pth')
    assert lab.train(config, tmp_path / 'work', '--resume', str(tmp_path / 'plain.pth')) == 0
    end, expected = (
        torch.load(path / 'epoch_3.pth', weights_only=False) for path in (tmp_path / 'work', whole)
    )
    for key, value in expected['state_dict'].items():
        assert torch.equal(end['state_dict'][key], value)


def test_pointer_and_candidates(tmp_path):
    assert last_whole_checkpoint(tmp_path / 'missing') is None
    assert pointed_to(tmp_path) is None
    for number in (1, 2):
        torch.save({'n': number}, tmp_path / f'epoch_{number}.pth')
    for name in ('best_AUC_epoch_3.pth', 'failed_step.pth'):
        torch.save({}, tmp_path / name)
    assert last_whole_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'
    point_to(tmp_path, tmp_path / 'epoch_1.pth')
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
    assert last_whole_checkpoint(tmp_path) == tmp_path / 'epoch_1.pth'
    (tmp_path / 'last_checkpoint').write_text('')  # as mmengine leaves it where it is killed
    assert last_whole_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'
    check_whole(tmp_path)
    (tmp_path / 'old.pth').write_bytes(pickle.dumps({'a': 1}))
    with pytest.raises(ValueError, match='not one that torch'):
        check_whole(tmp_path / 'old.pth')
