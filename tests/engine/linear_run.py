"""A run of a fraction of a second: a linear model on ten points through the whole of mmengine's Runner."""

import copy
import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from resume_cases import NOT_COMPARED, plain
from torch.utils.data import Dataset

from fsfm_mm.engine.launch import build_runner
from fsfm_mm.registry import DATASETS, MODELS

#: Of one epoch.
ITERATIONS = 5


@DATASETS.register_module(force=True)
class Points(Dataset):
    """Ten of them, or fewer."""

    metainfo: dict = {}

    def __init__(self, length=10):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return dict(x=torch.full((3,), index / self.length))


@MODELS.register_module(force=True)
class Line(BaseModel):
    """Three numbers times weights, which are to become one."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, x, mode='tensor'):
        return dict(loss=(self.linear(x) - 1).square().mean())


def settings(work_dir, schedule, **changes):
    """Config of 4 epochs of 5 iterations with SGD, whose bias has twice the learning rate; changes by dotted names."""
    points = dict(
        batch_size=2,
        num_workers=0,
        drop_last=True,
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='Points'),
    )
    config = Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(work_dir),
            model=dict(type='Line'),
            train_dataloader=dict(sampler=dict(type='DefaultSampler', shuffle=True), **points),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
                paramwise_cfg=dict(bias_lr_mult=2.0),
            ),
            param_scheduler=copy.deepcopy(schedule),
            train_cfg=dict(by_epoch=True, max_epochs=4),
            default_hooks=dict(
                runtime_info=dict(type='IntervalRuntimeInfoHook'),
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='SafeCheckpointHook', interval=1),
                exact_resume=dict(type='ExactResumeHook'),
            ),
            log_level='WARNING',
            randomness=dict(seed=0),
            launcher='none',
            visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
        )
    )
    config.merge_from_dict(copy.deepcopy(changes))
    return config


class Recorder(Hook):
    """What every iteration is made with, and what it gives."""

    def __init__(self):
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        groups = runner.optim_wrapper.param_groups
        self.seen[runner.iter] = [{k: v for k, v in group.items() if k != 'params'} for group in groups]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen[runner.iter].append(outputs['loss'].item())


def run(work_dir, schedule, resume=None, hooks=(), **changes):
    """Train, from a checkpoint on where one is given, and save after 7 iterations and 14.

    Returns:
        (iteration -> settings of all groups and the loss, iteration -> what the log says, the end's states)
    """
    config = settings(work_dir, schedule, **changes)
    config.default_hooks.checkpoint.update(by_epoch=False, interval=7, max_keep_ckpts=-1, save_last=False)
    if resume is not None:
        config.update(resume=True, load_from=str(resume))
    runner = build_runner(config)
    recorder = Recorder()
    for hook in (*hooks, recorder):
        runner.register_hook(hook, priority='VERY_LOW')
    runner.train()
    schedules = [
        {k: v for k, v in one.state_dict().items() if not callable(v)} for one in runner.param_schedulers
    ]
    end = plain([runner.model.state_dict(), runner.optim_wrapper.state_dict(), schedules])
    return recorder.seen, logged(runner), end


def logged(runner):
    """Logged values of one run by iteration, without what a clock says."""
    lines = (Path(runner.log_dir) / 'vis_data/scalars.json').read_text().splitlines()
    entries = [{k: v for k, v in json.loads(line).items() if k not in NOT_COMPARED} for line in lines]
    return {(entry['step'], *sorted(entry)): entry for entry in entries}
