"""What a run leaves of its first failed step is that step: repeated, to the last bit, and the fault is found."""

import errno
import math

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from resume_cases import backbone, finetuning
from tiny_run import tiny_config

from fsfm_mm.commands import run
from fsfm_mm.datasets import seeding
from fsfm_mm.engine import failed_step
from fsfm_mm.engine.hooks import NonFiniteGuardHook, exact_resume
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.engine.replay import read_record, replay
from fsfm_mm.files.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import HOOKS, MODELS

NAN = math.nan


@HOOKS.register_module(force=True)
class PlantHook(Hook):
    """Plants a value into tensors of the model before an iteration, and again before those after it."""

    priority = 'LOWEST'

    def __init__(self, values, at=2):
        self.values, self.at = values, at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        tensors = {**dict(runner.model.named_parameters()), **dict(runner.model.named_buffers())}
        self.before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        for name, value in self.values.items() if runner.iter >= self.at else ():
            name, _, place = name.partition('[')
            rows = [int(number) for number in place.rstrip(']').split(',') if number]
            with torch.no_grad():
                tensors[name][tuple(rows)] = value


@MODELS.register_module(force=True)
class RootLoss(torch.nn.Module):
    """0, with a gradient that is not a number."""

    def forward(self, q, z):
        return ((q - q) ** 2).sum().sqrt()


def pretraining(tmp_path, values, at=2, **changes):
    """A pretraining with drop path, crops and flips, until the guard stops it."""
    options = dict(dtype=changes.pop('dtype', 'float32'))
    config = tiny_config(
        tmp_path / 'run',
        max_iters=12,
        hooks=dict(exact_resume=dict(type='ExactResumeHook')),
        model=dict(backbone=backbone(), **changes.pop('model', {})),
        custom_hooks=[dict(type='PlantHook', values=values, at=at)],
        log_level='ERROR',
        **changes,
    )
    config.optim_wrapper.update(options)
    loader = config.train_dataloader
    loader.dataset.update(length=22, img_size=48)
    loader.dataset.pipeline = [
        dict(type='RandomFaceCrop', size=32),
        dict(type='RandomFaceFlip', prob=0.5),
        *loader.dataset.pipeline,
    ]
    return config


def stop(config):
    """Train until the guard stops; returns runner and record."""
    runner = build_runner(config)
    with pytest.raises(StoppedError, match=r'3 updates in a row.*fsfm-mm replay .*failed_step\.pth'):
        runner.train()
    return runner, read_record(f'{runner.work_dir}/failed_step.pth')


def same_where_finite(done):
    """Names of the losses that were finite in the run; they are the same bits now, and the others are not finite."""
    then = done.step['losses']
    finite = [name for name in then if math.isfinite(then[name])]
    assert {name: done.losses[name] for name in finite} == {name: then[name] for name in finite}
    assert {name for name in done.losses if math.isfinite(done.losses[name])} == set(finite)
    return finite


HUGE = {'pixel_decoder.pred.bias': 1e25}
PLANTS = {
    'statistics': ({'data_preprocessor.mean': NAN}, 'input', 'data_preprocessor', []),
    'no deviation': ({'data_preprocessor.std[0]': 0.0}, 'input', 'data_preprocessor', []),
    'weight': ({'backbone.blocks.1.mlp.fc1.weight[0,0]': NAN}, 'block', 'backbone.blocks.1.mlp.fc1', []),
    'softmax': ({'backbone.blocks.0.attn.qkv.weight': 1e25}, 'block', 'backbone.blocks.0.attn', []),
    'decoder': ({'pixel_decoder.pred.bias[0]': NAN}, 'decoder', 'pixel_decoder.pred', ['loss_sim']),
    'target': (
        {'target.backbone.blocks.0.mlp.fc2.weight[1,1]': math.inf},
        'target',
        'target.backbone.blocks.0.mlp.fc2',
        ['loss_rec', 'loss_region'],
    ),
    'loss': (HUGE, 'loss', '', ['loss_sim']),
}  # fmt: skip


