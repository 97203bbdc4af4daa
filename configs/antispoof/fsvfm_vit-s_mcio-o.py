"""Face anti-spoofing, leave OULU-NPU out: FS-VFM ViT-S/16 on the other three of MCIO plus CelebA-Spoof.

python tools/train.py configs/antispoof/fsvfm_vit-s_mcio-o.py
Seeds 0 to 4 (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published: FS-VFM (arXiv 2510.10663); the numbers of this size are not copied here. Other targets take ``sources``,
``target`` and the three loaders' domains from fsfm_vit-b_mcio-{m,c,i}.py.
"""

_base_ = './fsfm_vit-b_mcio-o.py'

model = dict(
    backbone=dict(arch='small', init_cfg=dict(checkpoint='fs-vfm-vit-small-vggface2')),
    head=dict(in_channels=384),
)
optim_wrapper = dict(optimizer=dict(lr=2.5e-5))
