"""Unseen diffusion forgery (DiFF): FS-VFM ViT-S/16 fine-tuned, all layers, FF++ DeepFakes c23 only.

python tools/data/prepare_deepfake.py ffpp FaceForensics++ data/ffpp_df --manipulations Deepfakes
python tools/data/prepare_deepfake.py diff DiFF data/diff
python tools/train.py configs/diffusion/fsvfm_vit-s_ffpp-df-c23_10e.py
Effective batch 64. Hardware, time and result: not yet measured here.
Published number: in a table of FS-VFM (arXiv 2510.10663); known here are ViT-L's on deepfakes only.
"""

_base_ = [
    '../_base_/models/vit_classifier.py',
    '../_base_/datasets/ffpp_df_diff.py',
    '../_base_/schedules/finetune_10e.py',
    '../_base_/deepfake_runtime.py',
]

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint='fs-vfm-vit-small-vggface2')),
    head=dict(in_channels=384),
)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.95),
    optimizer=dict(lr=5e-5 * 64 / 256, weight_decay=0.05),
)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(card=dict(task='diffusion'))
