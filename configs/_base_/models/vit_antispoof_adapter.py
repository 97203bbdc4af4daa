"""FS-Adapter in face anti-spoofing: the backbone frozen; the adapter and the published spoof classifier trained."""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='vggface2', num_classes=2),
    backbone=dict(
        type='FusedAttentionViT',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='avg_featmap',
        frozen_stages=12,
        init_cfg=dict(type='PretrainedBackbone', checkpoint='fs-vfm-vit-base-vggface2'),
    ),
    neck=None,
    head=dict(
        type='AntiSpoofAdapterHead',
        num_classes=2,
        in_channels=768,
        hidden_dim=512,
        dropout=0.5,
        contrast=dict(type='RealAnchorContrastiveLoss', loss_weight=0.1, temperature=0.07),
    ),
)