@pytest.mark.parametrize('plant', PLANTS)
def test_a_planted_value_is_found(tmp_path, plant):
    values, stage, module, finite = PLANTS[plant]
    runner, record = stop(pretraining(tmp_path, values))
    done = replay(record)
    found = done.trace.finding
    assert (found.stage, found.module) == (stage, module)
    assert done.step['iteration'] == 2 and runner.iter == 4
    assert done.step['keys'] == [f'generated/{index:06d}' for index in done.step['indices']]
    assert same_where_finite(done) == finite
    name = next(iter(values)).partition('[')[0]
    planted = next(iter(values.values()))
    assert (name in done.state) == (not math.isfinite(planted))
    if name in done.state:
        assert name in found.weights
    assert list(torch.load(record.path, weights_only=True)) == ['state_dict', 'buffers', 'failed_step']


def test_a_gradient_is_found_where_the_losses_are_finite(tmp_path):
    _, record = stop(pretraining(tmp_path, {}, model=dict(loss_sim=dict(type='RootLoss'))))
    done = replay(record)
    assert done.step['iteration'] == 0 and done.trace.finding.stage == 'gradient'
    assert done.trace.gradients[0].startswith('predictor.fc2')
    assert same_where_finite(done) == ['loss', 'loss_rec', 'loss_region', 'loss_sim']


def test_an_overflow_of_bfloat16_is_told_from_one_of_float32(tmp_path):
    """A weight between the two largest numbers; what it makes has no effect, as long as it is finite."""
    block = 'backbone.blocks.1'
    values = {
        f'{block}.norm2.weight[0]': 1e-6,
        f'{block}.norm2.bias[0]': 0.0,
        f'{block}.mlp.fc1.weight[0]': 0.0,
        f'{block}.mlp.fc1.weight[0,0]': 3.399e38,
        f'{block}.mlp.fc2.weight[:,0]': 0.0,
    }
    del values[f'{block}.mlp.fc2.weight[:,0]']
    values |= {f'{block}.mlp.fc2.weight[{row},0]': 0.0 for row in range(48)}
    _, record = stop(pretraining(tmp_path, values, dtype='bfloat16'))
    done = replay(record)
    found = done.trace.finding
    assert (found.stage, found.module) == ('block', f'{block}.mlp.fc1') and found.result.startswith(
        'bfloat16'
    )
    assert found.weights == (f'{block}.mlp.fc1.weight',) and not done.state
    assert done.finite_in_float32 is True


def test_accumulated_batches_are_all_kept(tmp_path):
    """The second batch of the second update is bad: the first one is repeated before it, with its gradients."""
    config = pretraining(
        tmp_path, {'pixel_decoder.pred.bias[0]': NAN}, at=3, optim=dict(accumulative_counts=2)
    )
    _, record = stop(config)
    assert [step['iteration'] for step in record.facts['steps']] == [2, 3]
    # planted between the two, where the guard cannot know it: the weights are kept with the update
    done = replay(record)
    assert done.trace.finding.module == 'pixel_decoder.pred'


def test_another_process_is_repeated_with_its_own_numbers(tmp_path, monkeypatch):
    """As the second of two: its own masks and crops, and the one that went wrong comes first."""
    for module in (seeding, exact_resume, failed_step):
        monkeypatch.setattr(module, 'get_rank', lambda: 1)
    first = dict(iteration=2, rank=0, indices=[0], keys=['generated/000000'], losses=dict(loss=1.0))
    monkeypatch.setattr(failed_step, 'all_gather_object', lambda own: [[first], own] if own else [None, None])
    _, record = stop(pretraining(tmp_path, {'predictor.fc2.weight[0,0]': NAN}))
    monkeypatch.undo()
    done = replay(record)
    assert done.step['rank'] == 1 and same_where_finite(done) == ['loss_rec', 'loss_region']


def test_where_not_every_iteration_is_looked_at_the_target_is_computed_back(tmp_path, monkeypatch):
    def before_train(self, runner):
        self._kept, self._losses, self._looks = None, {}, False

    monkeypatch.setattr(NonFiniteGuardHook, 'before_train', before_train)
    runner, record = stop(pretraining(tmp_path, {'pixel_decoder.pred.bias[0]': NAN}))
    done = replay(record)
    assert done.step['iteration'] == 2
    assert done.losses['loss_sim'] == pytest.approx(done.step['losses']['loss_sim'], rel=1e-5)
    now = runner.model.target.backbone.norm.bias
    assert (now - record.state['target.backbone.norm.bias']).abs().max() > 1e-7


