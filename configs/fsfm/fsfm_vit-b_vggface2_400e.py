"""FSFM (CVPR 2025), ViT-B/16 on VGGFace2 (3.3 M real faces), 400 epochs: the paper's main model.

tools/dist_train.sh configs/fsfm/fsfm_vit-b_vggface2_400e.py 4
Hardware: 4 GPUs x 256 x accumulation 4 = 4096. Time and result: not yet measured here.
Published after fine-tuning on FF++ c23, video AUC: Celeb-DF v2 91.44, DFDC 83.47, DFDCP 89.71, WDF 86.96.
"""

_base_ = [
    '../_base_/models/fsfm_vit.py',
    '../_base_/datasets/faces_224.py',
    '../_base_/schedules/pretrain_400e.py',
    '../_base_/default_runtime.py',
]

data_root = 'data/vggface2'

train_dataloader = dict(dataset=dict(data_root=data_root))
