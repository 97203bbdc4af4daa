"""Settings of optimisers and schedules in a run that is resumed: those that were changed count, all else is state.

mmengine and torch keep settings together with states, so that a checkpoint brings back a learning rate, a weight decay
or the length of a schedule. Which is which only a class itself knows: optimisers keep states in their groups, hooks
change rates while they run, schedules count from where they begin. So a checkpoint says, too, what optimisers and
schedules were when they were built: what is built otherwise now is a setting that was changed, and is honoured. Nothing
else is touched. Where nothing was changed, a resumed run is the run that it was, bit for bit, whatever drives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.optim import OptimWrapperDict

from fsfm_mm.engine.stepped_schedules import Place, step_again, waits
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.models.wrapping import unwrapped

#: Where what only our runs know is kept in a checkpoint.
RUN_STATE = 'run_state'
#: The group that mmengine adds to an optimiser's, to log the rate that nothing scales.
STAND_IN = 'base_param_settings'


def as_built(runner: Any) -> dict[str, dict[str, Any]]:
    """What optimisers and schedules are before the first step, as plain data, for :func:`honour`.

    Returns:
        Name of an optimiser, or '' where there is one -> its groups without parameters, what else of settings its
        wrapper keeps (the stand-in group, a loss scaler), and its schedules.
    """
    return {
        name: {
            'groups': [_settings(group) for group in wrapper.optimizer.param_groups],
            'others': {key: _settings(part) for key, part in _others(wrapper).items()},
            'schedules': [
                {'type': type(one).__name__, 'waits': waits(one), 'state': _plain(one.state_dict())}
                for one in _of(runner.param_schedulers, name)
            ],
        }
        for name, wrapper in _wrappers(runner)
    }


def _wrappers(runner: Any) -> list[tuple[str, Any]]:
    wrapper = runner.optim_wrapper
    return list(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else [('', wrapper)]


def _of(parts: Any, name: str) -> Any:
    """The list of one optimiser, where each has its own."""
    return (parts.get(name) if isinstance(parts, Mapping) else parts) or []


def _others(wrapper: Any) -> dict[str, Mapping]:
    parts = wrapper.state_dict()
    return {
        key: parts[key] for key in parts.keys() - {'state', 'param_groups'} if isinstance(parts[key], Mapping)
    }


def _settings(group: Mapping) -> Any:
    return _plain({key: value for key, value in group.items() if key != 'params'})


def _plain(value: Any) -> Any:
    """A copy that a checkpoint may hold; the name of what is no data."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, '__qualname__', type(value).__qualname__)


def drop_functions(checkpoint: dict) -> None:
    """Take functions from the states of schedules: OneCycleLR has one, and no file with code in it can be resumed."""
    schedules = checkpoint.get('param_schedulers') or []
    for states in schedules.values() if isinstance(schedules, dict) else [schedules]:
        states[:] = [{key: value for key, value in state.items() if not callable(value)} for state in states]


