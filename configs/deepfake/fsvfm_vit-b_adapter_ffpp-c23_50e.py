"""Deepfake detection: FS-Adapter on a frozen FS-VFM ViT-B/16, FF++ c23; tested on unseen sets.

python tools/train.py configs/deepfake/fsvfm_vit-b_adapter_ffpp-c23_50e.py
Effective batch 256. 335,042 trained parameters. Hardware, time and result: not yet measured here.
Published number: in a table of FS-VFM (arXiv 2510.10663); known here are ViT-L's on deepfakes only.
"""

_base_ = [
    '../_base_/models/vit_adapter.py',
    '../_base_/datasets/ffpp_c23.py',
    '../_base_/schedules/frozen_50e.py',
    '../_base_/deepfake_runtime.py',
]

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='fs-vfm-vit-base-vggface2')),
    head=dict(contrast=dict(loss_weight=0.01, group_size=128)),
)
train_dataloader = dict(batch_size=256)
published_on = ['celebdf_v2', 'dfd_raw', 'dfdc', 'dfdc_preview', 'celebdf_pp_noyt']
optim_wrapper = dict(
    optimizer=dict(lr=5e-3 * 256 / 256, weight_decay=0.0),
)
auto_scale_lr = dict(base_batch_size=256)
