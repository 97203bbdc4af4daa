"""FaceForensics++ c23 face crops; tested on Celeb-DF v2 as published, without YouTube-real, and by name on others.

python tools/data/prepare_deepfake.py ffpp FaceForensics++ data/ffpp_c23
python tools/data/prepare_deepfake.py celebdf_v2 Celeb-DF-v2 data/celeb_df_v2 --splits test
Training resamples bilinearly, validation (which chooses the checkpoint) sees the central 224 of 256 pixels: so did the
published runs. Tests see the whole crop, unless a config says otherwise.
Published weights and numbers need dlib's crops: `--crops published`, the default, takes them where dlib is installed.
Frames extracted by other tools into the folders of the source are read by NamedForgerySet: docs/downstream_data.md.
"""

import os

data_root = 'data/ffpp_c23'
test_root = 'data/celeb_df_v2'

num_workers = max(1, min(12, len(os.sched_getaffinity(0)) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)) - 1))

pack = dict(type='PackInputs', meta_keys=('img_path', 'video_id', 'domain', 'class_name', 'sample_idx'))
test_pipeline = [dict(type='LoadFace'), dict(type='ResizeFace', size=224, interpolation='bicubic'), pack]
val_pipeline = [dict(type='LoadFace'), dict(type='ResizeFace', size=224, interpolation='bicubic', view='centre'), pack]
augment = dict(type='TimmTrainAugment', size=224, stats='vggface2', interpolation='bilinear')

train_dataloader = dict(
    batch_size=64,
    num_workers=num_workers,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='LabelledFaces',
        data_root=data_root,
        split='train',
        classes=('fake', 'real'),
        pipeline=[dict(type='LoadFace'), augment, pack],
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
        type='LabelledFaces',
        data_root=data_root,
        split='val',
        classes=('fake', 'real'),
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=128,
    num_workers=num_workers,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='LabelledFaces',
        data_root=test_root,
        ignore=['real_youtube'],
        domain='celebdf_v2',
        split='test',
        classes=('fake', 'real'),
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='ForgeryMetric', level=('frame', 'video'))
test_evaluator = val_evaluator

# `tools/test.py CONFIG FILE --sets dfd_raw dfdc` tests on these (in the view of test_dataloader), each prepared by
# `prepare_deepfake.py NAME SOURCE data/NAME --splits test`; `--sets published`: on those of the published numbers
crops = dict(type='LabelledFaces', split='test', classes=('fake', 'real'))
named_sets = dict(
    dfd_raw=dict(**crops, data_root='data/dfd_raw'),
    dfd_c23=dict(**crops, data_root='data/dfd_c23'),
    # with YouTube-real, as its own protocol counts, and without, as FS-VFM's numbers do: one folder
    celebdf_pp=dict(**crops, data_root='data/celebdf_pp'),
    celebdf_pp_noyt=dict(**crops, data_root='data/celebdf_pp', ignore=['real_youtube']),
    celebdf_v1=dict(**crops, data_root='data/celebdf_v1'),
    dfdc=dict(**crops, data_root='data/dfdc'),
    dfdc_preview=dict(**crops, data_root='data/dfdc_preview'),
    wilddeepfake=dict(**crops, data_root='data/wilddeepfake'),
)
