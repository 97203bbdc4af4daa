"""A small face anti-spoofing model on drawn faces: two domains for training, the third for testing.

python tools/train.py configs/antispoof/demo_generated.py
demo_generated_pretrained.py starts from the pretraining demo's checkpoint instead.
Hardware: two CPU cores. Time: about a minute. Result: AUC about .9 on held-out videos of the two domains.
"""

_base_ = [
    '../_base_/models/vit_antispoof.py',
    '../_base_/datasets/generated_spoofs_96.py',
    '../_base_/schedules/antispoof_4000i.py',
    '../_base_/antispoof_runtime.py',
]

max_iters = 400

model = dict(
    data_preprocessor=dict(_delete_=True, type='FaceClsDataPreprocessor', mean=[127.5] * 3, std=[63.75] * 3),
    backbone=dict(
        arch=dict(_delete_=True, embed_dim=96, depth=4, num_heads=4),
        img_size=96,
        patch_size=8,
        init_cfg=None,
    ),
    head=dict(in_channels=96),
)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(max_iters=max_iters, val_interval=100)
