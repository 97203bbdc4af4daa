"""What a run leaves of the first step of a row that went wrong: weights, samples and seeds, enough to repeat it.

Pictures are not kept: they follow from the samples' numbers and the seed, are as large as the data set's owner wants
to show them to nobody, and whoever has the data has them. So the file is as large as the weights, whatever the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch import nn
from torch.distributed.tensor import DTensor

from fsfm_mm.datasets.base import sample_key
from fsfm_mm.engine.fsdp import gathered
from fsfm_mm.engine.hooks.momentum import MomentumUpdateHook
from fsfm_mm.files.checkpoint_files import save_checkpoint_file
from fsfm_mm.files.checkpoint_folders import FAILED_STEP
from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.version import __version__

#: Where the file has what is no tensor; ``state_dict`` and ``buffers`` are beside it.
FACTS = 'failed_step'


@dataclass(frozen=True)
class KeptStep:
    """The first update of a row that was skipped.

    Attributes:
        iterations: Those whose gradients it is the sum of.
        state: ``state_dict`` of the model before it, and ``buffers`` that checkpoints leave out (statistics).
    """

    iterations: range
    state: dict[str, dict[str, torch.Tensor]]


def keep(runner: Any, skipped: int = 1, before: Mapping[str, torch.Tensor] | None = None) -> KeptStep:
    """Keep the model as it was before the first of the updates that were skipped in a row.

    Skipped updates change no trained weight. The momentum target has gone on since where ``skipped`` is not 1, or the
    hook that moves it has been called: it is computed back, which is exact up to rounding.

    Args:
        runner: In an iteration that ended an update, before (``before`` given) or after the target's hook.
        skipped: How many, the update of this iteration included.
        before: Of :func:`overwritten`, where the step itself is under way.
    """
    model, counts = unwrapped(runner.model), runner.optim_wrapper._accumulative_counts
    update = (
        runner.iter // counts if runner.optim_wrapper.should_update() else (runner.iter + 1) // counts - 1
    )
    first = (update - skipped + 1) * counts
    state = {name: _copy(value) for name, value in model.state_dict().items()}
    buffers = {name: _copy(value) for name, value in model.named_buffers() if name not in state}
    for kept in (state, buffers):
        kept.update({name: value for name, value in (before or {}).items() if name in kept})
    if before is None:
        _rewind_target(runner, model, state, first)
    return KeptStep(
        range(first, min(first + counts, runner.iter + 1)), {'state_dict': state, 'buffers': buffers}
    )


def _copy(value: torch.Tensor) -> torch.Tensor:
    return value.detach().clone() if isinstance(value, DTensor) else value.detach().to('cpu', copy=True)


def overwritten(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of what a step overwrites before it can fail, as it was before; filled anew in every step.

    Weights that ``forward`` writes (of one of our heads), and the statistics of the preprocessor, which
    DistributedDataParallel may take from the first process after they were used.
    """
    before: dict[str, torch.Tensor] = {}
    for name, module in unwrapped(model).named_modules():
        if name == 'data_preprocessor' or getattr(module, 'writes_its_weights', False):
            module.register_forward_pre_hook(functools.partial(_copy_state, before, name))
    return before


def _copy_state(into: dict[str, torch.Tensor], name: str, module: nn.Module, inputs: Any) -> None:
    tensors = [*module.named_parameters(name), *module.named_buffers(name)]
    into.update({key: _copy(value) for key, value in tensors})


def _rewind_target(runner: Any, model: nn.Module, state: dict[str, torch.Tensor], first: int) -> None:
    """Undo the target's steps from iteration ``first`` on, in which the online weights stood still."""
    hook = next((hook for hook in runner.hooks if isinstance(hook, MomentumUpdateHook)), None)
    share = hook.share_left(first, runner.iter) if hook is not None else 1.0
    if not 0.0 < share < 1.0:
        return
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name in trained:
        value, online = state.get(f'target.{name}'), state[name]
        if value is not None:
            state[f'target.{name}'] = online + (value - online) / share


def write(runner: Any, kept: KeptStep, losses: Mapping[int, Mapping[str, Any]]) -> Path:
    """Write the file, whole or not at all; one a work directory. Every process must call it.

    The first process whose loss was not finite writes, since weights or statistics may be wrong there alone; of sharded
    ones the first process has the whole.

    Args:
        runner: The run.
        kept: Of :func:`keep`.
        losses: Of iterations of this process: names and values.

    Returns:
        Its path.

    Raises:
        OSError: The disk refuses; in all processes.
    """
    own = [_step(runner, iteration, losses.get(iteration, {})) for iteration in kept.iterations]
    steps = [step for part in all_gather_object(own) for step in part]
    sharded = any(isinstance(value, DTensor) for value in kept.state['state_dict'].values())
    writer = 0 if sharded else next((step['rank'] for step in steps if went_wrong(step)), 0)
    content: dict[str, Any] = gathered(kept.state)
    path = Path(runner.work_dir) / FAILED_STEP
    refused: tuple[int | None, str] | None = None
    if get_rank() == writer:
        content[FACTS] = _plain(_facts(runner, steps))
        try:
            save_checkpoint_file(content, path)
        except OSError as error:
            refused = error.errno, error.strerror or str(error)
    for told in all_gather_object(refused):
        if told is not None:
            raise OSError(*told)
    return path


def went_wrong(step: Mapping[str, Any]) -> bool:
    """Whether a loss of a batch was not finite."""
    return not all(value - value == 0 for value in step['losses'].values())


def _facts(runner: Any, steps: list[dict[str, Any]]) -> dict[str, Any]:
    device, dtype = runner.optim_wrapper.precision(unwrapped(runner.model))
    return {
        'config': runner.cfg.to_dict(),
        'steps': steps,
        'seed': runner.seed,
        'seeded': any(type(hook).__name__ == 'ExactResumeHook' for hook in runner.hooks),
        'processes': get_world_size(),
        'accumulated': runner.optim_wrapper._accumulative_counts,
        'precision': str(dtype).removeprefix('torch.'),
        'device': device.type,
        'versions': {'fsfm_mm': __version__, 'torch': torch.__version__},
    }


def _step(runner: Any, iteration: int, losses: Mapping[str, Any]) -> dict[str, Any]:
    """One batch of this process."""
    loader = runner.train_dataloader
    indices: list[int] = getattr(loader.batch_sampler, 'indices_of', lambda _: [])(iteration)
    return {
        'iteration': iteration,
        'rank': get_rank(),
        'indices': [int(index) for index in indices],
        'keys': [sample_key(loader.dataset, index) for index in indices],
        'losses': {name: float(value) for name, value in losses.items()},
    }


def _plain(value: Any) -> Any:
    """Facts and settings without objects, which a file that is read safely cannot hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else [_plain(v) for v in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    return str(value)
