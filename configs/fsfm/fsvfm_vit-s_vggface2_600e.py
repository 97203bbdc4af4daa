"""FS-VFM (arXiv 2510.10663), ViT-S/16 on VGGFace2, 600 epochs.

tools/dist_train.sh configs/fsfm/fsvfm_vit-s_vggface2_600e.py 4
Hardware: 4 GPUs x 512 x accumulation 2 = 4096. Time and result: not yet measured here.
"""

_base_ = [
    '../_base_/models/fsfm_vit.py',
    '../_base_/datasets/faces_224.py',
    '../_base_/schedules/pretrain_600e.py',
    '../_base_/default_runtime.py',
]

data_root = 'data/vggface2'

model = dict(backbone=dict(arch='small'))
optim_wrapper = dict(accumulative_counts=2)
train_dataloader = dict(batch_size=512, dataset=dict(data_root=data_root))
