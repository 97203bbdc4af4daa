"""Rates and states of schedules at any place of a run, whatever their class: they are stepped there.

mmengine's schedules compute a value from the one before, so there is no formula to ask. One that waits for a metric
(ReduceOnPlateau) cannot be stepped again: what it has taken from a rate stays a factor on what the others say, and it
goes on counting.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fsfm_mm.files.stopping import StoppedError

#: What a schedule has seen of its metric: of no worth where it watches another one.
OF_METRIC = ('best', 'num_bad_epochs', 'cooldown_counter')
#: How to go on where a state cannot be fitted.
INSTEAD = 'resume with what it was, or start a new run from its weights with --cfg-options load_from=FILE.'


class Place(NamedTuple):
    """How far a run is."""

    iterations: int
    epochs: int
    epoch_length: int


class _Groups:
    """An optimiser as its schedules see it: groups of its own, all else the real one's."""

    def __init__(self, wrapper: Any, groups: Sequence[Mapping]):
        self._wrapper, self.param_groups = wrapper, [dict(group) for group in groups]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapper, name)


def waits(scheduler: Any) -> bool:
    """Whether a schedule is stepped by validations."""
    return bool(getattr(scheduler, 'need_val_args', False))


def step_again(
    wrapper: Any,
    schedulers: Sequence[Any],
    saved: Sequence[Mapping],
    groups: Sequence[dict],
    then: Mapping[str, Any] | None,
    places: tuple[Place, Place],
) -> list[dict]:
    """Put rates into groups as if the run had begun with these schedules.

    Args:
        wrapper: Of the optimiser, with groups as they were built.
        schedulers: Of this run, as they were built; neither they nor the wrapper are changed.
        saved: The states of schedules in the checkpoint.
        groups: The groups in the checkpoint, mmengine's stand-in last; changed in place.
        then: What the run of the checkpoint had built, see :func:`~fsfm_mm.engine.honoured_settings.as_built`; None
            where that is not known.
        places: Where the checkpoint is, as that run counts and as this one does.

    Returns:
        The states of the schedules.

    Raises:
        StoppedError: What a schedule that waits for a metric has taken from a rate cannot be told.
    """
    stepped, rates = _stepped(wrapper, wrapper.param_groups, schedulers, places[1])
    before = _rates_then(wrapper, schedulers, saved, then, places[0])
    waiting = {scheduler.param_name for scheduler in schedulers if waits(scheduler)}
    for group, rate, old in zip(groups, rates, before or [{}] * len(groups)):
        for name in {scheduler.param_name for scheduler in schedulers}:
            if name not in waiting or not old.get(name):
                group[name] = rate[name]
            elif rate[name] != old[name]:
                group[name] *= rate[name] / old[name]
            if name == 'momentum' and 'betas' in group:
                group['betas'] = (group['momentum'], group['betas'][1])
    states = [_state(scheduler) for scheduler in stepped]
    for state, kept, built in zip(states, saved, then['schedules'] if then and before else ()):
        if built['waits']:
            state |= _counted(kept, built['state'], state)
    for state in states:
        state['_last_value'] = [group[state['param_name']] for group in groups]
    return states


def _stepped(
    wrapper: Any, groups: Sequence[Mapping], schedulers: Sequence[Any], place: Place
) -> tuple[list[Any], list[dict]]:
    """Copies of schedules that were just built, stepped as a run does up to a place, and groups with their rates."""
    optimizer = _Groups(wrapper, groups)
    stepped = [copy.copy(scheduler) for scheduler in schedulers]
    for scheduler in stepped:
        scheduler.optimizer, scheduler.verbose = optimizer, False
    of_epochs = [one for one in stepped if one.by_epoch]
    of_iterations = [one for one in stepped if not one.by_epoch]
    done = 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # no optimiser has stepped
        for iteration in range(1, place.iterations + 1):
            for scheduler in of_iterations:
                scheduler.step()
            if iteration % place.epoch_length == 0 and done < place.epochs:
                done += 1
                for scheduler in of_epochs:
                    scheduler.step()
    return stepped, optimizer.param_groups


def _state(scheduler: Any) -> dict[str, Any]:
    state = scheduler.state_dict().items()
    return {key: value for key, value in state if key not in ('optimizer', 'verbose') and not callable(value)}


def _rates_then(
    wrapper: Any,
    schedulers: Sequence[Any],
    saved: Sequence[Mapping],
    then: Mapping[str, Any] | None,
    place: Place,
) -> list[dict] | None:
    """What the rates would be without the schedules that wait for a metric; None where none did and does."""
    if not any(map(waits, schedulers)):
        return None
    kinds = [type(scheduler).__name__ for scheduler in schedulers]
    if then is None and any(set(OF_METRIC) <= set(state) for state in saved):
        raise StoppedError(
            'the checkpoint to resume does not say what its schedules began with, so what a schedule that waits for a '
            f'metric ({", ".join(kinds)}) took from its rate cannot be told: {INSTEAD}'
        )
    if then is None or not any(built['waits'] for built in then['schedules']):
        return None
    kinds_then = [built['type'] for built in then['schedules']]
    if kinds_then != kinds:
        raise StoppedError(
            f'param_scheduler was {", ".join(kinds_then)} and is {", ".join(kinds)} now; what one that waits for a '
            f'metric took from its rate cannot be told apart: {INSTEAD}'
        )
    as_then = [copy.copy(scheduler) for scheduler in schedulers]
    for scheduler, built in zip(as_then, then['schedules']):
        own = vars(scheduler)
        own |= {key: value for key, value in built['state'].items() if not callable(own.get(key))}
    groups = [*then['groups'], *(part for key, part in then['others'].items() if 'lr' in part)]
    return _stepped(wrapper, groups, as_then, place)[1]


def _counted(kept: Mapping, built: Mapping, fresh: Mapping) -> dict[str, Any]:
    """What of a state is no setting, because it is not as it was built."""
    watched = ('monitor', 'rule')
    other = [fresh[key] for key in watched if key in fresh] != [built[key] for key in watched if key in built]
    lost = {'_last_value', *(OF_METRIC if other else ())}
    return {key: kept[key] for key in kept.keys() & fresh.keys() - lost if kept[key] != built.get(key)}
