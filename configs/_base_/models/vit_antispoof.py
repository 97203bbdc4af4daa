"""ViT with the face anti-spoofing head as published: all tokens, the pooled feature in the class token's place.

The published head has slips (:class:`~fsfm_mm.models.heads.antispoof.SpoofClassifier`); the repaired one is
``backbone=dict(out_type='avg_featmap'), head=dict(form='repaired')``.
"""

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='vggface2', num_classes=2),
    backbone=dict(
        type='FusedAttentionViT',
        arch='base',
        img_size=224,
        patch_size=16,
        out_type='pooled_tokens',
        trainable_positions=True,
        init_cfg=dict(type='PretrainedBackbone', checkpoint='fsfm-vit-base-vggface2'),
    ),
    neck=None,
    head=dict(type='AntiSpoofHead', num_classes=2, in_channels=768, hidden_dim=512, dropout=0.5),
)
