"""Face crops with parsing maps in the published layout: ``images/`` and ``parsing_maps/``."""

import os

data_root = 'data/pretrain'

# processes share the cores of the machine; one is left for the trainer
num_workers = max(1, min(12, len(os.sched_getaffinity(0)) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)) - 1))

train_dataloader = dict(
    batch_size=256,
    num_workers=num_workers,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='dense_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='FaceParsingDataset',
        data_root=data_root,
        missing_maps='error',
        on_broken='skip',
        mask=dict(type='CRFRPMask', mask_ratio=0.75),
        pipeline=[
            dict(type='LoadFace'),
            dict(type='ResizeFace', size=224, interpolation='bicubic'),
            dict(type='BuildPatchLabels', patch_size=16),
            dict(type='PackFaces'),
        ],
    ),
)
