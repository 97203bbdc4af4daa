"""Settings of optimisers and schedules in a run that is resumed: those of the config count, whatever the schedule is.

mmengine and torch keep settings together with states, so that a checkpoint brings back a learning rate, a weight decay
or the length of a schedule. Here the states are kept, and the settings are those of this run. Where nothing was
changed, nothing is done, and a resumed run stays the run that it was, bit for bit.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.optim import OptimWrapperDict

from fsfm_mm.engine.optim.schedulers import WarmupCosineLR
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.models.wrapping import unwrapped

#: Where what only our runs know is kept in a checkpoint.
RUN_STATE = 'run_state'


def honour_optimizers(runner: Any, checkpoint: dict) -> None:
    """Put the settings of this run's optimisers into the states of a checkpoint, in place."""
    scheduled = {scheduler.param_name for scheduler in built_schedulers(runner)}
    for optimizer, state in _optimizers(runner.optim_wrapper, checkpoint['optimizer']):
        groups = state.get('param_groups')
        if not isinstance(groups, list):
            continue
        old_names = checkpoint.get(RUN_STATE, {}).get('groups')
        _regroup(old_names, group_names(runner), state, optimizer.param_groups)
        for group, own in zip(state['param_groups'], optimizer.param_groups):
            for key, value in own.items():
                driven = key in scheduled or (key == 'betas' and 'momentum' in scheduled)
                if key != 'params' and not driven:
                    group[key] = value


def _optimizers(wrapper: Any, state: Mapping[str, Any]) -> Iterator[tuple[Any, dict]]:
    if isinstance(wrapper, OptimWrapperDict):
        for name, one in wrapper.items():
            if name in state:
                yield one.optimizer, state[name]
    else:
        yield wrapper.optimizer, state  # type: ignore[misc]


