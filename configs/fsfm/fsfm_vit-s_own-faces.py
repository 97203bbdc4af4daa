"""FSFM, ViT-S/16, on one's own photos and videos: a few hundred to some 100,000 faces, one GPU or a CPU.

python tools/data/prepare_pretrain.py PHOTOS data/my_faces
python tools/train.py configs/fsfm/fsfm_vit-s_own-faces.py --work-dir work_dirs/my_faces
Other folders: --data OUT, which sets the statistics, too; shorter: --epochs 20; smaller: --arch tiny.
Batch 64; the peak learning rate is the published 2.4e-3 for 4096 scaled by the square root of the batch, as suits
AdamW; --auto-scale-lr scales linearly from there. An image takes 55 GFLOP, forward and backward: 1,000 faces for 100
epochs are 5.5 PFLOP. Time and result: not yet measured here; from few faces alone expect a demonstration.
"""

_base_ = [
    '../_base_/models/fsfm_vit.py',
    '../_base_/datasets/faces_224.py',
    '../_base_/schedules/pretrain_400e.py',
    '../_base_/default_runtime.py',
]

max_epochs = 100
data_root = 'data/my_faces'

model = dict(backbone=dict(arch='small'), data_preprocessor=dict(stats=f'{data_root}/mean_std.json'))
# the last, smaller batch counts: a small set may have no other
train_dataloader = dict(batch_size=64, drop_last=False, dataset=dict(data_root=data_root))
auto_scale_lr = dict(base_batch_size=64)
optim_wrapper = dict(accumulative_counts=1, optimizer=dict(lr=3e-4))
param_scheduler = dict(warmup=5, total=max_epochs)
train_cfg = dict(max_epochs=max_epochs)
default_hooks = dict(logger=dict(interval=10))
