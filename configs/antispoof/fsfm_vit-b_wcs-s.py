"""Face anti-spoofing, leave SURF out: FSFM ViT-B/16 on the other two of WCS.

python tools/train.py configs/antispoof/fsfm_vit-b_wcs-s.py
Seeds 0 to 4 (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published: FSFM (arXiv 2412.12032); the numbers of this protocol are not copied here.
"""

_base_ = './fsfm_vit-b_mcio-o.py'

data_root = 'data/WCS'
sources = ['wmca', 'cefa']
target = 'surf'

train_dataloader = dict(
    batch_size=12 * 2 * 2,  # two domains, no CelebA-Spoof
    dataset=dict(data_root=data_root, domains=sources, extra_domains=[]),
)
val_dataloader = dict(dataset=dict(data_root=data_root, domains=sources))
test_dataloader = dict(dataset=dict(data_root=data_root, domains=[target]))
