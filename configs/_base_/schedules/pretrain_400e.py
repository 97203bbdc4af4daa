"""FSFM's pretraining schedule: 400 epochs, effective batch 4096, AdamW, warm-up 40 epochs, cosine to 0."""

max_epochs = 400

# lr = 1.5e-4 * 4096 / 256; `tools/train.py --auto-scale-lr` scales it to your batch, GPUs and accumulation
auto_scale_lr = dict(base_batch_size=4096)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='auto',
    constructor='MergedGroupsConstructor',
    optimizer=dict(type='AdamW', lr=2.4e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=4,
)
param_scheduler = dict(
    type='WarmupCosineLR', warmup=40, total=max_epochs, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
