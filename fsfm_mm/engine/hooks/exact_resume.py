"""Makes a resumed run equal to the one that was not interrupted."""

from __future__ import annotations

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.hooks import Hook

from fsfm_mm.datasets.seeding import MODEL, SeededBatchSampler, seed_process
from fsfm_mm.engine.honoured_settings import RUN_STATE, as_built, drop_functions, group_names
from fsfm_mm.engine.loops import VALIDATED
from fsfm_mm.engine.resume import (
    early_stopping_facts,
    fit_to_run,
    optimizer_facts,
    put_early_stopping_first,
    restore_early_stopping,
    run_facts,
)
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Seeds every iteration, and keeps and restores what mmengine's checkpoints leave out.

    Every iteration's random numbers in the model (drop path, mixup, shuffles) are a function of seed, process and
    iteration; those of the data likewise, see :mod:`fsfm_mm.datasets.seeding`.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._restored: dict | None = None
        self._built: dict | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Fit a checkpoint that is resumed to this run."""
        if runner._resume:
            self._built = fit_to_run(runner, checkpoint)
            self._restored = checkpoint.get(RUN_STATE, {})

    def before_train(self, runner) -> None:
        """Restore; find the seed, which a resumed run has from its checkpoint."""
        self._seed, self._rank = runner.seed, get_rank()
        self._built = self._built or as_built(runner)
        put_early_stopping_first(runner)
        batches = runner.train_dataloader.batch_sampler
        if isinstance(batches, SeededBatchSampler) and batches.seed != self._seed:
            # a seed that the config gives the sampler stays
            if getattr(batches.sampler, 'seed', None) == batches.seed:
                batches.sampler.seed = self._seed
            batches.seed = self._seed
        if self._restored is None:
            return
        device = next(runner.model.parameters()).device
        for name, value in self._restored.get('optimizer', {}).items():
            setattr(runner.optim_wrapper, name, value.to(device))
        restore_early_stopping(runner, self._restored.get('early_stopping', []))
        self._check_agreement(runner, device)

    def _check_agreement(self, runner, device: torch.device) -> None:
        if get_world_size() > 1:
            found = sorted({int(n) for n in all_gather(torch.tensor(runner.iter, device=device))})
            if len(found) > 1:
                raise StoppedError(
                    f'the processes resume at different iterations ({found}): the work directory '
                    f'{runner.work_dir} must be the same files on every machine.'
                )

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seed the model's random numbers; the batch has been loaded."""
        seed_process(MODEL, self._seed, self._rank, runner.iter)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Note, for checkpoints written from now on, that this validation is done."""
        runner.message_hub.update_info(VALIDATED, runner.iter)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add what the run is, and what the optimiser wrapper keeps outside the optimiser's state."""
        state = checkpoint.setdefault(RUN_STATE, {})
        state['facts'] = run_facts(runner)
        state['groups'] = group_names(runner)
        state['built'] = self._built
        state['optimizer'] = optimizer_facts(runner.optim_wrapper)
        state['early_stopping'] = early_stopping_facts(runner)
        drop_functions(checkpoint)
