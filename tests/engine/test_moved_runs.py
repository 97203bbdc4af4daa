"""A moved or copied work directory goes on from its own files; what cannot be used stops it with a word."""

import os
import shutil

import pytest
import torch
from linear_run import run, settings
from mmengine.config import Config

from fsfm_mm.engine.last_checkpoint import choose_checkpoint
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.engine.saving import point_to
from fsfm_mm.files.checkpoint_folders import POINTER, checkpoint_file, last_whole_checkpoint, pointed_to


def folder(path, *names, pointer=None):
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        torch.save({'name': name}, path / name)
    if pointer is not None:
        point_to(path, path / pointer)
    return path


@pytest.fixture()
def said(monkeypatch):
    lines = []
    for module in ('mmengine.logging', 'fsfm_mm.engine.last_checkpoint'):
        monkeypatch.setattr(f'{module}.print_log', lambda text, *args: lines.append(text))
    return lines


def resumed(work_dir, load_from=None, **more):
    cfg = Config({**dict(work_dir=str(work_dir), resume=True, load_from=None), **more})
    choose_checkpoint(cfg, load_from and str(load_from))
    return cfg


@pytest.mark.parametrize('moved', [shutil.copytree, shutil.move])
def test_the_newest_is_missing(tmp_path, said, moved):
    """In the original it is still there; the files of the folder count, and a copy keeps no times."""
    here = folder(tmp_path / 'here', 'epoch_2.pth', 'epoch_10.pth', 'epoch_11.pth', pointer='epoch_11.pth')
    there = tmp_path / 'there'
    moved(here, there)
    folder(here, 'epoch_11.pth')
    (there / 'epoch_11.pth').unlink()
    os.utime(there / 'epoch_2.pth')
    assert resumed(there).load_from == str(there / 'epoch_10.pth')
    assert said == [
        f'{there}/last_checkpoint names epoch_11.pth, which is not beside it. Going on from {there}/epoch_10.pth.'
    ]
    assert checkpoint_file(there) == there / 'epoch_10.pth'
    for path in there.glob('*.pth'):
        path.unlink()
    for finds in (resumed, checkpoint_file):
        with pytest.raises(
            ValueError, match=rf'names epoch_11.pth, .* at {here}/epoch_11.pth\): name the file'
        ):
            finds(there)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'names no file'),
        (b'\xff\xfe\x00', 'is not text'),
        (b'epoch_1.pth\nepoch_2.pth', 'names no file'),
        (b'/', 'names no file'),
        (b'a\0b', 'names no file'),
        (b'elsewhere/epoch_7.pth', r'names epoch_7.pth, which is not beside it'),
        (b'x' * 300, 'names no file'),
        (None, 'is no file'),
    ],
)
def test_a_pointer_that_leads_nowhere_is_named(tmp_path, said, content, words):
    work_dir = folder(tmp_path / 'work', 'epoch_1.pth', 'stopped.pth', 'mine_9.pth')
    pointer = work_dir / POINTER
    pointer.mkdir() if content is None else pointer.write_bytes(content)
    assert last_whole_checkpoint(work_dir) == work_dir / 'stopped.pth'
    assert words.split(',')[0] in said[0] and said[0].endswith(f'Going on from {work_dir}/stopped.pth.')
    pointed_to(work_dir)
    for path in work_dir.glob('*.pth'):
        path.unlink()
    with pytest.raises(ValueError, match=f'{pointer} {words}.* No other checkpoint') as error:
        resumed(work_dir)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize('name', ['best_AUC_epoch_3.pth', 'failed_step.pth'])
def test_what_no_run_goes_on_from_does_not_begin_one(tmp_path, name):
    work_dir = folder(tmp_path / 'work', name)
    for finds in (resumed, checkpoint_file):
        with pytest.raises(ValueError, match=f'holds {name}, from which no run can go on'):
            finds(work_dir)


def test_nothing_at_all_begins_anew_and_says_so(tmp_path, said):
    for work_dir in (tmp_path / 'missing', folder(tmp_path / 'empty')):
        cfg = resumed(work_dir)
        assert cfg.resume is False and cfg.load_from is None
        assert said.pop() == f'--resume: {work_dir} holds no checkpoint, so the run begins anew.'
        with pytest.raises(ValueError, match=r'without checkpoints|no such'):
            checkpoint_file(work_dir)


def test_begun_anew_it_begins_with_the_weights_of_the_config(tmp_path, said):
    """The same command from the first start to the last, as schedulers repeat it."""
    work_dir, weights = folder(tmp_path / 'work'), str(tmp_path / 'weights.pth')
    cfg = Config(dict(work_dir=str(work_dir), resume=True, load_from=weights))
    choose_checkpoint(cfg)
    assert (cfg.resume, cfg.load_from) == (False, weights) and said[-1].endswith(
        f'begins anew from {weights}.'
    )
    folder(work_dir, 'epoch_1.pth')
    cfg.resume = True
    choose_checkpoint(cfg)
    assert (cfg.resume, cfg.load_from) == (True, str(work_dir / 'epoch_1.pth'))


def test_another_run_is_not_resumed_over_this_one(tmp_path):
    mine = folder(tmp_path / 'mine', 'epoch_2.pth', 'epoch_3.pth', pointer='epoch_3.pth')
    other = folder(tmp_path / 'other', 'epoch_9.pth', pointer='epoch_9.pth')
    with pytest.raises(
        ValueError, match=rf'{other}/epoch_9.pth is of another run than {mine}, .*epoch_3.pth.*replace'
    ):
        resumed(mine, other / 'epoch_9.pth')
    assert resumed(mine, mine / 'epoch_2.pth').load_from == str(mine / 'epoch_2.pth')
    assert resumed(tmp_path / 'new', other).load_from == str(other / 'epoch_9.pth')


def test_checkpoints_may_be_saved_in_another_folder(tmp_path):
    """As mmengine's hook does with out_dir: a folder of the work directory's name there."""
    saved = folder(tmp_path / 'disk/run', 'epoch_1.pth', 'epoch_2.pth')
    work_dir = folder(tmp_path / 'run')
    point_to(work_dir, saved / 'epoch_2.pth')
    hooks = dict(default_hooks=dict(checkpoint=dict(out_dir=str(tmp_path / 'disk'))))
    assert resumed(work_dir, **hooks).load_from == str(saved / 'epoch_2.pth')


def test_a_run_of_a_program_goes_on_from_its_own_folder(tmp_path):
    """build_runner, too, asks the folder: mmengine would follow the pointer into the original."""
    run(tmp_path / 'here', [])
    shutil.copytree(tmp_path / 'here', tmp_path / 'there')
    (tmp_path / 'there/iter_14.pth').unlink()
    runner = build_runner(settings(tmp_path / 'there', [], resume=True))
    assert runner._load_from == str(tmp_path / 'there/iter_7.pth')
