"""Face anti-spoofing, leave CeFA out: FS-VFM ViT-B/16, all layers, on the other two of WCS.

python tools/train.py configs/antispoof/fsvfm_vit-b_wcs-c.py
Seeds 0 to 4 (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published number: in FS-VFM (arXiv 2510.10663), as pictures of tables; none is repeated here.
The published HTER has threshold and checkpoint from the target itself; this config chooses on source videos.
"""

_base_ = [
    '../_base_/models/vit_antispoof.py',
    '../_base_/datasets/antispoof.py',
    '../_base_/schedules/antispoof_4000i.py',
    '../_base_/antispoof_runtime.py',
]

data_root = 'data/WCS'
sources = ['wmca', 'surf']
target = 'cefa'

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='fs-vfm-vit-base-vggface2')),
)
train_dataloader = dict(
    batch_size=12 * 2 * 3,  # 12 of each (domain, class)
    dataset=dict(data_root=data_root, domains=sources),
)
val_dataloader = dict(dataset=dict(data_root=data_root, domains=sources))
test_dataloader = dict(dataset=dict(data_root=data_root, domains=[target]))
optim_wrapper = dict(optimizer=dict(lr=2.5e-5, weight_decay=1e-6))
