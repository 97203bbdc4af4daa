"""Run by the lab of forked runs: evaluates a fixed set over however many processes, and writes what every one got.

Arguments: output folder, what is wrong (``nothing``, ``missing``, ``mixed``), and how results are collected
(``cpu`` or ``gpu``; on gloo both run without a GPU). ``default`` is as configured by default, with another current
folder in every process.
"""

import json
import os
from pathlib import Path

import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmpretrain.registry import METRICS
from ports import free_port
from test_metrics import META, case
from torch.utils.data import DistributedSampler

import fsfm_mm.components  # noqa: F401  (registers everything)
from fsfm_mm.engine.launch import join_with_gloo


def main(arguments: list[str]) -> None:
    folder, wrong, device = Path(arguments[0]), *arguments[1:]
    alone = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    os.environ.update({**alone, **os.environ, 'CUDA_VISIBLE_DEVICES': ''})
    os.chdir(folder)
    join_with_gloo(Config(dict(launcher='pytorch')))
    rank, world = torch_dist.get_rank(), torch_dist.get_world_size()
    how = {} if device == 'default' else dict(collect_device=device)
    if device == 'default':  # as on two hosts
        (folder / f'host_{rank}').mkdir()
        os.chdir(folder / f'host_{rank}')
    *_, samples = case(seed=3, size=101)  # odd: in two processes the sampler repeats one
    if wrong == 'mixed':  # put a fake frame into a real video
        fake, real = (next(s for s in samples if s.gt_label == label) for label in (0, 1))
        fake.set_metainfo(dict(video_id=real.video_id))
    evaluator = Evaluator(
        [
            METRICS.build(dict(type='ForgeryMetric', out_file=folder / f'{world}.csv', **how)),
            METRICS.build(dict(type='AntiSpoofMetric', prefix='FAS', source_threshold=0.4, **how)),
        ]
    )
    evaluator.dataset_meta = META
    # reversed, what was repeated stands first: cutting the gathered list to the set's size would be wrong
    order = list(DistributedSampler(samples, world, rank, shuffle=True, seed=0))[::-1]
    for start in range(0, len(order), 8):
        evaluator.process([samples[i] for i in order[start : start + 8]])
    try:
        found = evaluator.evaluate(len(samples) + (wrong == 'missing'))
    except ValueError as error:
        found = {'error': str(error)}
    (folder / f'{world}_{rank}.json').write_text(json.dumps({'count': len(order), 'found': found}))
    torch_dist.destroy_process_group()
