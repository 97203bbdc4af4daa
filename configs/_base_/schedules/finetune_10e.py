"""Fine-tuning of all layers: AdamW, layer-wise decay, warm-up 5 epochs, cosine to 1e-6.

A config sets ``lr = blr * batch / 256``, ``layer_decay`` and ``weight_decay``.
"""

max_epochs = 10

auto_scale_lr = dict(base_batch_size=64)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='auto',
    constructor='MergedGroupsConstructor',
    paramwise_cfg=dict(layer_decay=0.65, no_decay=('cls_token', 'pos_embed')),
    optimizer=dict(type='AdamW', lr=2.5e-4 * 64 / 256, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
)
param_scheduler = dict(
    type='WarmupCosineLR', warmup=5, total=max_epochs, final_lr=1e-6, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
