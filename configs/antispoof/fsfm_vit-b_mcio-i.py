"""Face anti-spoofing, leave Idiap Replay out: FSFM ViT-B/16 on the other three of MCIO plus CelebA-Spoof.

python tools/train.py configs/antispoof/fsfm_vit-b_mcio-i.py
Seeds 0 to 4 (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published HTER 4.63 %, AUC 99.03 %.
The published HTER has threshold and checkpoint from the target itself; this config chooses on source videos.
"""

_base_ = './fsfm_vit-b_mcio-o.py'

sources = ['msu', 'casia', 'oulu']
target = 'replay'

train_dataloader = dict(dataset=dict(domains=sources))
val_dataloader = dict(dataset=dict(domains=sources))
test_dataloader = dict(dataset=dict(domains=[target]))
