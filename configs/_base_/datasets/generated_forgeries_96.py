"""Drawn faces and their deepfakes: trained in one domain, tested in another."""

import os

num_workers = max(1, min(8, len(os.sched_getaffinity(0)) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)) - 1))

pack = dict(type='PackInputs', meta_keys=('img_path', 'video_id', 'domain', 'class_name', 'sample_idx'))

train_dataloader = dict(
    batch_size=32,
    num_workers=num_workers,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='GeneratedForgeries',
        img_size=96,
        domain='a',
        videos=300,
        frames_per_video=2,
        cache=True,
        pipeline=[dict(type='RandomFaceCrop', size=96, scale=(0.6, 0.98)), dict(type='RandomFaceFlip', prob=0.5), pack],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=num_workers,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='GeneratedForgeries',
        img_size=96,
        domain='a',
        start_video=1000,
        videos=60,
        frames_per_video=2,
        pipeline=[pack],
    ),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=num_workers,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='GeneratedForgeries',
        img_size=96,
        domain='b',
        videos=60,
        frames_per_video=2,
        pipeline=[pack],
    ),
)
val_evaluator = dict(type='ForgeryMetric', level=('frame', 'video'))
test_evaluator = val_evaluator
