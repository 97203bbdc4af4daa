"""Small runs of every kind for the tests of resuming, and what they leave, in a form to be compared."""

import json
from pathlib import Path

import numpy as np
import torch
from golden import load_pretrain_golden
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from tiny_run import tiny_config

from fsfm_mm.checkpoints import load_checkpoint_file

ROOT = Path(__file__).resolve().parents[2]
#: What a clock says, and where files lie.
NOT_COMPARED = ('time', 'data_time', 'eta', 'memory', 'last_ckpt', 'best_ckpt', 'experiment_name', 'cfg')


def pretraining(tmp_path, by_epoch=True, workers=0, accumulate=1, sampler='DefaultSampler', checkpoint=None):
    """FSFM with drop path, random crops and masks: 3 epochs of 5 iterations, or 15 iterations."""
    length = dict(by_epoch=True, max_epochs=3) if by_epoch else dict(by_epoch=False, max_iters=15)
    config = tiny_config(
        tmp_path,
        max_iters=15,
        optim=dict(accumulative_counts=accumulate),
        hooks=dict(
            logger=dict(type='LoggerHook', interval=2),
            checkpoint={
                **dict(type='SafeCheckpointHook', by_epoch=by_epoch, max_keep_ckpts=2, interval=1),
                **(checkpoint or {}),
            },
            exact_resume=dict(type='ExactResumeHook'),
            stop_signal=dict(type='StopSignalHook'),
            pictures=dict(type='ReconstructionPictureHook'),
        ),
        model=dict(backbone=backbone()),
        train_cfg=length,
        custom_imports=dict(imports=['fsfm_mm.components']),
        launcher='none',
    )
    loader = config.train_dataloader
    loader.update(num_workers=workers, persistent_workers=workers > 1)
    loader.sampler.type = sampler
    loader.dataset.update(length=22, img_size=48)
    crop = [dict(type='RandomFaceCrop', size=32), dict(type='RandomFaceFlip', prob=0.5)]
    loader.dataset.pipeline = crop + loader.dataset.pipeline
    config.log_processor.by_epoch = by_epoch
    if by_epoch:
        config.param_scheduler = dict(
            type='WarmupCosineLR', warmup=1, total=3, by_epoch=True, convert_to_iter_based=True
        )
    return dump(config, tmp_path)


def backbone():
    _, meta = load_pretrain_golden()
    return dict(
        type='FusedAttentionViT',
        arch=dict(embed_dim=meta['embed_dim'], depth=meta['depth'], num_heads=meta['num_heads']),
        img_size=meta['img_size'],
        patch_size=meta['patch_size'],
        drop_path_rate=0.5,
    )


SMALL = {
    'max_epochs': 3,
    'train_dataloader.batch_size': 8,
    'train_dataloader.dataset.videos': 18,
    'train_dataloader.dataset.img_size': 48,
    'val_dataloader.dataset.videos': 5,
    'val_dataloader.dataset.img_size': 32,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'model.backbone.img_size': 32,
    'model.backbone.drop_path_rate': 0.5,
    'model.head.in_channels': 32,
    'param_scheduler.warmup': 1,
    'param_scheduler.total': 3,
    'train_cfg.max_epochs': 3,
    'train_cfg.val_interval': 1,
    'default_hooks.logger.interval': 3,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.checkpoint.save_best': 'frame/AUC',
    'default_hooks.checkpoint.rule': 'greater',
    'log_level': 'WARNING',
}


def finetuning(tmp_path, workers=0, **changes):
    """A detector with RandAugment, erasing, mixup, cutmix and drop path, validated after each of 3 epochs."""
    config = Config.fromfile(ROOT / 'configs/deepfake/demo_generated.py')
    config.merge_from_dict({**SMALL, **changes})
    config.model.backbone.arch = dict(embed_dim=32, depth=2, num_heads=2)
    config.model.data_preprocessor.num_classes = 2
    config.model.train_cfg = dict(augments=dict(type='TimmBatchAugment'))
    config.train_dataloader.update(num_workers=workers, persistent_workers=workers > 1)
    config.train_dataloader.dataset.pipeline[:2] = [dict(type='TimmTrainAugment', size=32)]
    config.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    return dump(config, tmp_path)


#: The schedules of most of mmpretrain's configs.
USUAL_RECIPE = [
    dict(type='LinearLR', start_factor=0.01, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=1, by_epoch=True, convert_to_iter_based=True),
]


def of_others(tmp_path, workers=0):
    """The detector as others would train it: the usual recipe, an average, balanced batches, accumulated gradients."""
    config = Config.fromfile(finetuning(tmp_path, workers))
    config.param_scheduler = USUAL_RECIPE
    config.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    config.optim_wrapper.accumulative_counts = 2
    config.train_dataloader.sampler = dict(type='DomainBalancedSampler', per_group=4, infinite=False)
    return dump(config, tmp_path)


def dump(config, tmp_path):
    path = tmp_path / 'config.py'
    config.pop('work_dir', None)
    config.pop('experiment_name', None)
    config.dump(path)
    return path


def plain(value):
    """A checkpoint's part with tensors and log buffers as arrays, without times and paths."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if str(k).split('/')[-1] not in NOT_COMPARED}
    if isinstance(value, HistoryBuffer):
        return [array.tolist() for array in value.data]
    if isinstance(value, torch.Tensor):
        return value.dtype, value.numpy()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def assert_equal(a, b, name=''):
    """Bit for bit, telling where not."""
    if isinstance(a, np.ndarray):
        assert a.tobytes() == b.tobytes(), name
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), f'{name}: {a.keys() ^ b.keys()}'
        for key in a:
            assert_equal(a[key], b[key], f'{name}.{key}')
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), name
        for i, pair in enumerate(zip(a, b)):
            assert_equal(*pair, f'{name}[{i}]')
    else:
        assert a == b or (a != a and b != b), f'{name}: {a} {b}'


def last_state(work_dir):
    """Everything in the last checkpoint that a resumed run must have, too."""
    path = Path((work_dir / 'last_checkpoint').read_text())
    checkpoint = load_checkpoint_file(path)
    parts = ('state_dict', 'optimizer', 'param_schedulers', 'message_hub', 'run_state', 'meta')
    found = {part: plain(checkpoint[part]) for part in parts}
    return path.name, found


def logged(work_dir):
    """Logged values by step, training and validation; where a step was logged twice, each time the same."""
    found = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = {k: v for k, v in json.loads(line).items() if k.split('/')[-1] not in NOT_COMPARED}
            key = entry['step'], *sorted(entry)
            assert entry == found.setdefault(key, entry)
    return found


def assert_same_run(a, b):
    """Two work directories hold the same run."""
    (name_a, state_a), (name_b, state_b) = last_state(a), last_state(b)
    assert name_a == name_b
    assert_equal(state_a, state_b)
    assert logged(a) == logged(b)
    assert sorted(path.name for path in a.glob('*.pth')) == sorted(path.name for path in b.glob('*.pth'))
    assert not list(b.glob('.*.part'))
