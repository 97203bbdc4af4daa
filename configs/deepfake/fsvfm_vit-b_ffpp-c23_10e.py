"""Deepfake detection: FS-VFM ViT-B/16 fine-tuned, all layers, FF++ c23; tested on unseen sets.

python tools/train.py configs/deepfake/fsvfm_vit-b_ffpp-c23_10e.py
Effective batch 64. Hardware, time and result: not yet measured here.
Published number: in a table of FS-VFM (arXiv 2510.10663); known here are ViT-L's on deepfakes only.
"""

_base_ = [
    '../_base_/models/vit_classifier.py',
    '../_base_/datasets/ffpp_c23.py',
    '../_base_/schedules/finetune_10e.py',
    '../_base_/deepfake_runtime.py',
]

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='fs-vfm-vit-base-vggface2')),
)
published_on = ['celebdf_v2', 'dfd_raw', 'dfdc', 'dfdc_preview', 'celebdf_pp_noyt']
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.6),
    optimizer=dict(lr=2e-4 * 64 / 256, weight_decay=0.03),
)
auto_scale_lr = dict(base_batch_size=64)
