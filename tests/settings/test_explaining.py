"""What an error says: settings are found by where it arose, and a fault of the program keeps its traceback."""

import os
import tempfile
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from tiny_run import tiny_config

from fsfm_mm import commands
from fsfm_mm.commands import stats
from fsfm_mm.engine.launch import build_runner, exit_where_settings_are_wrong, train_or_explain
from fsfm_mm.models import FusedAttentionViT
from fsfm_mm.models.contracts import check_head
from fsfm_mm.registry import HOOKS
from fsfm_mm.settings import explaining
from fsfm_mm.settings.arguments import argument_names, wrong_values
from fsfm_mm.settings.explaining import SettingsError, error_message
from fsfm_mm.settings.reading import read_config
from fsfm_mm.text import did_you_mean, near_names


@HOOKS.register_module()
class FaultyHook(Hook):
    """A hook with a fault of the program, where it is told."""

    def __init__(self, when):
        self.when = when
        if when == 'built':
            self.nothing.at_all()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.when:
            raise KeyError('a fault')


def faulty(tmp_path, when):
    return tiny_config(tmp_path, custom_hooks=[dict(type='FaultyHook', when=when)])


def text_of(folder):
    (log,) = folder.glob('*/*.log')
    return log, log.read_text(encoding='utf-8')


def test_a_fault_while_building_is_a_sentence_and_its_traceback_is_in_the_log(tmp_path):
    with pytest.raises(SettingsError) as caught:
        build_runner(faulty(tmp_path, 'built'))
    log, text = text_of(tmp_path)
    assert str(caught.value) == (
        "custom_hooks.0 (FaultyHook): AttributeError: 'FaultyHook' object has no attribute 'nothing' "
        f'(the traceback is in {log})'
    )
    assert 'Traceback' in text and 'self.nothing.at_all()' in text


@pytest.mark.parametrize(
    ('when', 'begins'), [(0, 'in the first iteration: '), (2, 'stopped at iteration 3 by ')]
)
def test_a_fault_while_training_is_a_sentence_and_its_traceback_is_in_the_log(tmp_path, when, begins):
    runner = build_runner(faulty(tmp_path, when))
    with pytest.raises(SystemExit) as stopped:
        train_or_explain(runner, 'train.py')
    assert stopped.value.code.startswith(f'train.py: {begins}') and 'a fault' in stopped.value.code
    log, text = text_of(tmp_path)
    assert "KeyError: 'a fault'" in text
    assert (f'(the traceback is in {log})' in stopped.value.code) == (when == 2)


def test_a_fault_before_there_is_a_log_is_kept_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    try:
        [].missing  # noqa: B018
    except AttributeError as error:
        with pytest.raises(SystemExit) as stopped:
            exit_where_settings_are_wrong(error, 'train.py')
    (file,) = tmp_path.glob('train-py_*.log')
    assert stopped.value.code.endswith(f'(the traceback is in {file})')
    assert '[].missing' in file.read_text(encoding='utf-8')


def test_what_no_command_knows_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setattr(stats, 'find_images', lambda *_: [][0])
    assert commands.main(['stats', str(tmp_path)]) == os.EX_SOFTWARE
    said = capsys.readouterr().err
    (file,) = tmp_path.glob('fsfm-mm-stats_*.log')
    assert (
        said.startswith('fsfm-mm stats: stopped by an error of the program: IndexError: list index')
        and str(file) in said
    )
    monkeypatch.setattr(stats, 'find_images', lambda *_: (tmp_path / 'gone').read_text())
    assert commands.main(['stats', str(tmp_path)]) == os.EX_IOERR
    assert capsys.readouterr().err == f'fsfm-mm stats: No such file or directory: {tmp_path}/gone\n'


def test_an_error_of_a_data_worker_is_its_own_sentence():
    message = (
        'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n'
        '  File "base.py", line 3, in read\n    raise ValueError(\nValueError: faces/1.png: cannot be read\n'
    )
    assert error_message(ValueError(message)) == 'faces/1.png: cannot be read'
    assert explaining._in_a_worker(message)[0] == 'raise ValueError('


def test_modules_beside_the_config_and_in_the_current_folder_are_found(tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    (tmp_path / 'beside_the_config.py').write_text('')
    (tmp_path / 'here/in_this_folder.py').write_text('')
    (tmp_path / 'config.py').write_text(
        "custom_imports = dict(imports=['beside_the_config', 'in_this_folder'])\n"
    )
    monkeypatch.chdir(tmp_path / 'here')
    monkeypatch.setattr('sys.path', [folder for folder in __import__('sys').path if folder])
    assert isinstance(read_config(tmp_path / 'config.py'), Config)


def test_near_names():
    known = ['CRFRPMask', 'CRFRRMask', 'FRPMask', 'RandomMask']
    assert near_names('CRFR-P', known)[0] == 'CRFRPMask'
    assert did_you_mean('random', known) == ' (did you mean RandomMask?)'
    assert did_you_mean('xyz', known) == ''


@pytest.mark.parametrize(
    ('settings', 'remarks'),
    [
        (dict(arch='base', img_size=(32, 64), qkv_bias=True, drop_path_rate=0, init_cfg=None), []),
        (dict(img_size='big'), ["img_size must be a list of values or a whole number, found 'big'"]),
        (dict(qkv_bias='no'), ["qkv_bias must be True or False, found 'no'"]),
        (dict(arch=5), ['arch must be a dict or a text, found 5']),
        (dict(init_cfg=3, unknown='x'), ['init_cfg must be a dict, found 3']),
    ],
)
def test_values_that_cannot_be_meant(settings, remarks):
    assert wrong_values(FusedAttentionViT, settings) == remarks
    assert {'arch', 'init_cfg', 'with_cp'} <= set(argument_names(FusedAttentionViT))


def test_what_other_models_call_their_head_is_their_own_affair():
    """Only a classifier's head has to predict: FSFM keeps settings there, others a linear layer."""
    check_head(SimpleNamespace(head={'type': 'Anything'}))
    check_head(SimpleNamespace(head=torch.nn.Linear(2, 2)))
