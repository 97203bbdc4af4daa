"""A small detector on one's own pictures in ``train|test/{real,fake}/...``, from one's own pretraining.

python tools/train.py configs/deepfake/vit-t_own-faces.py --data data/mine --init work_dirs/my_faces
A fifth of the training videos and pictures is held out for validation and for a threshold (fsfm-mm test --calibrate),
unless there is a folder val. A work directory stands for its last whole checkpoint. Architecture, sizes and statistics
are the encoder's, whatever it is; --init none starts a ViT-T from scratch.
Hardware: two CPU cores for a few hundred pictures. Time: minutes. Result: depends on the data; see docs/downstream.md.
"""

_base_ = './fsfm_vit-b_ffpp-c23_10e.py'

max_epochs = 10
data_root = 'data/mine'
test_root = data_root

model = dict(
    backbone=dict(arch='tiny', init_cfg=dict(checkpoint='work_dirs/my_faces')),
    head=dict(in_channels=192),
)
train_dataloader = dict(batch_size=32, dataset=dict(data_root=data_root, held_out=0.2))
# seen as the test sees faces: a threshold that is found here holds there
val_dataloader = dict(dataset=dict(data_root=data_root, held_out=0.2, pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='LabelledFaces',
        data_root=test_root,
        split='test',
        pipeline={{_base_.test_pipeline}},
    )
)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay=0.75), optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0)
)
param_scheduler = dict(warmup=1, total=max_epochs)
train_cfg = dict(max_epochs=max_epochs)
# how one's own faces were cut is known from their prepare.json, or not at all
default_hooks = dict(
    logger=dict(interval=5), checkpoint=dict(save_best=None, rule=None), card=dict(crop_margin=None)
)
