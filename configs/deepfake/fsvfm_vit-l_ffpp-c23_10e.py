"""Deepfake detection: FS-VFM ViT-L/16 fine-tuned, all layers, FF++ c23; tested on unseen sets.

python tools/train.py configs/deepfake/fsvfm_vit-l_ffpp-c23_10e.py
Effective batch 64. Hardware, time and result: not yet measured here.
Published video AUC: Celeb-DF v2 95.17, DFD (raw) 97.17, DFDC 87.75, DFDCP 93.35; an independent re-run
got 91.99 (Celeb-DF v2), 86.51 (DFD), 86.45 (DFDC), 90.51 (DFDCP).
"""

_base_ = [
    '../_base_/models/vit_classifier.py',
    '../_base_/datasets/ffpp_c23.py',
    '../_base_/schedules/finetune_10e.py',
    '../_base_/deepfake_runtime.py',
]

model = dict(
    backbone=dict(arch='large', init_cfg=dict(checkpoint='fs-vfm-vit-large-vggface2')),
    head=dict(in_channels=1024),
)
published_on = ['celebdf_v2', 'dfd_raw', 'dfdc', 'dfdc_preview', 'celebdf_pp_noyt']
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.9),
    optimizer=dict(lr=5e-5 * 64 / 256, weight_decay=0.01),
)
auto_scale_lr = dict(base_batch_size=64)
