"""Face anti-spoofing: train on all domains of a benchmark but one, test on that one.

Validation uses the test splits of the *source* domains, so checkpoint and threshold never see the target.
"""

import os

data_root = 'data/MCIO'
sources = ['msu', 'casia', 'replay']
target = 'oulu'

num_workers = max(1, min(12, len(os.sched_getaffinity(0)) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)) - 1))

pack = dict(type='PackInputs', meta_keys=('img_path', 'video_id', 'domain', 'class_name', 'sample_idx'))
resize = dict(type='ResizeFace', size=224, interpolation='bicubic')
test_pipeline = [dict(type='LoadFace'), resize, pack]

train_dataloader = dict(
    batch_size=12 * 2 * 4,  # 12 of each (domain, class): three domains and CelebA-Spoof
    num_workers=num_workers,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DomainBalancedSampler', per_group=12),
    dataset=dict(
        type='AntiSpoofDataset',
        data_root=data_root,
        domains=sources,
        extra_domains=['celeb'],
        split='train',
        pipeline=[
            dict(type='LoadFace'),
            resize,
            dict(type='RandomFaceFlip', prob=0.5),
            dict(type='RandomSaturation', prob=0.5, scale=(0.8, 1.2)),
            pack,
        ],
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=num_workers,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='AntiSpoofDataset', data_root=data_root, domains=sources, split='test', pipeline=test_pipeline
    ),
)
test_dataloader = dict(
    batch_size=128,
    num_workers=num_workers,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='AntiSpoofDataset', data_root=data_root, domains=[target], split='test', pipeline=test_pipeline
    ),
)
val_evaluator = dict(type='AntiSpoofMetric')
test_evaluator = val_evaluator
