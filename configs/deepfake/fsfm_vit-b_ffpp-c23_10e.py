"""Deepfake detection: FSFM ViT-B/16 fine-tuned, all layers, FF++ c23; tested on unseen sets.

python tools/train.py configs/deepfake/fsfm_vit-b_ffpp-c23_10e.py
Effective batch 64. Hardware, time and result: not yet measured here.
Published video AUC: Celeb-DF v2 91.44, DFDC 83.47, DFDCP 89.71, WDF 86.96 (frames: 85.05, 80.20,
85.50, 85.26); video EER .1574, .2507, .2000, .2073. Their Celeb-DF v2 leaves out YouTube-real.
"""

_base_ = [
    '../_base_/models/vit_classifier.py',
    '../_base_/datasets/ffpp_c23.py',
    '../_base_/schedules/finetune_10e.py',
    '../_base_/deepfake_runtime.py',
]

model = dict(
    backbone=dict(init_cfg=dict(checkpoint='fsfm-vit-base-vggface2')),
)
published_on = ['celebdf_v2', 'dfdc', 'dfdc_preview', 'wilddeepfake']
# as published: tested in the view of the validation, 12.5% tighter
test_dataloader = dict(dataset=dict(pipeline={{_base_.val_pipeline}}))
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.65),
    optimizer=dict(lr=2.5e-4 * 64 / 256, weight_decay=0.05),
)
auto_scale_lr = dict(base_batch_size=64)
