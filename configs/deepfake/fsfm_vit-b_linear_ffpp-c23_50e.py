"""Deepfake detection: linear probe on a frozen FSFM ViT-B/16, FF++ c23; 1,538 trained parameters.

python tools/train.py configs/deepfake/fsfm_vit-b_linear_ffpp-c23_50e.py
Effective batch 256. Hardware, time and result: not yet measured here.
Nothing is published for it: the schedule is FS-Adapter's, so that the two can be compared.
"""

_base_ = [
    '../_base_/models/vit_classifier.py',
    '../_base_/datasets/ffpp_c23.py',
    '../_base_/schedules/frozen_50e.py',
    '../_base_/deepfake_runtime.py',
]

model = dict(
    backbone=dict(frozen_stages=12, drop_path_rate=0.0, trainable_positions=False),
)
train_dataloader = dict(batch_size=256)
