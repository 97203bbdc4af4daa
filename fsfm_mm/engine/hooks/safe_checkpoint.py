"""Checkpoints that are whole, can be resumed exactly, and of which one is always there."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook

from fsfm_mm.engine.saving import explaining_failed_saves, point_to
from fsfm_mm.files.checkpoint_folders import POINTER
from fsfm_mm.registry import HOOKS

#: What a run that was asked to stop leaves; the next regular checkpoint takes its place.
STOPPED = 'stopped.pth'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, in an order that a crash at any moment does no harm to.

    A new checkpoint, last or best, is on the disk before an old one goes, so for a moment there is one more than
    ``max_keep_ckpts``. ``last_checkpoint`` names it only then. A checkpoint that falls between two batches whose
    gradients are accumulated is written after the optimiser's step that ends them, at most
    ``accumulative_counts - 1`` iterations later, under the name of its epoch or iteration: it would lack
    gradients before. A disk that is full stops the run with a message.

    Args:
        **kwargs: As for mmengine's CheckpointHook.
    """

    _meta: dict | None = None
    _postponed: int | None = None

    def before_train(self, runner) -> None:
        """Find the files of the run that is resumed, and remove what a killed one left half-written."""
        super().before_train(runner)
        self._postponed = None
        self.last_ckpt = self._here(runner.message_hub.get_info('last_ckpt'))
        if self.save_best:
            self._set_best({key: self._here(path) for key, path in self._best().items()})
        if is_main_process():
            for folder in {Path(self.out_dir), Path(runner.work_dir)}:
                for part in [*folder.glob('.*.pth.*.part'), *folder.glob(f'.{POINTER}.*.part')]:
                    part.unlink()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Save when it is time, or when a checkpoint waits for the optimiser's step."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self._postponed is not None and runner.optim_wrapper.should_update():
            meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
            self._save_checkpoint_with_step(runner, self._postponed, meta)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Say where the run is: mmengine's FlexibleRunner counts an epoch too many after a validation."""
        if self._meta is not None:
            checkpoint['meta'].update(self._meta)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        if not runner.optim_wrapper.should_update():
            runner.logger.info('The checkpoint is written after the batches that are being accumulated.')
            self._postponed = step
            return
        self._postponed, self._meta = None, dict(meta)
        path = str(Path(self.out_dir) / self.filename_tmpl.format(step))
        kept = list(getattr(self, 'keep_ckpt_ids', []))
        if self.max_keep_ckpts > 0:
            kept = [*(number for number in kept if number != step), step]
            # with those that go once this one is there: a run that is killed before finds and removes them
            runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        self.last_ckpt = path
        runner.message_hub.update_info('last_ckpt', path)
        with explaining_failed_saves(runner):
            self._write(runner, path, meta)
        self._meta = None
        if self.max_keep_ckpts > 0:
            self._remove_old(kept)
            self.keep_ckpt_ids = deque(kept)
            runner.message_hub.update_info('keep_ckpt_ids', list(kept))

    def _write(self, runner, path: str, meta: dict) -> None:
        runner.save_checkpoint(
            self.out_dir,
            Path(path).name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            point_to(runner.work_dir, path)
            (Path(runner.work_dir) / STOPPED).unlink(missing_ok=True)

    def _remove_old(self, kept: list[int]) -> None:
        while len(kept) > self.max_keep_ckpts:
            self._remove(str(Path(self.out_dir) / self.filename_tmpl.format(kept.pop(0))))

    def _remove(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """Let mmengine save the best, without its removing the best so far before."""
        if not self.save_best:
            return
        before = self._best()
        self._set_best(dict.fromkeys(before))
        with explaining_failed_saves(runner):
            super()._save_best_checkpoint(runner, metrics)
        after = self._best()
        self._set_best({key: after[key] or path for key, path in before.items()})
        for key, path in before.items():
            if path and after[key] and path != after[key]:
                self._remove(path)

    def _best(self) -> dict[str, str | None]:
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict = dict(paths)

    def _here(self, path: str | None) -> str | None:
        """A checkpoint of the run where it is now: its folder may have been moved."""
        return str(Path(self.out_dir) / Path(path).name) if path else None
