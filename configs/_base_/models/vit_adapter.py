"""FS-Adapter (FS-VFM, arXiv 2510.10663): the backbone frozen, a bottleneck and a head trained.

As in the published training, stochastic depth stays active in the frozen blocks.
"""

_base_ = './vit_classifier.py'

model = dict(
    # frozen_stages = depth: fc_norm is frozen too
    backbone=dict(frozen_stages=12, frozen_drop_path=True, trainable_positions=False),
    head=dict(
        _delete_=True,
        type='AdapterHead',
        num_classes=2,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        contrast=dict(type='RealAnchorContrastiveLoss', loss_weight=0.01, temperature=0.07),
    ),
)
