"""Learning-rate schedulers: mmengine's interface over the pure functions of ``fsfm_mm.schedules``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from fsfm_mm.registry import PARAM_SCHEDULERS
from fsfm_mm.schedules import warmup_cosine


def outlasts(train_cfg: Mapping[str, Any], schedules: Any) -> str | None:
    """A sentence where a :class:`WarmupCosineLR` goes on after the end of the run; None where none does.

    Args:
        train_cfg: Of a config, with ``max_epochs`` or ``max_iters``.
        schedules: Its ``param_scheduler``: a dict or a list of dicts.
    """
    for schedule in schedules if isinstance(schedules, list | tuple) else [schedules]:
        if not isinstance(schedule, Mapping) or 'warmup' not in schedule or 'total' not in schedule:
            continue
        unit = 'epochs' if schedule.get('by_epoch', True) else 'iters'
        end = train_cfg.get(f'max_{unit}')
        if end is not None and schedule['total'] > end:
            what = 'peak' if schedule['warmup'] >= end else 'end'
            return (
                f'The run ends after {end} {unit} (train_cfg.max_{unit}), its schedule after {schedule["total"]} '
                f'(param_scheduler.total, warmup {schedule["warmup"]}): the learning rate does not come to its {what}. '
                f'--{unit} {end} makes the schedule as long as the run.'
            )
    return None


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Linear warm-up from 0, then half a cosine, exact at every iteration (MAE, FSFM section 4).

    The value is computed from the step alone, so a resumed run has the same values. (Chaining mmengine's
    LinearLR and CosineAnnealingLR ends the warm-up one iteration early.) In a config:
    ``dict(type='WarmupCosineLR', warmup=40, total=400, by_epoch=True, convert_to_iter_based=True)``
    counts both in epochs and steps every iteration.

    Args:
        optimizer: Optimiser or wrapper; groups with an ``lr_scale`` scale ``final_lr`` with it.
        warmup: Warm-up length, in steps (epochs, before the conversion).
        total: Length of the whole schedule, in the same unit.
        final_lr: Learning rate at the end, before a group's ``lr_scale``.
        begin: First step.
        end: Step after the last.
        last_step: Step to go on from.
        by_epoch: Whether a step is an epoch.
        verbose: Print every change.
    """

    def __init__(
        self,
        optimizer,
        warmup: float,
        total: float,
        final_lr: float = 0.0,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ):
        self.warmup = warmup
        self.total = total
        self.final_lr = final_lr
        _check_lengths(warmup, total)  # now rather than in mid-run
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer,
        warmup: float,
        total: float,
        epoch_length: int,
        by_epoch: bool = True,
        begin: float = 0,
        end: float = INF,
        **kwargs,
    ) -> WarmupCosineLR:
        """Build from lengths in epochs; ``epoch_length`` is the number of iterations in one."""
        assert by_epoch
        _check_lengths(warmup, total)  # before they become iterations
        begin, end = int(begin * epoch_length), INF if end == INF else int(end * epoch_length)
        warmup, total = warmup * epoch_length, total * epoch_length
        return cls(optimizer, warmup, total, begin=begin, end=end, by_epoch=False, **kwargs)

    def _get_value(self) -> list[float]:
        step = min(self.last_step, self.total)
        values = []
        for base, group in zip(self.base_values, self.optimizer.param_groups):
            scale = group.get('lr_scale', 1.0)
            values.append(scale * warmup_cosine(step, self.total, self.warmup, base / scale, self.final_lr))
        return values


def _check_lengths(warmup: float, total: float) -> None:
    if not 0 <= warmup < total:
        raise ValueError(
            f'the warm-up must be in [0, {total:g}) (the schedule length), found {warmup:g}: lower '
            'param_scheduler.warmup, or raise param_scheduler.total and the length of the run'
        )
