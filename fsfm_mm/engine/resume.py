"""What a checkpoint must know for a run to go on as if it had never stopped, and fitting it to this run.

The random numbers need nothing stored: those of data and model are functions of (seed, process, iteration), see
:mod:`fsfm_mm.datasets.seeding`. Restoring generators' states instead would be exact only as long as nothing else
draws from them: a validation, a picture, a reader's start, one worker more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import EarlyStoppingHook, EMAHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop

from fsfm_mm.engine.honoured_settings import RUN_STATE, as_built, honour
from fsfm_mm.engine.stepped_schedules import Place
from fsfm_mm.files.checkpoint_matching import LEAST_SHARE, mismatch, share_there, unlike
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.settings.changed import another_run, changed_settings


def run_facts(runner: Any) -> dict[str, int]:
    """What must be equal for a resume to be exact."""
    loader = runner.train_dataloader
    return {
        'processes': get_world_size(),
        'batch_size': loader.batch_size,
        'accumulated': getattr(runner.optim_wrapper, '_accumulative_counts', 1),
        'samples': len(loader.dataset),
        'iterations_per_epoch': len(loader),
    }


def optimizer_facts(wrapper: OptimWrapper) -> dict[str, Any]:
    """What :class:`~fsfm_mm.engine.optim.AutocastOptimWrapper` keeps besides the optimiser's state."""
    names = ('grad_norm', 'skipped_in_a_row')
    values = {name: getattr(wrapper, name, None) for name in names}
    return {name: value.detach().cpu() for name, value in values.items() if value is not None}


def put_early_stopping_first(runner: Any) -> None:
    """Let early stopping count a validation before a best checkpoint is saved, with which the last is saved again."""
    stoppers = _early_stoppers(runner)
    runner._hooks = stoppers + [hook for hook in runner.hooks if hook not in stoppers]


def early_stopping_facts(runner: Any) -> list[dict[str, Any]]:
    """What mmengine's early stopping has counted, in the order of its hooks."""
    return [
        {
            'best_score': float(hook.best_score),
            'wait_count': hook.wait_count,
            'monitor': hook.monitor,
            'rule': hook.rule,
        }
        for hook in _early_stoppers(runner)
    ]


def restore_early_stopping(runner: Any, saved: list[dict[str, Any]]) -> None:
    """Let early stopping go on counting, of the same metric; a run that it had ended does not begin again."""
    for hook, facts in zip(_early_stoppers(runner), saved):
        if any(facts.get(name, getattr(hook, name)) != getattr(hook, name) for name in ('monitor', 'rule')):
            continue
        hook.best_score, hook.wait_count = facts['best_score'], facts['wait_count']
        if hook.wait_count >= hook.patience:
            runner.train_loop.stop_training = True


def _early_stoppers(runner: Any) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]


def fit_to_run(runner: Any, checkpoint: dict) -> dict[str, Any]:
    """Change a checkpoint, in place, so that mmengine resumes it into this run.

    Settings of the config count, those of optimisers and schedules included
    (:mod:`~fsfm_mm.engine.honoured_settings`), so a schedule that was made longer goes on as the longer one; the log
    names what is not as it was. With another number of iterations an epoch (processes, batch, data) an
    epoch goes on at the same share of it.

    Returns:
        :func:`~fsfm_mm.engine.honoured_settings.as_built` of this run.

    Raises:
        StoppedError: When the checkpoint holds weights only, is of another model, or is past the end of this run.
    """
    if 'optimizer' not in checkpoint or 'iter' not in checkpoint.get('meta', {}):
        raise StoppedError(
            'the checkpoint to resume holds weights only, no optimiser state: resume epoch_N.pth or iter_N.pth, or '
            'start a new run from these weights with --cfg-options load_from=FILE.'
        )
    _refuse_another_model(runner, checkpoint)
    _leave_average(runner, checkpoint)
    saved, now = checkpoint.get(RUN_STATE, {}).get('facts', {}), run_facts(runner)
    changed = changed_settings(checkpoint['meta'].get('cfg', ''), runner.cfg)
    _refuse_another_optimizer(changed)
    # batch and accumulation are settings of the config
    facts = {key: (saved[key], now[key]) for key in now if key in saved and saved[key] != now[key]}
    if changed:
        facts = {key: pair for key, pair in facts.items() if key not in ('batch_size', 'accumulated')}
    sentence = another_run(changed, facts)
    if sentence:
        runner.logger.warning(sentence)
    then, place = _places(runner, checkpoint['meta'], saved.get('iterations_per_epoch'))
    _refuse_an_end_that_is_past(runner, checkpoint['meta'])
    built = as_built(runner)
    before = checkpoint.get(RUN_STATE, {}).get('built')
    if before is None:  # an older file, or one of mmengine's
        before = {} if sentence else built
    honour(runner, checkpoint, before, built, (then, place))
    return built


def _places(runner: Any, meta: dict, length_then: int | None) -> tuple[Place, Place]:
    """Where a checkpoint is, as its run counts and as this one does; this one's is put into its facts."""
    length = len(runner.train_dataloader)
    then = Place(meta['iter'], meta['epoch'], length_then or length)
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        if then.epochs == 0 and then.iterations > then.epoch_length:  # of a run that counted iterations
            meta['epoch'] = then.iterations // then.epoch_length
        if then.epoch_length != length:
            share = (then.iterations - meta['epoch'] * then.epoch_length) / then.epoch_length
            meta['iter'] = meta['epoch'] * length + round(min(max(share, 0.0), 1.0) * length)
    return then, Place(meta['iter'], meta['epoch'], length)


def _refuse_another_optimizer(changed: Mapping[str, tuple[Any, Any]]) -> None:
    name = 'optim_wrapper.optimizer.type'
    if name in changed:
        old, new = changed[name]
        raise StoppedError(
            f'{name} was {old} in the run to be resumed and is {new} now, and the state of the one is none of the '
            'other: resume with what it was, or start a new run from its weights with --cfg-options load_from=FILE.'
        )


def _refuse_another_model(runner: Any, checkpoint: dict) -> None:
    """Mmengine only logs what differs; an optimiser's state of other shapes then crashes the process."""
    model = unwrapped(runner.model)
    state = {key.removeprefix('module.'): value for key, value in checkpoint.get('state_dict', {}).items()}
    own = model.state_dict()
    found = mismatch(own, state, most=1)
    if found:
        enough = share_there(own, unlike(own, state)) >= LEAST_SHARE
        instead = ', or start a new run from its weights with --cfg-options load_from=FILE' if enough else ''
        raise StoppedError(
            f"the checkpoint to resume is of another model than this config's ({found}): resume it with its own "
            f'config{instead}.'
        )


def _leave_average(runner: Any, checkpoint: dict) -> None:
    """Go on with the trained weights, where an EMAHook that is there no more saved their average as the model's."""
    trained = checkpoint.get('ema_state_dict')
    if trained is not None and not any(isinstance(hook, EMAHook) for hook in runner.hooks):
        state = checkpoint['state_dict']
        state |= {key: trained[f'module.{key}'] for key in state if f'module.{key}' in trained}


def _refuse_an_end_that_is_past(runner: Any, meta: dict) -> None:
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    done, end = (meta['epoch'], runner.max_epochs) if by_epoch else (meta['iter'], runner.max_iters)
    if done > end:
        unit = 'epochs' if by_epoch else 'iters'
        raise StoppedError(
            f'the checkpoint to resume has {done} {unit} behind it, but train_cfg.max_{unit} is {end}: give it a '
            'larger value, or resume an earlier checkpoint.'
        )
