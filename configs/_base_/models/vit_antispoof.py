"""ViT with the face anti-spoofing head; mean of patch tokens through fc_norm, as in the other tasks.

The published recipe does not say how tokens are pooled. Its full fine-tuning's slip (see AntiSpoofHead) is
``backbone=dict(out_type='raw'), head=dict(norm_axis='token')``.
"""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='vggface2', num_classes=2),
    backbone=dict(
        type='FusedAttentionViT',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='avg_featmap',
        trainable_positions=True,
        init_cfg=dict(type='PretrainedBackbone', checkpoint='fsfm-vit-base-vggface2'),
    ),
    neck=None,
    head=dict(type='AntiSpoofHead', num_classes=2, in_channels=768, hidden_dim=512, dropout=0.5),
)
