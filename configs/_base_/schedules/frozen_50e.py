"""Training on a frozen backbone (FS-Adapter, linear probe): AdamW without decay of either kind, 50 epochs.

A config sets ``lr = blr * batch / 256``.
"""

max_epochs = 50

auto_scale_lr = dict(base_batch_size=256)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='auto',
    constructor='MergedGroupsConstructor',
    optimizer=dict(type='AdamW', lr=5e-3 * 256 / 256, betas=(0.9, 0.999), weight_decay=0.0, fused=True),
)
param_scheduler = dict(
    type='WarmupCosineLR', warmup=5, total=max_epochs, final_lr=1e-6, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
