"""Cut weights, gradients and optimiser state over the processes (FSDP): add this file last to ``_base_``."""

runner_type = 'FlexibleRunner'
strategy = dict(type='FullyShardStrategy')
