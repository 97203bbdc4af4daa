"""Unseen diffusion forgery (DiFF): FSFM ViT-B/16 fine-tuned, all layers, FF++ DeepFakes c23 only.

python tools/data/prepare_deepfake.py ffpp FaceForensics++ data/ffpp_df --manipulations Deepfakes
python tools/data/prepare_deepfake.py diff DiFF data/diff
python tools/train.py configs/diffusion/fsfm_vit-b_ffpp-df-c23_50e.py
Effective batch 256. Hardware, time and result: not yet measured here.
Published number: in a table of FSFM (arXiv 2412.12032), not known here.
The published run kept, for each subset, the checkpoint of the least *DiFF validation* loss: a choice on
the target, which `tools/test.py --protocol published` repeats and marks; the honest protocol takes
FF++ validation.
"""

_base_ = [
    '../_base_/models/vit_classifier.py',
    '../_base_/datasets/ffpp_df_diff.py',
    '../_base_/schedules/finetune_10e.py',
    '../_base_/deepfake_runtime.py',
]

max_epochs = 50

# the published run normalised with other statistics than its encoder was pretrained with
model = dict(
    data_preprocessor=dict(stats='imagenet'),
    backbone=dict(init_cfg=dict(checkpoint='fsfm-vit-base-ffpp-o', differing=('mean', 'std'))),
)
augment = dict(type='TimmTrainAugment', size=224, stats='imagenet', interpolation='bilinear')
train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=[dict(type='LoadFace'), augment, {{_base_.pack}}]),
)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.65),
    optimizer=dict(lr=5e-4 * 256 / 256, weight_decay=0.05),
)
auto_scale_lr = dict(base_batch_size=256)
param_scheduler = dict(total=max_epochs)
train_cfg = dict(max_epochs=max_epochs)
published_checkpoint = 'loss'
default_hooks = dict(card=dict(task='diffusion'), checkpoint=dict(max_keep_ckpts=-1))
