"""mmpretrain's ImageClassifier on a pretrained encoder: mean of patch tokens, fc_norm, linear head.

Erasing, mixup and cutmix are timm's. ``init_cfg.checkpoint`` is a name of the zoo (fetched, CC BY-NC 4.0) or a file of
your own pretraining; ``init_cfg=None`` starts from scratch. ``stats`` are those of the pretrained weights.
"""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='vggface2', num_classes=2),
    backbone=dict(
        type='FusedAttentionViT',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        out_type='avg_featmap',
        trainable_positions=True,
        init_cfg=dict(type='PretrainedBackbone', checkpoint='fsfm-vit-base-vggface2'),
    ),
    neck=None,
    head=dict(
        type='LinearClsHead',
        num_classes=2,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(
        augments=dict(type='TimmBatchAugment', erasing=0.25, mixup=0.8, cutmix=1.0, prob=1.0, switch_prob=0.5)
    ),
)
