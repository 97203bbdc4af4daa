"""Deepfake detection: FS-VFM ViT-B/16 fine-tuned on FF++ c23, all layers, tested on unseen sets.

python tools/train.py configs/deepfake/fsvfm_vit-b_ffpp-c23_10e.py
Effective batch 64. Hardware, time and result: not yet measured here.
Published: FS-VFM (arXiv 2510.10663); the numbers of this size are not copied here.
"""

_base_ = './fsfm_vit-b_ffpp-c23_10e.py'

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='fs-vfm-vit-base-vggface2')),
)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.60),
    optimizer=dict(lr=2e-4 * 64 / 256, weight_decay=0.03),
)
