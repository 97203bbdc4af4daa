"""Deepfake detection: FS-Adapter on a frozen FS-VFM ViT-B/16, FF++ c23; 335,042 trained parameters.

python tools/train.py configs/deepfake/fsvfm_vit-b_adapter_ffpp-c23_50e.py
Effective batch 256. Hardware, time and result: not yet measured here.
Published: FS-VFM (arXiv 2510.10663); the adapter's numbers are not copied here.
"""

_base_ = [
    '../_base_/models/vit_adapter.py',
    '../_base_/datasets/ffpp_c23.py',
    '../_base_/schedules/frozen_50e.py',
    '../_base_/deepfake_runtime.py',
]

model = dict(backbone=dict(init_cfg=dict(checkpoint='fs-vfm-vit-base-vggface2')))
train_dataloader = dict(batch_size=256)
