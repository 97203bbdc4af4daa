"""Run by the lab of forked runs, or by torchrun: trains tiny models on fixed batches in float64, and writes
what every optimiser step saw and left.

Arguments: output folder, names of :data:`CASES`. A case's losses are means over processes.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as torch_dist
from golden import fsfm_config, load_pretrain_golden
from mmengine.config import Config
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample
from tiny_run import tiny_config
from torch.utils.data import Dataset

import fsfm_mm.components  # noqa: F401  (registers everything)
from fsfm_mm.engine.fsdp import gathered
from fsfm_mm.engine.launch import build_runner, join_with_gloo
from fsfm_mm.registry import DATASETS, HOOKS

GLOBAL_BATCH = 8
STEPS = 3


@DATASETS.register_module(force=True)
class FixedFaces(Dataset):
    """Sample i is drawn from its own number: picture, mask and region (which ``without_region`` lack)."""

    metainfo: dict = {}

    def __init__(self, length, grid, patch, without_region='odd', order=None, labelled=False):
        self.length, self.grid, self.patch = length, grid, patch
        self.without_region, self.order, self.labelled = without_region, order, labelled

    def __len__(self):
        return self.length

    def has_region(self, index):
        return {'odd': index % 2 == 0, 'some': index % 3 != 0, 'all': False}[self.without_region]

    def __getitem__(self, index):
        if self.order:  # the same samples, another order within a batch
            index = index - index % len(self.order) + self.order[index % len(self.order)]
        generator = torch.Generator().manual_seed(index)
        side = self.grid * self.patch
        inputs = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=generator)
        if self.labelled:
            return dict(inputs=inputs, data_samples=DataSample().set_gt_label(index // 2 % 2))
        hidden = torch.randperm(self.grid**2, generator=generator)[: self.grid**2 * 3 // 4]
        mask, region = torch.zeros(2, self.grid**2, dtype=torch.bool)
        mask[hidden] = True
        if self.has_region(index):
            region[hidden[: 1 + index % 4]] = True  # another number of patches for every sample
        return dict(inputs=inputs, mask=mask, region_mask=region)


@HOOKS.register_module(force=True)
class StepRecorder(Hook):
    """Keeps losses of every iteration, and the whole gradients that every optimiser step starts from."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.losses, self.gradients = [], []
        step = runner.optim_wrapper.step

        def recorded_step(**kwargs):
            names = runner.model.module if hasattr(runner.model, 'module') else runner.model
            gradients = {name: p.grad for name, p in names.named_parameters() if p.grad is not None}
            self.gradients.append(gathered({name: g.clone() for name, g in gradients.items()}))
            step(**kwargs)

        runner.optim_wrapper.step = recorded_step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        losses = {}
        for key, value in outputs.items():
            values = torch.stack(all_gather(value.detach().reshape(1)))
            losses[key] = values.mean().item()
        self.losses.append(losses)


@HOOKS.register_module(force=True)
class FaultHook(Hook):
    """Kills the last process without warning, or lets it sleep for ever, in the second iteration."""

    def __init__(self, fault):
        self.fault = fault

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter != 1 or get_rank() != get_world_size() - 1:
            return
        if self.fault == 'killed':
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10_000)


