"""Face anti-spoofing, leave CASIA-SURF out: FS-Adapter on a frozen FS-VFM ViT-S/16, on the other two of WCS.

python tools/train.py configs/antispoof/fsvfm_vit-s_adapter_wcs-s.py
Three runs (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published number: in FS-VFM (arXiv 2510.10663), as pictures of tables; none is repeated here.
The published HTER has threshold and checkpoint from the target itself; this config chooses on source videos.
"""

_base_ = [
    '../_base_/models/vit_antispoof_adapter.py',
    '../_base_/datasets/antispoof.py',
    '../_base_/schedules/antispoof_4000i.py',
    '../_base_/antispoof_runtime.py',
]

data_root = 'data/WCS'
sources = ['wmca', 'cefa']
target = 'surf'

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint='fs-vfm-vit-small-vggface2')),
    head=dict(in_channels=384, contrast=dict(loss_weight=0.1)),
)
train_dataloader = dict(
    batch_size=24 * 2 * 3,  # 24 of each (domain, class)
    sampler=dict(per_group=24),
    dataset=dict(data_root=data_root, domains=sources),
)
val_dataloader = dict(dataset=dict(data_root=data_root, domains=sources))
test_dataloader = dict(dataset=dict(data_root=data_root, domains=[target]))
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=1e-6))
