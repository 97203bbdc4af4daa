"""FS-VFM (arXiv 2510.10663), ViT-L/16 on VGGFace2, 600 epochs.

tools/dist_train.sh configs/fsfm/fsvfm_vit-l_vggface2_600e.py 4
Hardware: 4 GPUs x 256 x accumulation 4 = 4096. Time and result: not yet measured here.
"""

_base_ = [
    '../_base_/models/fsfm_vit.py',
    '../_base_/datasets/faces_224.py',
    '../_base_/schedules/pretrain_600e.py',
    '../_base_/default_runtime.py',
]

data_root = 'data/vggface2'

model = dict(backbone=dict(arch='large'))
train_dataloader = dict(dataset=dict(data_root=data_root))
