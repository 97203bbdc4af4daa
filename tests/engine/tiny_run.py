"""A Runner config of a tiny FSFM on generated faces, for tests of the engine."""

from golden import fsfm_config, load_pretrain_golden
from mmengine.config import Config

from fsfm_mm.engine.launch import build_runner

HOOKS = dict(
    runtime_info=dict(type='IntervalRuntimeInfoHook'),
    logger=dict(type='LoggerHook', interval=2),
    checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False),
    report=dict(type='RunReportHook'),
    momentum=dict(type='MomentumUpdateHook'),
    nonfinite=dict(type='NonFiniteGuardHook', patience=3),
    broken_files=dict(type='BrokenFilesHook'),
)


def tiny_config(work_dir, max_iters=4, batch_size=4, hooks=None, optim=None, model=None, **changes):
    """Config of a run of seconds; keyword arguments replace parts."""
    _, meta = load_pretrain_golden()
    config = dict(
        default_scope='mmpretrain',
        work_dir=str(work_dir),
        model=fsfm_config(meta, **(model or {})),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            drop_last=True,
            collate_fn=dict(type='dense_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                type='GeneratedFaces',
                length=16,
                img_size=32,
                mask=dict(type='CRFRPMask', mask_ratio=0.75),
                pipeline=[dict(type='BuildPatchLabels', patch_size=8), dict(type='PackFaces')],
            ),
        ),
        optim_wrapper=dict(
            type='AutocastOptimWrapper',
            dtype='float32',
            constructor='MergedGroupsConstructor',
            optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
            clip_grad=dict(max_norm=1.0),
            **(optim or {}),
        ),
        param_scheduler=dict(type='WarmupCosineLR', warmup=1, total=max_iters, by_epoch=False),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        default_hooks={**HOOKS, **(hooks or {})},
        log_processor=dict(by_epoch=False, window_size=1),
        visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=0),
        log_level='WARNING',
    )
    return Config({**config, **changes})


def tiny_runner(work_dir, **kwargs):
    """The Runner of :func:`tiny_config`."""
    return build_runner(tiny_config(work_dir, **kwargs))
