"""What every run shares: registries, hooks, logging, environment."""

default_scope = 'mmpretrain'
custom_imports = dict(imports=['fsfm_mm.components'], allow_failed_imports=False)

# dictionaries, not a list, so that no config drops one of these by setting its own custom_hooks
default_hooks = dict(
    runtime_info=dict(type='IntervalRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=3),
    exact_resume=dict(type='ExactResumeHook'),
    stop_signal=dict(type='StopSignalHook'),
    card=dict(type='CardHook'),
    report=dict(type='RunReportHook'),
    progress=dict(type='ProgressHook'),
    momentum=dict(type='MomentumUpdateHook'),
    nonfinite=dict(type='NonFiniteGuardHook', patience=5),
    pictures=dict(type='ReconstructionPictureHook'),
    broken_files=dict(type='BrokenFilesHook'),
    loss_curve=dict(type='LossCurveHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,
    # workers decode with one OpenCV thread each
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

visualizer = dict(
    type='UniversalVisualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
)
log_level = 'INFO'
# losses arrive as means since the last line, so one value is the window; times are kept per iteration
log_processor = dict(
    window_size=1,
    custom_cfg=[
        dict(data_src='time', method_name='mean', window_size=10),
        dict(data_src='data_time', method_name='mean', window_size=10),
    ],
)

randomness = dict(seed=0)
load_from = None
resume = False
