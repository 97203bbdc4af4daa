"""Face anti-spoofing, leave CeFA out: FSFM ViT-B/16 on the other two of WCS.

python tools/train.py configs/antispoof/fsfm_vit-b_wcs-c.py
Seeds 0 to 4 (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published: FSFM (arXiv 2412.12032); the numbers of this protocol are not copied here.
"""

_base_ = './fsfm_vit-b_wcs-s.py'

sources = ['wmca', 'surf']
target = 'cefa'

train_dataloader = dict(dataset=dict(domains=sources))
val_dataloader = dict(dataset=dict(domains=sources))
test_dataloader = dict(dataset=dict(domains=[target]))
