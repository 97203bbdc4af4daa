"""FSFM, ViT-B/16 on the original videos of FaceForensics++ (c23; training and validation), 400 epochs.

python tools/data/prepare_deepfake.py ffpp FaceForensics++ data/ffpp_c23 --splits train val     # 128 frames of a real video
python tools/data/prepare_pretrain.py data/ffpp_c23/train/real_youtube data/ffpp_c23/val/real_youtube data/ffpp_originals
    --detector none
tools/dist_train.sh configs/fsfm/fsfm_vit-b_ffpp-o_400e.py 4
Hardware: 4 GPUs x 256 x accumulation 4 = 4096. Time and result: not yet measured here.
"""

_base_ = './fsfm_vit-b_vggface2_400e.py'

data_root = 'data/ffpp_originals'

model = dict(data_preprocessor=dict(stats='ffpp_o'))
train_dataloader = dict(dataset=dict(data_root=data_root))
