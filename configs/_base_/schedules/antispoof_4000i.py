"""Face anti-spoofing: Adam at a constant rate, 4000 iterations, evaluation every 100, float32."""

max_iters = 4000

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    dtype='float32',
    optimizer=dict(type='Adam', lr=1e-4, weight_decay=1e-6, fused=True),
)
param_scheduler = []
train_cfg = dict(by_epoch=False, max_iters=max_iters, val_interval=100)
val_cfg = dict()
test_cfg = dict()