def group_names(runner: Any) -> list[list[str]] | None:
    """The names of the parameters in every group of the optimiser; None where a run has several optimisers."""
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        return None
    model = unwrapped(runner.model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    return [[names.get(id(parameter), '') for parameter in group['params']] for group in groups]


def _regroup(
    old_names: list[list[str]] | None, new_names: list[list[str]] | None, state: dict, own: list
) -> None:
    """Sort a state into other groups by the parameters' names.

    Weight decay, its exceptions, layer-wise rates and what is frozen decide which parameters share a group.

    Raises:
        StoppedError: There are other numbers of groups, and the checkpoint does not say what is in which.
    """
    old = state['param_groups']
    if (
        not old_names
        or not new_names
        or not all(isinstance(n, int) for group in old for n in group['params'])
    ):
        if len(old) != len(own):
            raise StoppedError(
                f'the checkpoint to resume has {len(old)} groups of parameters, this config makes {len(own)} '
                '(optim_wrapper.optimizer.weight_decay and paramwise_cfg): resume with what they were, or start a new '
                'run from its weights with --cfg-options load_from=FILE.'
            )
        return
    if old_names == new_names:
        return
    place: dict[str, Any] = {}
    group_of: dict[str, dict] = {}
    for group, names in zip(old, old_names):
        place |= dict(zip(names, group['params']))
        group_of |= dict.fromkeys(names, group)
    groups: list[dict] = []
    moved: dict[int, Any] = {}
    for names, now in zip(new_names, own):
        first = groups[-1]['params'][-1] + 1 if groups else 0
        numbers = list(range(first, first + len(names)))
        for number, name in zip(numbers, names):
            if place.get(name) in state['state']:
                moved[number] = state['state'][place[name]]
        before = next((group_of[name] for name in names if name in group_of), old[0])
        scale = now.get('lr_scale', 1.0) / before.get('lr_scale', 1.0)
        settings = {key: value for key, value in now.items() if key not in ('params', 'lr')}
        groups.append({**before, **settings, 'lr': before['lr'] * scale, 'params': numbers})
    state['param_groups'], state['state'] = groups, moved


def schedulers(runner: Any, checkpoint: dict) -> list[tuple[Any, dict]]:
    """Schedulers of the run with their states in the checkpoint."""
    built, states = runner.param_schedulers or [], checkpoint.get('param_schedulers', [])
    if isinstance(built, dict):
        return [pair for name in built for pair in zip(built[name], states.get(name, []))]
    return list(zip(built, states))


def honour_schedulers(runner: Any, checkpoint: dict) -> None:
    """Put the settings of this run's schedules into the states of a checkpoint, in place.

    Ours compute a value from the step alone. Those of mmengine from the value before: where one of them has other
    settings now (its own, the learning rate, the length of the run), or schedules were added or exchanged, all are
    stepped from their beginning to where the checkpoint is, and rates are what they were had the run begun with these
    settings. One that waits for a metric cannot be: it keeps its counts, and its rate changes with the learning rate.
    """
    pairs = schedulers(runner, checkpoint)
    built = built_schedulers(runner)
    if len(pairs) == len(built) and not any(_differs(scheduler, state) for scheduler, state in pairs):
        pass
    elif not any(getattr(scheduler, 'need_val_args', False) for scheduler in built):
        _step_again(runner, checkpoint)
    else:
        for scheduler, state in pairs:
            for key in _settings(scheduler, state):
                del state[key]
        _scale_rates(runner, checkpoint)
    for scheduler, state in schedulers(runner, checkpoint):
        if isinstance(scheduler, WarmupCosineLR):
            drop_settings(scheduler, state)


def built_schedulers(runner: Any) -> list[Any]:
    """All schedulers of the run."""
    built = runner.param_schedulers or []
    return list(itertools.chain(*built.values())) if isinstance(built, dict) else list(built)


def _settings(scheduler: Any, state: Mapping[str, Any]) -> set[str]:
    """Keys of a scheduler's state that are arguments of it, not how far it is."""
    names = {name for kind in type(scheduler).__mro__ for name in inspect.signature(kind).parameters}
    return ((names | {'base_values'}) - {'last_step', 'self'}) & set(state)


def _differs(scheduler: Any, state: Mapping[str, Any]) -> bool:
    """Whether a state is of another schedule; one of ours needs no more than to be of the same kind."""
    own = scheduler.state_dict()
    if isinstance(scheduler, WarmupCosineLR):
        return 'warmup' not in state
    return set(own) != set(state) or any(own[key] != state[key] for key in _settings(scheduler, state))


def _step_again(runner: Any, checkpoint: dict) -> None:
    """Step all schedules, which were just built, to where the checkpoint is."""
    length, meta = len(runner.train_dataloader), checkpoint['meta']
    iterations, epochs = meta['iter'], meta['epoch']
    built, done = built_schedulers(runner), 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # no optimiser has stepped
        for iteration in range(1, iterations + 1):
            ended = iteration % length == 0 and done < epochs
            done += ended
            for scheduler in sorted(built, key=lambda scheduler: scheduler.by_epoch):
                if ended or not scheduler.by_epoch:
                    scheduler.step()
    given = runner.param_schedulers
    checkpoint['param_schedulers'] = (
        {name: [one.state_dict() for one in given[name]] for name in given}
        if isinstance(given, dict)
        else [one.state_dict() for one in built]
    )
    names = {scheduler.param_name for scheduler in built}
    for optimizer, state in _optimizers(runner.optim_wrapper, checkpoint['optimizer']):
        for group, own in zip(state['param_groups'], optimizer.param_groups):
            for key in [
                *names,
                *(f'initial_{name}' for name in names),
                *(['betas'] if 'momentum' in names else []),
            ]:
                if key in own:
                    group[key] = own[key]


def _scale_rates(runner: Any, checkpoint: dict) -> None:
    for optimizer, state in _optimizers(runner.optim_wrapper, checkpoint['optimizer']):
        for group, own in zip(state['param_groups'], optimizer.param_groups):
            before, now = group.get('initial_lr'), own.get('initial_lr')
            if before and now:
                group['lr'] *= now / before
                group['initial_lr'] = now


def drop_settings(scheduler: WarmupCosineLR, state: dict) -> None:
    """Leave in the state of one of our schedulers how far it is, not what the config says."""
    settings = set(inspect.signature(type(scheduler).__init__).parameters) - {'last_step'}
    for key in settings | {'base_values'}:
        state.pop(key, None)
    # mmengine ends every schedule with the run: the last step of a finished one is not counted
    step = min(state['_global_step'], scheduler.end - 1) - scheduler.begin
    state['last_step'] = max(step, state['last_step'])
