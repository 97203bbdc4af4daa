"""Face anti-spoofing, leave OULU-NPU out: FS-VFM ViT-L/16 on the other three of MCIO plus CelebA-Spoof.

python tools/train.py configs/antispoof/fsvfm_vit-l_mcio-o.py
Seeds 0 to 4 (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published: FS-VFM (arXiv 2510.10663); the numbers of this size are not copied here. Other targets take ``sources``,
``target`` and the three loaders' domains from fsfm_vit-b_mcio-{m,c,i}.py.
"""

_base_ = './fsfm_vit-b_mcio-o.py'

model = dict(
    backbone=dict(arch='large', init_cfg=dict(checkpoint='fs-vfm-vit-large-vggface2')),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
