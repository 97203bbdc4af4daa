"""MAE baseline: ViT-B/16 on VGGFace2, random masking, no target, 400 epochs.

tools/dist_train.sh configs/mae/mae_vit-b_vggface2_400e.py 4
Hardware: 4 GPUs x 256 x accumulation 4 = 4096. Time and result: not yet measured here.
"""

_base_ = [
    '../_base_/models/mae_vit.py',
    '../_base_/datasets/faces_224.py',
    '../_base_/schedules/pretrain_400e.py',
    '../_base_/default_runtime.py',
]

data_root = 'data/vggface2'

train_dataloader = dict(dataset=dict(data_root=data_root, mask=dict(type='RandomMask')))