@HOOKS.register_module(force=True)
class PoisonLastHook(Hook):
    """Makes the last process's pictures of the second iteration NaN."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model.module if hasattr(runner.model, 'module') else runner.model
        bad = runner.iter == 1 and get_rank() == get_world_size() - 1
        model.data_preprocessor.mean.fill_(float('nan') if bad else 0.0)


def fsfm(loss='SimSiamLoss', without_region='odd', accumulate=1, with_cp=False, **loss_options):
    meta = load_pretrain_golden()[1]
    model = fsfm_config(meta, loss_sim=dict(type=loss, loss_weight=meta['w_sim'], **loss_options))
    for part in ('backbone', 'pixel_decoder', 'rep_decoder'):
        model[part]['with_cp'] = with_cp
    return dict(model=model, accumulate=accumulate, without_region=without_region)


def classifier(head, frozen=-1, **settings):
    meta = load_pretrain_golden()[1]
    size = dict(img_size=meta['img_size'], patch_size=meta['patch_size'])
    arch = dict(embed_dim=meta['embed_dim'], depth=meta['depth'], num_heads=meta['num_heads'])
    model = dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='vggface2', num_classes=2),
        backbone=dict(
            type='FusedAttentionViT', arch=arch, out_type='avg_featmap', frozen_stages=frozen, **size
        ),
        head=dict(
            type=head,
            num_classes=2,
            in_channels=meta['embed_dim'],
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
    )
    return dict(model=model, labelled=True, **settings)


DEPTH = load_pretrain_golden()[1]['depth']
POISONED = dict(custom_hooks=[dict(type='PoisonLastHook'), dict(type='StepRecorder')])
CONSTANT = dict(changes=dict(param_scheduler=None))  # halves have twice the iterations
HALVES = dict(accumulate=2, split=2, order=[0, 2, 4, 6, 1, 3, 5, 7], **CONSTANT)
#: FlexibleRunner expects env_cfg, which every real config has.
SHARDED = dict(
    runner_type='FlexibleRunner',
    strategy=dict(type='FullyShardStrategy'),
    env_cfg=dict(dist_cfg=dict(backend='nccl')),
)

#: In one process: the whole batch. In N processes: an N-th of it each, every N-th sample, so that with two
#: processes and 'odd' the second never has a region. 'changes' are settings of the config.
CASES = {
    'simsiam': fsfm(),
    'no_region': fsfm(without_region='all'),
    'infonce': fsfm('InfoNCELoss', temperature=0.2),
    'mocov3': fsfm('MoCoV3SimilarityLoss'),
    'simclr': fsfm('SimCLRLoss', without_region='some'),
    'accumulated': fsfm('SimCLRLoss', without_region='some', accumulate=2),
    'checkpointed': fsfm(with_cp=True),
    'finetuned': classifier('LinearClsHead'),
    'poisoned': dict(**fsfm(), changes=POISONED),
    'adapter': classifier('AdapterHead', frozen=DEPTH, **CONSTANT),
    'simclr_local': dict(**fsfm('SimCLRLoss', 'all', gather=False), **CONSTANT),
    # for losses that stay within a process: what two of them see, one after the other in one
    'adapter_halves': classifier('AdapterHead', frozen=DEPTH, **HALVES),
    'simclr_local_halves': {**fsfm('SimCLRLoss', 'all', gather=False), **HALVES},
    'fsdp': dict(**fsfm(), changes=SHARDED),
    'fsdp_accumulated': dict(**fsfm('SimCLRLoss', 'some', accumulate=2), changes=SHARDED),
    'fsdp_checkpointed': dict(**fsfm(with_cp=True), changes=SHARDED),
    'fsdp_poisoned': dict(**fsfm(), changes={**SHARDED, **POISONED}),
    'fsdp_finetuned': dict(**classifier('LinearClsHead'), changes=SHARDED),
    # after 'simsiam' and 'fsdp' in the same folder: both kinds of run go on from both kinds of file
    'fsdp_resumed': dict(**fsfm(), changes=SHARDED, resume='fsdp'),
    'fsdp_resumed_ddp': dict(**fsfm(), changes=SHARDED, resume='simsiam'),
    'ddp_resumed_fsdp': dict(**fsfm(), resume='fsdp'),
    'killed': dict(**fsfm(), changes=dict(custom_hooks=[dict(type='FaultHook', fault='killed')])),
    'sleeping': dict(**fsfm(), changes=dict(custom_hooks=[dict(type='FaultHook', fault='sleeping')])),
}


def config_for(case, work_dir):
    """Runner config of a case."""
    meta = load_pretrain_golden()[1]
    accumulate, split = case.get('accumulate', 1), case.get('split', 1)
    config = tiny_config(
        work_dir,
        max_iters=STEPS * accumulate,
        batch_size=GLOBAL_BATCH // (get_world_size() * split),
        optim=dict(accumulative_counts=accumulate),
        log_level='ERROR',
        launcher='pytorch' if torch_dist.is_initialized() else 'none',
        **{'custom_hooks': [dict(type='StepRecorder')], **case.get('changes', {})},
    )
    if 'resume' in case:
        config.resume = True
        config.load_from = str(work_dir.parent / case['resume'] / 'iter_2.pth')
    config.model = case['model']
    config.optim_wrapper.clip_grad.max_norm = 0.1  # less than any norm that occurs
    loader = config.train_dataloader
    loader.sampler.shuffle = False
    loader.dataset = dict(
        type='FixedFaces',
        length=GLOBAL_BATCH * STEPS * accumulate // split,
        grid=meta['img_size'] // meta['patch_size'],
        patch=meta['patch_size'],
        without_region=case.get('without_region', 'odd'),
        order=case.get('order'),
        labelled=case.get('labelled', False),
    )
    if case.get('labelled'):
        loader.collate_fn = dict(type='default_collate')
    return config


def local_bytes(tensor):
    """What this process holds of a tensor."""
    return getattr(tensor, '_local_tensor', tensor).nbytes


def train(config):
    """Train, and return what was recorded, with the whole final weights and optimiser state."""
    runner = build_runner(config)
    runner.train()
    record = next(hook for hook in runner.hooks if isinstance(hook, StepRecorder))
    model = runner.model.module if hasattr(runner.model, 'module') else runner.model
    adam_states = [v for state in runner.optim_wrapper.optimizer.state.values() for v in state.values()]
    return dict(
        losses=record.losses,
        gradients=record.gradients,
        grad_norm=runner.optim_wrapper.grad_norm,
        weights=gathered(model.state_dict()),
        optimizer=gathered(runner.optim_wrapper.state_dict()),
        bytes=sum(map(local_bytes, [*model.parameters(), *adam_states])),
    )


def main(arguments):
    folder, names = Path(arguments[0]), arguments[1:]
    os.environ['CUDA_VISIBLE_DEVICES'] = ''
    torch.set_num_threads(1)  # two cores for everybody
    torch.set_default_dtype(torch.float64)
    if 'RANK' in os.environ:
        timeout = dict(dist_cfg=dict(timeout=float(os.environ.get('TIMEOUT', '120'))))
        join_with_gloo(Config(dict(launcher='pytorch', env_cfg=timeout)))
    for name in names:
        result = train(config_for(CASES[name], folder / name))
        if not torch_dist.is_initialized() or torch_dist.get_rank() == 0:
            torch.save(result, folder / f'{name}.pt')
    if torch_dist.is_initialized():
        torch_dist.destroy_process_group()


if __name__ == '__main__':
    main(sys.argv[1:])