HEADS = {
    'linear': dict(type='LinearClsHead', num_classes=2, in_channels=32),
    'adapter': dict(type='AdapterHead', num_classes=2, in_channels=32),
    'spoof': dict(type='AntiSpoofHead', num_classes=2, in_channels=32, hidden_dim=16),
    'spoof adapter': dict(type='AntiSpoofAdapterHead', num_classes=2, in_channels=32, hidden_dim=16),
}


@pytest.mark.parametrize('head', HEADS)
def test_fine_tuning(tmp_path, head):
    """With RandAugment, erasing, mixup, cutmix and drop path."""
    config = Config.fromfile(finetuning(tmp_path, log_level='ERROR'))
    config.work_dir = str(tmp_path / 'run')
    config.model.head = dict(HEADS[head], loss=dict(type='CrossEntropyLoss', use_soft=True))
    config.model.backbone.out_type = 'avg_featmap'
    config.optim_wrapper.paramwise_cfg = dict()
    config.default_hooks.nonfinite.patience = 3
    config.train_cfg.val_begin = 9
    planted = 'head.fc.weight[0,0]' if head in ('linear', 'adapter') else 'head.spoof.bottleneck.bias[0]'
    config.custom_hooks = [dict(type='PlantHook', values={planted: NAN})]
    runner, record = stop(config)
    hook = next(hook for hook in runner.hooks if isinstance(hook, PlantHook))
    for name, value in record.state.items():
        if name in hook.before and name != planted.partition('[')[0]:
            assert torch.equal(value, hook.before[name]) or head.startswith('spoof'), name
    done = replay(record)
    assert done.trace.finding.stage == 'head' and planted.partition('[')[0] in done.state
    assert same_where_finite(done) == (['loss_real_anchor'] if 'adapter' in head else [])
    assert all(key.count('/') and len(done.step['keys']) == 8 for key in done.step['keys'])


def test_weights_that_a_forward_overwrites_are_those_before_it(tmp_path):
    config = Config.fromfile(finetuning(tmp_path, log_level='ERROR'))
    config.work_dir = str(tmp_path / 'run')
    config.model.head = HEADS['spoof'] | dict(loss=dict(type='CrossEntropyLoss', use_soft=True))
    config.model.backbone.out_type = 'avg_featmap'
    config.optim_wrapper.paramwise_cfg = dict()
    config.default_hooks.nonfinite.patience = 3
    config.train_cfg.val_begin = 9
    seen = []
    config.custom_hooks = [dict(type='PlantHook', values={'backbone.fc_norm.bias[0]': NAN})]
    runner = build_runner(config)
    plant = next(hook for hook in runner.hooks if isinstance(hook, PlantHook))
    original = plant.before_train_iter
    plant.before_train_iter = lambda *args, **kw: (original(*args, **kw), seen.append(plant.before))
    with pytest.raises(StoppedError):
        runner.train()
    state = load_checkpoint_file(tmp_path / 'run/failed_step.pth')['state_dict']
    assert torch.equal(state['head.spoof.fc.weight'], seen[2]['head.spoof.fc.weight'])
    assert not torch.equal(state['head.spoof.fc.weight'], seen[3]['head.spoof.fc.weight'])