def group_names(runner: Any) -> list[list[str]] | None:
    """The names of the parameters in every group of the optimiser; None where a run has several optimisers."""
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        return None
    model = unwrapped(runner.model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    return [[names.get(id(parameter), '') for parameter in group['params']] for group in groups]


def honour(
    runner: Any,
    checkpoint: dict,
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    places: tuple[Place, Place],
) -> None:
    """Put what was changed in optimisers and schedules since into the states of a checkpoint, in place.

    Args:
        runner: Its optimisers and schedules are as they were built.
        checkpoint: To be resumed.
        then: :func:`as_built` of the run that it is of; empty where that is not known and all counts as changed.
        now: :func:`as_built` of this run.
        places: Where the checkpoint is, as that run counts and as this one does.

    Raises:
        StoppedError: The checkpoint does not say what cannot be had again.
    """
    old_names, names = checkpoint.get(RUN_STATE, {}).get('groups'), group_names(runner)
    for name, wrapper in _wrappers(runner):
        state = checkpoint['optimizer'].get(name, {}) if name else checkpoint['optimizer']
        if not isinstance(state.get('param_groups'), list):
            continue
        before = then.get(name)
        origin = _regroup(old_names, names, state, wrapper.optimizer.param_groups)
        if before is not None:
            before = {**before, 'groups': [before['groups'][index] for index in origin]}
        schedulers = _of(runner.param_schedulers, name)
        _honour_groups(wrapper, state, before or {}, now[name], schedulers)
        moved = places[0].iterations != places[1].iterations and any(not one.by_epoch for one in schedulers)
        saved = _of(checkpoint.get('param_schedulers'), name)
        lacking = before is None or len(saved) != len(schedulers)
        if moved or lacking or (before or {}).get('schedules') != now[name]['schedules']:
            groups = [*state['param_groups'], *(state[key] for key in (STAND_IN,) if key in state)]
            states = step_again(wrapper, schedulers, saved, groups, before, places)
            if name:
                checkpoint.setdefault('param_schedulers', {})[name] = states
            else:
                checkpoint['param_schedulers'] = states


def _honour_groups(wrapper: Any, state: dict, then: Mapping, now: Mapping, schedulers: Sequence[Any]) -> None:
    """Settings of groups; what a schedule drives is that schedule's matter, unless it does so no longer."""
    driven = _driven(scheduler.param_name for scheduler in schedulers)
    released = _driven(one['state']['param_name'] for one in then.get('schedules', ())) - driven
    groups, others = wrapper.optimizer.param_groups, _others(wrapper)
    unknown: list[dict] = [{}] * len(groups)
    parts = list(zip(state['param_groups'], groups, then.get('groups', unknown), now['groups']))
    if STAND_IN not in others:
        state.pop(STAND_IN, None)  # a wrapper of another kind would take it
    for key, own in others.items():
        before = then.get('others', {}).get(key, {})
        parts.append((state.setdefault(key, dict(own)), dict(own), before, now['others'][key]))
    for part, own, before, built in parts:
        for key in own.keys() - {'params'} - driven:
            if key in released or key not in before or before[key] != built[key]:
                part[key] = own[key]
        if 'betas' in own.keys() & driven and before.get('betas', ())[1:] != built['betas'][1:]:
            part['betas'] = (part['betas'][0], *own['betas'][1:])  # momentum is the first of them only


def _driven(names: Iterable[str]) -> set[str]:
    found = set(names)
    return found | ({'betas'} if 'momentum' in found else set())


def _regroup(
    old_names: list[list[str]] | None, new_names: list[list[str]] | None, state: dict, own: list
) -> list[int]:
    """Sort a state into other groups by the parameters' names.

    Weight decay, its exceptions, layer-wise rates and what is frozen decide which parameters share a group.

    Returns:
        For every group of this run the number of the one in the checkpoint from which it goes on.

    Raises:
        StoppedError: There are other numbers of groups, and the checkpoint does not say what is in which.
    """
    old = state['param_groups']
    known = all(isinstance(number, int) for group in old for number in group['params'])
    if not (known and old_names and new_names):
        if len(old) != len(own):
            raise StoppedError(
                f'the checkpoint to resume has {len(old)} groups of parameters, this config makes {len(own)} '
                '(optim_wrapper.optimizer.weight_decay and paramwise_cfg): resume with what they were, or start a new '
                'run from its weights with --cfg-options load_from=FILE.'
            )
        return list(range(len(own)))
    if old_names == new_names:
        return list(range(len(own)))
    place = {name: n for group, names in zip(old, old_names) for name, n in zip(names, group['params'])}
    group_of = {name: index for index, names in enumerate(old_names) for name in names}
    groups: list[dict] = []
    origin: list[int] = []
    moved: dict[int, Any] = {}
    for names in new_names:
        first = groups[-1]['params'][-1] + 1 if groups else 0
        numbers = list(range(first, first + len(names)))
        moved |= {
            n: state['state'][place[name]]
            for n, name in zip(numbers, names)
            if place.get(name) in state['state']
        }
        origin.append(next((group_of[name] for name in names if name in group_of), 0))
        groups.append({**old[origin[-1]], 'params': numbers})
    state['param_groups'], state['state'] = groups, moved
    return origin
