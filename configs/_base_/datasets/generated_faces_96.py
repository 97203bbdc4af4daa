"""Faces drawn on the fly with exact label maps: no download, no disk."""

import os

num_workers = max(1, min(8, len(os.sched_getaffinity(0)) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)) - 1))

train_dataloader = dict(
    batch_size=16,
    num_workers=num_workers,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='dense_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='GeneratedFaces',
        length=1000,
        img_size=96,
        cache=True,
        mask=dict(type='CRFRPMask', mask_ratio=0.75),
        pipeline=[
            dict(type='BuildPatchLabels', patch_size=8),
            dict(type='PackFaces'),
        ],
    ),
)