def on_disk(tmp_path, name):
    for part in ('images', 'parsing_maps'):
        (tmp_path / name / part).mkdir(parents=True)
    for number in range(12):
        labels = np.random.default_rng(number).integers(0, 11, (32, 32), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{name}/images/f{number:03d}.png'), np.stack([20 * labels] * 3, axis=2))
        cv2.imwrite(str(tmp_path / f'{name}/parsing_maps/f{number:03d}.png'), labels)
    config = pretraining(tmp_path, {'predictor.fc2.weight[0,0]': NAN})
    pipeline = [
        dict(type='LoadFace'),
        dict(type='RandomFaceFlip'),
        dict(type='BuildPatchLabels', patch_size=8),
    ]
    config.train_dataloader.dataset = dict(
        type='FaceParsingDataset',
        data_root=str(tmp_path / name),
        mask=dict(type='CRFRPMask', mask_ratio=0.75),
        pipeline=[*pipeline, dict(type='PackFaces')],
    )
    return config


def test_data_that_were_moved(tmp_path):
    _, record = stop(on_disk(tmp_path, 'faces'))
    assert record.facts['steps'][0]['keys'][0].startswith(str(tmp_path / 'faces/images'))
    (tmp_path / 'faces').rename(tmp_path / 'moved')
    with pytest.raises(ValueError, match='faces'):
        replay(record)
    done = replay(read_record(record.path, data=str(tmp_path / 'moved')))
    assert same_where_finite(done) == ['loss_rec', 'loss_region']
    (tmp_path / 'moved/images/f000.png').rename(tmp_path / 'moved/images/zzz.png')
    (tmp_path / 'moved/parsing_maps/f000.png').rename(tmp_path / 'moved/parsing_maps/zzz.png')
    with pytest.raises(ValueError, match=r'sample \d+ of the training data was .*the data have changed'):
        replay(read_record(record.path, data=str(tmp_path / 'moved')))


def test_the_command(tmp_path, capsys):
    _, record = stop(pretraining(tmp_path, {'backbone.blocks.1.mlp.fc1.weight[0,0]': NAN}))
    assert run('replay', [str(record.path.parent)]) == 0
    said = capsys.readouterr().out
    assert 'iteration 3, process 0 of 1, 4 samples, seed 0, float32 on cpu' in said
    assert 'backbone.blocks.1.mlp.fc1.weight held 1 NaN of' in said
    assert 'arises in a block, backbone.blocks.1.mlp.fc1, in forward (mlp.py:' in said
    content = load_checkpoint_file(record.path)
    content['state_dict']['backbone.blocks.1.mlp.fc1.weight'][0, 0] = 0.0
    save_checkpoint_file(content, record.path)
    assert run('replay', [str(record.path)]) == 1
    assert 'The step is finite here' in capsys.readouterr().out


def test_a_full_disk_does_not_hide_why_the_run_stopped(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(failed_step, 'save_checkpoint_file', full)
    with pytest.raises(
        StoppedError, match=r'3 updates in a row.*not be kept .No space left on device'
    ) as stopped:
        build_runner(pretraining(tmp_path, {'data_preprocessor.mean': NAN})).train()
    assert len(str(stopped.value)) <= 300 and not list((tmp_path / 'run').glob('*failed*'))


@pytest.fixture(scope='module')
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp('kept')
    return load_checkpoint_file(stop(pretraining(folder, {'data_preprocessor.mean': NAN}))[1].path)


WRONG = {
    'no failed step': ('failed_step', None, 'holds no failed step'),
    'no steps': ('failed_step.steps', [], 'holds no failed step'),
    'a text for a sample': ('failed_step.steps.0.indices.0', 'x', 'holds no failed step'),
    'a module': ('failed_step.config.custom_imports', dict(imports=['evil']), 'imports evil.*--trust'),
    'a function': ('failed_step.config.model', dict(type='os.system', command='touch ran'), 'os.system.*no registered'),
    'a loader': ('failed_step.config.train_dataloader.collate_fn.type', 'os.system', 'os.system.*no registered'),
    'other weights': ('state_dict', {}, 'not of the model'),
}  # fmt: skip


@pytest.mark.parametrize('fault', WRONG)
def test_hostile_and_broken_records(tmp_path, kept, fault, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'evil.py').write_text("open('ran', 'w')")
    name, value, sentence = WRONG[fault]
    content = load_checkpoint_file(_copied(kept, tmp_path))
    *outer, last = name.split('.')
    part = content
    for key in outer:
        part = part[int(key)] if isinstance(part, list) else part[key]
    part[int(last) if isinstance(part, list) else last] = value
    save_checkpoint_file(content, tmp_path / 'failed_step.pth')
    with pytest.raises(ValueError, match=sentence) as wrong:
        replay(read_record(tmp_path / 'failed_step.pth'))
    assert not (tmp_path / 'ran').exists()
    assert len(str(wrong.value)) <= 300 + len(str(tmp_path))


def _copied(content, folder):
    save_checkpoint_file(content, folder / 'failed_step.pth')
    return folder / 'failed_step.pth'


def test_a_folder_without_a_failed_step(tmp_path):
    with pytest.raises(SystemExit, match=r'holds no failed_step\.pth: a run leaves it when'):
        run('replay', [str(tmp_path)])
