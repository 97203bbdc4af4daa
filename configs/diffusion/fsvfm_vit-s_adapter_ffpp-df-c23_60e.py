"""Unseen diffusion forgery (DiFF): FS-Adapter on a frozen FS-VFM ViT-S/16, FF++ DeepFakes c23 only.

python tools/data/prepare_deepfake.py ffpp FaceForensics++ data/ffpp_df --manipulations Deepfakes
python tools/data/prepare_deepfake.py diff DiFF data/diff
python tools/train.py configs/diffusion/fsvfm_vit-s_adapter_ffpp-df-c23_60e.py
Effective batch 256. 84,578 trained parameters. Hardware, time and result: not yet measured here.
Published number: in a table of FS-VFM (arXiv 2510.10663); known here are ViT-L's on deepfakes only.
"""

_base_ = [
    '../_base_/models/vit_adapter.py',
    '../_base_/datasets/ffpp_df_diff.py',
    '../_base_/schedules/frozen_50e.py',
    '../_base_/deepfake_runtime.py',
]

max_epochs = 60

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint='fs-vfm-vit-small-vggface2')),
    head=dict(in_channels=384, contrast=dict(loss_weight=0.01, group_size=128)),
)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    optimizer=dict(lr=0.01 * 256 / 256, weight_decay=0.0),
)
auto_scale_lr = dict(base_batch_size=256)
param_scheduler = dict(total=max_epochs)
train_cfg = dict(max_epochs=max_epochs)
default_hooks = dict(card=dict(task='diffusion'))
