"""Deepfake detection: FS-Adapter on a frozen FS-VFM ViT-S/16, FF++ c23; 84,578 trained parameters.

python tools/train.py configs/deepfake/fsvfm_vit-s_adapter_ffpp-c23_60e.py
Effective batch 512. Hardware, time and result: not yet measured here.
Published: FS-VFM (arXiv 2510.10663); the adapter's numbers are not copied here.
"""

_base_ = './fsvfm_vit-b_adapter_ffpp-c23_50e.py'

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(checkpoint='fs-vfm-vit-small-vggface2'),
    ),
    head=dict(in_channels=384),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3 * 512 / 256))
max_epochs = 60
param_scheduler = dict(total=max_epochs)
train_cfg = dict(max_epochs=max_epochs)
auto_scale_lr = dict(base_batch_size=512)
train_dataloader = dict(batch_size=512)
