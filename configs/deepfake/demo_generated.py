"""A small deepfake detector on drawn faces and forgeries of them: the whole path without any data.

python tools/train.py configs/deepfake/demo_generated.py
demo_generated_pretrained.py starts from the pretraining demo's checkpoint instead.
Hardware: two CPU cores. Time: about a minute. Result: chance (AUC .4 to .6): that many steps do not find the forgeries'
seams, so this shows that the path works, not what a detector can do.
"""

_base_ = [
    '../_base_/models/vit_classifier.py',
    '../_base_/datasets/generated_forgeries_96.py',
    '../_base_/schedules/finetune_10e.py',
    '../_base_/deepfake_runtime.py',
]

max_epochs = 20

model = dict(
    data_preprocessor=dict(_delete_=True, type='FaceClsDataPreprocessor', mean=[127.5] * 3, std=[63.75] * 3),
    backbone=dict(
        arch=dict(_delete_=True, embed_dim=96, depth=4, num_heads=4),
        img_size=96,
        patch_size=8,
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    head=dict(in_channels=96),
    train_cfg=None,
)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.9), optimizer=dict(lr=3e-4), clip_grad=dict(max_norm=1.0)
)
param_scheduler = dict(warmup=2, total=max_epochs)
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=5, max_keep_ckpts=2))
