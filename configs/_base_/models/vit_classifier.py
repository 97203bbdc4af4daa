"""mmpretrain's ImageClassifier on a pretrained encoder: mean of patch tokens, fc_norm, linear head."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        num_classes=2,
        # VGGFace2's mean and std on mmpretrain's 0..255 scale, RGB
        mean=[139.796, 107.968, 93.194],
        std=[71.124, 62.183, 59.908],
        to_rgb=True,
    ),
    backbone=dict(
        type='FusedAttentionViT',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='avg_featmap',
        trainable_positions=True,
        init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.'),
    ),
    neck=None,
    head=dict(
        type='LinearClsHead',
        num_classes=2,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
)
