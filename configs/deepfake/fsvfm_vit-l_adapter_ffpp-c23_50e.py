"""Deepfake detection: FS-Adapter on a frozen FS-VFM ViT-L/16, FF++ c23; 594,178 trained parameters.

python tools/train.py configs/deepfake/fsvfm_vit-l_adapter_ffpp-c23_50e.py
Effective batch 256. Hardware, time and result: not yet measured here.
Published: FS-VFM (arXiv 2510.10663); the adapter's numbers are not copied here.
"""

_base_ = './fsvfm_vit-b_adapter_ffpp-c23_50e.py'

model = dict(
    backbone=dict(
        arch='large',
        frozen_stages=24,
        init_cfg=dict(checkpoint='fs-vfm-vit-large-vggface2'),
    ),
    head=dict(in_channels=1024, contrast=dict(loss_weight=0.1)),
)
optim_wrapper = dict(optimizer=dict(lr=1e-2 * 256 / 256))
