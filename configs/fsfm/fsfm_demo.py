"""A small FSFM on faces generated on the fly: the first thing to run.

python tools/train.py configs/fsfm/fsfm_demo.py
Hardware: two CPU cores. Time: about a minute where they compute bfloat16, two and a half minutes where they have AVX2 only.
"""

_base_ = [
    '../_base_/models/fsfm_vit.py',
    '../_base_/datasets/generated_faces_96.py',
    '../_base_/default_runtime.py',
]

max_iters = 600

model = dict(
    data_preprocessor=dict(_delete_=True, type='FaceDataPreprocessor', mean=[0.5] * 3, std=[0.25] * 3),
    backbone=dict(arch=dict(_delete_=True, embed_dim=96, depth=4, num_heads=4), img_size=96, patch_size=8),
    pixel_decoder=dict(embed_dim=64, depth=2, num_heads=4),
    rep_decoder=dict(depth=1, num_heads=4),
    projector=dict(hidden_dim=512, out_dim=128),
    predictor=dict(hidden_dim=512),
    norm_pix=False,
)
optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='auto',
    constructor='MergedGroupsConstructor',
    optimizer=dict(type='AdamW', lr=3e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type='WarmupCosineLR', warmup=60, total=max_iters, by_epoch=False)
train_cfg = dict(by_epoch=False, max_iters=max_iters)

default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(by_epoch=False, interval=300, max_keep_ckpts=2),
    pictures=dict(interval=200),
)
log_processor = dict(by_epoch=False)
