"""Says at the start what will be trained, and at the end where everything is."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from fsfm_mm.engine.batch_report import describe_batch, early_end_of_schedule
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class RunReportHook(Hook):
    """Reports batch, learning-rate and schedule arithmetic at the start, and the run's files at the end."""

    priority = 'LOWEST'  # after the hooks that write the files it names

    def before_train(self, runner) -> None:
        """Log the arithmetic, and warn where the learning rate ends before the run."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        device = next(model.parameters()).device
        dtype = resolve_dtype(getattr(runner.optim_wrapper, 'dtype', 'float32'), device)
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        runner.logger.info(
            f'{type(model).__name__}: {trainable / 1e6:.2f} M trainable parameters on {device}, {dtype}. '
            f'{describe_batch(runner)}'
        )
        warning = early_end_of_schedule(runner)
        if warning is not None:
            runner.logger.warning(warning)

    @master_only
    def after_run(self, runner) -> None:
        """Name the files that the run left, when it trained."""
        work_dir = Path(runner.work_dir)
        pictures = sorted(work_dir.glob('reconstructions/*.png'))
        last = work_dir / 'last_checkpoint'
        found = {
            'checkpoint': last.read_text().strip() if last.exists() else None,
            'log': str(Path(runner.log_dir) / f'{runner.timestamp}.log'),
            'loss curve': work_dir / 'loss_curve.png',
            'reconstructions': pictures[-1] if pictures else None,
        }
        lines = [f'  {name:16s}{path}' for name, path in found.items() if path and Path(path).exists()]
        if runner._train_loop is not None:
            runner.logger.info('The run left:\n' + '\n'.join(lines))
