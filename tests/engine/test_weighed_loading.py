"""Weights of another model do not begin a run in silence, through whichever of OpenMMLab's doors they come."""

import pytest
import torch
from golden import build_tiny_fsfm, fsfm_config, load_pretrain_golden
from linear_run import run
from mmengine.model.weight_init import PretrainedInit
from mmengine.runner import load_checkpoint
from tiny_run import tiny_runner

import fsfm_mm.engine.weighed_loading as weighed_loading
from fsfm_mm.engine.weighed_loading import _load
from fsfm_mm.files.checkpoint_matching import LEAST_SHARE, share_there, unlike
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import MODELS


@pytest.fixture(scope='module')
def state():
    return build_tiny_fsfm().state_dict()


@pytest.fixture(scope='module')
def runner(tmp_path_factory):
    return tiny_runner(tmp_path_factory.mktemp('run'))


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(weighed_loading, 'print_log', lambda text, *args: lines.append(text))
    return lines


def backbone():
    return MODELS.build(fsfm_config(load_pretrain_golden()[1])['backbone'])


#: How weights come into a model: load_from, the function behind inferencers, init_cfg of a whole model and of a part.
DOORS = {
    'load_from': lambda path, runner: runner.load_checkpoint(path),
    'load_checkpoint': lambda path, runner: load_checkpoint(build_tiny_fsfm(), path),
    'Pretrained': lambda path, runner: PretrainedInit(path)(build_tiny_fsfm()),
    'Pretrained, part': lambda path, runner: PretrainedInit(path, prefix='backbone.')(backbone()),
}
#: What of a model of the same kind a file has, by its names.
LITTLE = {
    'nothing': lambda name: name.replace('backbone.', 'encoder.'),
    'one key': lambda name: name if name == 'backbone.cls_token' else f'other.{name}',
    'half the blocks': lambda name: name if 'blocks.1.' not in name else f'other.{name}',
}


@pytest.mark.parametrize('door', DOORS)
@pytest.mark.parametrize('what', LITTLE)
def test_little_is_refused(tmp_path, state, runner, door, what):
    path = tmp_path / 'few.pth'
    torch.save({'state_dict': {LITTLE[what](key): value for key, value in state.items()}}, path)
    with pytest.raises(StoppedError, match=r'few\.pth holds (no weight|\d+% of the weights)') as error:
        DOORS[door](str(path), runner)
    assert len(str(error.value)) < 300 + len(str(path))


@pytest.mark.parametrize('door', DOORS)
def test_what_else_differs_is_listed(tmp_path, state, runner, said, door):
    path = tmp_path / 'most.pth'
    torch.save({'state_dict': {key: state[key] for key in state if key != 'backbone.norm.bias'}}, path)
    DOORS[door](str(path), runner)
    assert len(said) == 1 and 'norm.bias' in said[0] and f'{path} holds 100% of the ' in said[0]


@pytest.mark.parametrize('door', DOORS)
@pytest.mark.parametrize('dtype', [torch.int32, torch.bool, torch.complex64])
def test_numbers_that_are_no_weights_are_not_there(tmp_path, state, runner, door, dtype):
    """torch copies them: weights below one become zeros, or all become one."""
    path = tmp_path / 'counts.pth'
    torch.save({'state_dict': {key: value.to(dtype) for key, value in state.items()}}, path)
    with pytest.raises(StoppedError, match=r'counts\.pth holds no weight of the'):
        DOORS[door](str(path), runner)


def test_a_few_of_them_are_listed_and_left(tmp_path, state, runner, said):
    few = {'backbone.norm.bias': state['backbone.norm.bias'].to(torch.int64) + 3}
    torch.save({'state_dict': state | few}, tmp_path / 'few.pth')
    runner.load_checkpoint(str(tmp_path / 'few.pth'))
    assert '1 of numbers that are no weights: backbone.norm.bias int64' in said[0]
    assert not (runner.model.state_dict()['backbone.norm.bias'] == 3).any()


def test_all_of_it_is_loaded_without_a_word(tmp_path, state, runner, said):
    torch.save({'state_dict': state}, tmp_path / 'all.pth')
    for load in DOORS.values():
        load(str(tmp_path / 'all.pth'), runner)
    assert not said


def test_a_whole_model_for_a_part_without_its_prefix(tmp_path, state):
    torch.save({'state_dict': state}, tmp_path / 'all.pth')
    with pytest.raises(
        StoppedError, match=r"holds no weight of the FusedAtt.*prefix='backbone\.' in init_cfg"
    ):
        PretrainedInit(str(tmp_path / 'all.pth'))(backbone())


def test_positions_of_another_grid_are_there(tmp_path, state):
    meta = load_pretrain_golden()[1]
    larger = MODELS.build({**fsfm_config(meta)['backbone'], 'img_size': 2 * meta['img_size']})
    torch.save({'state_dict': state}, tmp_path / 'all.pth')
    PretrainedInit(str(tmp_path / 'all.pth'), prefix='backbone.')(larger)
    assert torch.equal(larger.pos_embed[:, 0], state['backbone.pos_embed'][:, 0])


def test_a_run_stops_and_the_patch_is_needed(tmp_path):
    """Of the name alone mmengine's own logs a line; a run ends before its first iteration."""
    torch.save({'state_dict': {'linear.weight': torch.zeros(1, 7), 'y': torch.zeros(1)}}, tmp_path / 'x.pth')
    with pytest.raises(StoppedError, match=r'x\.pth holds no weight of the Line'):
        run(tmp_path / 'run', [], load_from=str(tmp_path / 'x.pth'))
    _load(torch.nn.Linear(2, 1), {'y': torch.zeros(1)})


def test_shares():
    own = {'backbone.a': torch.zeros(6), 'backbone.b': torch.zeros(2), 'head': torch.zeros(100)}
    assert unlike(own, {'backbone.a': torch.zeros(6), 'backbone.b': torch.zeros(3)}) == {'backbone.b', 'head'}
    assert share_there(own, {'backbone.b', 'head'}) == LEAST_SHARE == 0.75
    assert share_there({'a': torch.zeros(4)}, {'a'}) == 0 and share_there({}, set()) == 1
