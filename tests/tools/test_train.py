"""tools/train.py as a user calls it: training, resuming, swapping pieces, wrong inputs, two processes."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from ports import free_port

from fsfm_mm.commands import config as config_tool
from fsfm_mm.commands import train
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.visualization import read_scalars

ROOT = Path(__file__).resolve().parents[2]
DEMO = str(ROOT / 'configs/fsfm/fsfm_demo.py')
VIT_B = str(ROOT / 'configs/fsfm/fsfm_vit-b_vggface2_400e.py')

#: Settings that make any config small.
SMALL = {
    'model.backbone.arch': 'dict(_delete_=True,embed_dim=32,depth=2,num_heads=2)',
    'model.pixel_decoder.embed_dim': 32,
    'model.pixel_decoder.depth': 1,
    'model.pixel_decoder.num_heads': 2,
    'model.rep_decoder.depth': 1,
    'model.rep_decoder.num_heads': 2,
    'model.projector.hidden_dim': 32,
    'model.predictor.hidden_dim': 32,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.batch_size': 4,
    'default_hooks.logger.interval': 2,
    'log_level': 'WARNING',
}


def small_config(tmp_path, base, **changes):
    """A config file that inherits ``base`` and is small."""
    settings = {**SMALL, **changes}
    config = Config.fromfile(base)
    arch = settings.pop('model.backbone.arch')
    config.merge_from_dict(settings)
    if arch:
        config.model.backbone.arch = dict(embed_dim=32, depth=2, num_heads=2)
    path = tmp_path / 'config.py'
    config.dump(path)
    return str(path)


def run(tmp_path, base=DEMO, arguments=(), code=0, **changes):
    work_dir = tmp_path / 'work'
    config = small_config(tmp_path, base, **changes)
    assert train.main([config, '--work-dir', str(work_dir), *arguments]) == code
    return work_dir


ITERATIONS = {'train_cfg.max_iters': 4, 'param_scheduler.total': 4, 'param_scheduler.warmup': 1}


def test_train_and_resume(tmp_path):
    work_dir = run(tmp_path, **{**ITERATIONS, 'train_cfg.max_iters': 2})
    assert (work_dir / 'iter_2.pth').exists()
    assert (work_dir / 'loss_curve.png').exists()
    assert (work_dir / 'reconstructions' / 'iter_0000002.png').exists()
    assert list(work_dir.glob('*/vis_data/events.out.tfevents.*')), 'TensorBoard writes its events'
    run(tmp_path, arguments=['--resume'], **ITERATIONS)
    assert (work_dir / 'iter_4.pth').exists()
    assert [entry['step'] for entry in read_scalars(work_dir)] == [2, 4]
    # a finished run that is started again does no work twice
    before = (work_dir / 'iter_4.pth').stat().st_mtime_ns
    run(tmp_path, arguments=['--resume'], **ITERATIONS)
    assert (work_dir / 'iter_4.pth').stat().st_mtime_ns == before
    # without --resume it is refused, and begun anew where that is asked for
    with pytest.raises(
        SystemExit, match=r'fsfm-mm train: .*work holds the checkpoints of a run already \(iter_4'
    ):
        run(tmp_path, **ITERATIONS)
    run(tmp_path, arguments=['--overwrite'], **{**ITERATIONS, 'train_cfg.max_iters': 2})
    assert not (work_dir / 'iter_4.pth').exists() and (work_dir / 'iter_2.pth').exists()
    assert [entry['step'] for entry in read_scalars(work_dir)] == [2]


def test_what_cannot_be_resumed_is_one_sentence(tmp_path, capsys):
    work_dir = run(tmp_path, **{**ITERATIONS, 'train_cfg.max_iters': 2})
    checkpoint = torch.load(work_dir / 'iter_2.pth', weights_only=False)
    weights = tmp_path / 'weights.pth'
    torch.save({key: checkpoint[key] for key in ('state_dict', 'meta', 'message_hub')}, weights)
    shutil.rmtree(work_dir)  # whose checkpoints those of another run may not replace
    run(tmp_path, arguments=['--resume', str(weights)], code=1, **ITERATIONS)
    assert 'fsfm-mm train: the checkpoint to resume holds weights only' in capsys.readouterr().err
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(SystemExit, match=r'fsfm-mm train: .*weights\.pth is cut short or damaged'):
        run(tmp_path, arguments=['--resume', str(weights)], **ITERATIONS)


@pytest.mark.parametrize(
    'option',
    [
        'train_dataloader.dataset.mask.type=FaskingMask',
        'model.loss_sim.type=SimCLRLoss',
        'model.norm_pix=True',
        'optim_wrapper.accumulative_counts=2',
    ],
)
def test_swap_a_piece_on_the_command_line(tmp_path, option):
    work_dir = run(tmp_path, arguments=['--cfg-options', option], **ITERATIONS)
    assert all(np.isfinite(entry['loss']) for entry in read_scalars(work_dir))


def test_mae_on_plain_images(tmp_path):
    """The MAE config needs no maps: ``need_maps=False``."""
    folder = tmp_path / 'faces' / 'images'
    folder.mkdir(parents=True)
    for i in range(8):
        cv2.imwrite(str(folder / f'{i}.png'), draw_face(i, 64)[0])
    config = Config.fromfile(ROOT / 'configs/mae/mae_vit-b_vggface2_400e.py')
    config.merge_from_dict(
        {
            k: v
            for k, v in SMALL.items()
            if not k.startswith(('model.rep', 'model.pro', 'model.pre', 'model.backbone'))
        }
    )
    config.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': str(tmp_path / 'faces'),
            'train_dataloader.dataset.need_maps': False,
            'train_dataloader.dataset.pipeline.1.size': 64,
            'model.backbone.img_size': 64,
            'optim_wrapper.accumulative_counts': 1,
            'train_cfg.max_epochs': 1,
            'param_scheduler.total': 1,
            'param_scheduler.warmup': 0,
        }
    )
    config.model.backbone.arch = dict(embed_dim=32, depth=2, num_heads=2)
    config.dump(tmp_path / 'config.py')
    train.main([str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'work')])
    assert (tmp_path / 'work' / 'epoch_1.pth').exists()


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['no/such/config.py'], 'there is no config file no/such/config.py'),
        ([DEMO, '--resume', 'no.pth'], '--resume: there is no checkpoint no.pth'),
        ([DEMO, '--auto-scale-lr'], 'has no auto_scale_lr.base_batch_size'),
        (
            [DEMO, '--cfg-options', 'train_dataloader.dataset.mask.mask_ratio=1.0'],
            'mask_ratio must lie between 0 and 1',
        ),
        (
            [DEMO, '--cfg-options', 'model.backbone.img_size=100'],
            'img_size 100x100 is not divisible by patch_size=8',
        ),
        (
            [DEMO, '--cfg-options', 'train_dataloader.batch_size=4000'],
            '1000 samples, fewer than one batch of 4000',
        ),
        (
            [VIT_B, '--cfg-options', 'train_dataloader.dataset.data_root=no/data'],
            'no/data/images: no such folder',
        ),
        ([VIT_B, '--cfg-options', 'model.data_preprocessor.stats=nobody'], 'nobody'),
        ([str(ROOT / 'README.md')], 'README.md cannot be read (Only py'),
        ([DEMO, '--cfg-options', 'optim_wraper.optimizer.lr=1'], 'no effect (did you mean optim_wrapper?)'),
        (
            [DEMO, '--cfg-options', 'train_dataloader.batchsize=4'],
            "no 'batchsize' (did you mean batch_size?)",
        ),
        (
            [DEMO, '--cfg-options', 'train_dataloader.dataset.pipeline.99.x=4'],
            '--cfg-options does not fit the config',
        ),
        ([DEMO, '--cfg-options', 'train_dataloader.dataset.mask.type=CRFPMask'], 'did you mean CRFRPMask'),
        ([DEMO, '--cfg-options', 'train_cfg.val_interval=0'], 'val_interval must be 1 or more, found 0'),
        ([DEMO, '--cfg-options', 'optim_wrapper.dtype=float16'], "found 'float16'"),
        ([DEMO, '--cfg-options', 'optim_wrapper.optimizer.lr=fast'], "lr must be a number, found 'fast'"),
        ([DEMO, '--cfg-options', 'optim_wrapper.accumulative_counts=0'], 'accumulative_counts'),
        ([DEMO, '--cfg-options', 'param_scheduler.total=1'], 'the warm-up must be in'),
        ([DEMO, '--work-dir', __file__], f'{__file__} is a file: name a folder'),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, arguments, sentence):
    with pytest.raises(SystemExit) as stopped:
        train.main([arguments[0], '--work-dir', str(tmp_path), *arguments[1:]])
    message = str(stopped.value)
    assert message.startswith('fsfm-mm train: ')
    assert sentence in message
    assert '\n' not in message


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('model = dict(\n', "is not valid Python ('(' was never closed, line 1)"),
        ("_base_ = ['gone.py']\n", 'cannot be read (No such file or directory: '),
        ('x = 1\n', 'has no model, train_dataloader, train_cfg, optim_wrapper'),
    ],
)
def test_a_config_that_is_none_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / 'config.py').write_text(text)
    with pytest.raises(SystemExit) as stopped:
        train.main([str(tmp_path / 'config.py'), '--work-dir', str(tmp_path)])
    assert str(stopped.value).startswith(f'fsfm-mm train: the config {tmp_path}/config.py {sentence}')


def test_an_option_without_a_value_is_explained(capsys):
    with pytest.raises(SystemExit) as stopped:
        train.main([DEMO, '--cfg-options', 'train_dataloader.batch_size'])
    assert stopped.value.code == 2
    assert "--cfg-options: expected KEY=VALUE, found 'train_dataloader.batch_size'" in capsys.readouterr().err


def write_faces(root, count, size=64):
    for name in ('images', 'parsing_maps'):
        (root / name).mkdir(parents=True)
    for i in range(count):
        image, labels = draw_face(i, size)
        cv2.imwrite(str(root / 'images' / f'{i:02d}.png'), image)
        np.save(root / 'parsing_maps' / f'{i:02d}.npy', labels)


def faces_settings(root, epochs=1, size=64):
    return {
        'train_dataloader.dataset.data_root': str(root),
        'train_dataloader.dataset.pipeline.1.size': size,
        'model.backbone.img_size': size,
        'optim_wrapper.accumulative_counts': 1,
        'train_cfg.max_epochs': epochs,
        'param_scheduler.total': epochs,
        'param_scheduler.warmup': 0,
    }


def test_broken_files_are_named_at_the_end(tmp_path, capfd):
    root = tmp_path / 'faces'
    write_faces(root, 14)
    (root / 'images' / '03.png').write_bytes(b'not a picture')
    np.save(root / 'parsing_maps' / '07.npy', np.zeros((10, 10), np.uint8))
    work_dir = run(
        tmp_path,
        VIT_B,
        **faces_settings(root),
        **{'train_dataloader.num_workers': 2, 'train_dataloader.drop_last': False},
    )
    assert '2 of 14 files could not be used' in capfd.readouterr().out
    listed = (work_dir / 'broken_files.txt').read_text().splitlines()
    assert [Path(name).name for name in listed] == ['03.png', '07.png']
    assert (work_dir / 'epoch_1.pth').exists()


def test_missing_map_stops_and_can_be_skipped(tmp_path, capfd):
    root = tmp_path / 'faces'
    write_faces(root, 9)
    (root / 'parsing_maps' / '05.npy').unlink()
    with pytest.raises(SystemExit, match=r'05\.png'):
        run(tmp_path, VIT_B, **faces_settings(root))
    run(tmp_path, VIT_B, **faces_settings(root), **{'train_dataloader.dataset.missing_maps': 'skip'})
    assert '05.png' in capfd.readouterr().out


FIXED_MASK = '''
import numpy as np
from fsfm_mm.ops.masks import crfr_p_masks
from fsfm_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FixedMask:
    """CRFR-P drawn from the sample's own number; every third face has no region."""

    def __call__(self, results):
        labels, index = results['patch_labels'], results['sample_idx']
        mask, region = crfr_p_masks(labels[None], 48, np.random.default_rng(index))
        results['mask'], results['region_mask'] = mask[0], region[0] & (index % 3 != 0)
        return results
