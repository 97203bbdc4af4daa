"""Drawn faces and presentation attacks on them: trained in two domains, tested in the third."""

import os

sources = ['a', 'b']
target = 'c'

num_workers = max(1, min(8, len(os.sched_getaffinity(0)) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)) - 1))

pack = dict(type='PackInputs', meta_keys=('img_path', 'video_id', 'domain', 'class_name', 'sample_idx'))
spoofs = dict(type='GeneratedForgeries', img_size=96, kinds=('moire', 'print', 'replay'), frames_per_video=2)
augment = [
    dict(type='RandomFaceFlip', prob=0.5),
    dict(type='RandomSaturation', prob=0.5, scale=(0.8, 1.2)),
    pack,
]

train_dataloader = dict(
    batch_size=8 * 2 * 2,  # 8 of each (domain, class)
    num_workers=num_workers,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DomainBalancedSampler', per_group=8),
    dataset=dict(
        type='ConcatDataset',
        datasets=[dict(**spoofs, domain=name, videos=300, cache=True, pipeline=augment) for name in sources],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=num_workers,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(**spoofs, domain=name, start_video=1000, videos=30, pipeline=[pack])
            for name in sources
        ],
    ),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=num_workers,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**spoofs, domain=target, videos=60, pipeline=[pack]),
)
val_evaluator = dict(type='AntiSpoofMetric')
test_evaluator = val_evaluator