'''


@pytest.mark.slow
@pytest.mark.parametrize(('accumulate', 'loss'), [(1, 'MoCoV3SimilarityLoss'), (2, 'SimSiamLoss')])
def test_two_processes_equal_one(lab, tmp_path, accumulate, loss):
    """2 processes x batch 2 equal 1 process x batch 4: losses, weights and target."""
    (tmp_path / 'fixed_mask.py').write_text(FIXED_MASK)
    settings = {
        **ITERATIONS,
        'train_dataloader.sampler.type': 'DefaultSampler',
        'train_dataloader.dataset.img_size': 64,
        'model.backbone.img_size': 64,
        'optim_wrapper.accumulative_counts': accumulate,
        'optim_wrapper.dtype': 'float32',
        # pictures and steps for which rounding stays small: Adam blows it up where a gradient is next to nothing
        'optim_wrapper.optimizer.lr': 2e-3,
        'train_dataloader.dataset.length': 3000,
        'model.loss_sim.type': loss,
        'custom_imports.imports': ['fsfm_mm.components', 'fixed_mask'],
    }
    config = Config.fromfile(small_config(tmp_path, DEMO, **settings), import_custom_modules=False)
    config.train_dataloader.dataset.mask = dict(type='FixedMask')
    states = []
    for processes in (1, 2):
        config.train_dataloader.batch_size = 4 // processes
        config.dump(tmp_path / 'config.py')
        work_dir = tmp_path / f'work{processes}'
        codes = lab.train(tmp_path / 'config.py', work_dir, processes=processes)
        assert codes == ([0, 0] if processes == 2 else 0), work_dir.with_suffix('.log').read_text()
        states.append(torch.load(work_dir / 'iter_4.pth', weights_only=False)['state_dict'])
    curves = [[entry['loss'] for entry in read_scalars(tmp_path / f'work{n}')] for n in (1, 2)]
    assert len(curves[0]) == 2
    one, two = states
    assert one.keys() == two.keys()
    for key in one:
        a, b = one[key], two[key]
        if key.endswith('qkv.bias'):  # the keys' bias has no gradient but rounding, which Adam blows up
            a, b = (bias.unflatten(0, (3, -1))[[0, 2]] for bias in (a, b))
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-6, msg=lambda text, key=key: f'{key}: {text}')
    moved = 'target.backbone.blocks.0.mlp.fc1.weight'
    assert not torch.equal(one[moved], one[moved.removeprefix('target.')])


@pytest.mark.slow
def test_slurm_environment_without_a_gpu(tmp_path):
    """One task as SLURM would start it; the launcher script itself is tried with a stand-in for srun."""
    config = small_config(tmp_path, DEMO, **ITERATIONS)
    (tmp_path / 'srun').write_text(
        '#!/bin/bash\nwhile [[ $1 == -* ]]; do [[ $1 == -p ]] && shift; shift; done\nexec "$@"\n'
    )
    (tmp_path / 'srun').chmod(0o755)
    environment = {
        **os.environ,
        'PATH': f'{tmp_path}:{os.environ["PATH"]}',
        'PYTHON': sys.executable,
        'MASTER_PORT': free_port(),
        'SLURM_PROCID': '0',
        'SLURM_LOCALID': '0',
        'SLURM_NTASKS': '1',
    }
    command = [str(ROOT / 'tools/slurm_train.sh'), 'partition', 'job', config, str(tmp_path / 'work')]
    subprocess.run(command, check=True, env=environment, timeout=300)
    assert (tmp_path / 'work' / 'iter_4.pth').exists()


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_launchers_say_how_they_are_used(script):
    done = subprocess.run([str(ROOT / 'tools' / script)], capture_output=True, text=True)
    assert done.returncode == 2
    assert f'Usage: tools/{script}' in done.stderr


@pytest.mark.parametrize('processes', ['--resume', '0', 'eight'])
def test_a_number_of_processes_that_is_none_is_explained(processes):
    command = [str(ROOT / 'tools/dist_train.sh'), DEMO, processes]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"expected a number of processes after the config, found '{processes}'\n"


@pytest.mark.slow
def test_a_second_job_on_a_machine_finds_a_port():
    """Torchrun's own port is taken, by this test or by somebody else."""
    environment = {k: v for k, v in os.environ.items() if k not in ('PORT', 'MASTER_PORT', 'NNODES')}
    with socket.socket() as other:
        with contextlib.suppress(OSError):
            other.bind(('', 29500))
            other.listen()
        done = subprocess.run(
            [str(ROOT / 'tools/dist_train.sh'), 'missing.py', '1'],
            env={**environment, 'PYTHON': sys.executable},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert 'train.py: there is no config file missing.py' in done.stderr, done.stderr


def test_print_config(tmp_path, capsys):
    tool = config_tool
    tool.main([DEMO, '--cfg-options', 'train_cfg.max_iters=7'])
    path = tmp_path / 'printed.py'
    path.write_text(capsys.readouterr().out)
    assert Config.fromfile(path).train_cfg.max_iters == 7
    with pytest.raises(SystemExit, match='no config file'):
        tool.main(['missing.py'])


@pytest.mark.slow
@pytest.mark.faces
def test_real_pictures(tmp_path, faces):
    """A small ViT on the 280 real faces: the loss falls, and the encoder loads into an ImageClassifier."""
    work_dir = run(
        tmp_path,
        VIT_B,
        **{
            **faces_settings(faces / 'pretrain', epochs=6, size=112),
            'train_dataloader.batch_size': 28,
            'train_dataloader.num_workers': 1,
            'optim_wrapper.optimizer.lr': 2e-3,
            'default_hooks.logger.interval': 5,
        },
    )
    losses = [entry['loss'] for entry in read_scalars(work_dir)]
    assert len(losses) == 12
    assert losses[-1] < 0.75 * losses[0]
    sheet = cv2.imread(str(work_dir / 'reconstructions' / 'iter_0000060.png'))
    assert sheet is not None
    config = Config.fromfile(ROOT / 'configs/_base_/models/vit_classifier.py').model
    config.backbone.update(arch=dict(embed_dim=32, depth=2, num_heads=2), img_size=112)
    config.backbone.init_cfg.checkpoint = str(work_dir / 'epoch_6.pth')
    config.head.in_channels = 32
    classifier = MODELS.build(config)
    classifier.init_weights()
    state = torch.load(work_dir / 'epoch_6.pth', weights_only=False)['state_dict']
    loaded = classifier.backbone.state_dict()
    fresh = {key for key in loaded if f'backbone.{key}' not in state}
    assert fresh == {'fc_norm.weight', 'fc_norm.bias'}
    assert all(
        torch.equal(value, state[f'backbone.{key}']) for key, value in loaded.items() if key not in fresh
    )
