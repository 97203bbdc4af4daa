"""Repeats the step that a run left in ``failed_step.pth``, and finds where its first non-finite value arises."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from fsfm_mm.datasets.base import sample_key
from fsfm_mm.datasets.seeding import DATA, MODEL, SeededBatch, seed_process
from fsfm_mm.engine.failed_step import FACTS, went_wrong
from fsfm_mm.engine.tracing import Passed, Trace, largest_value, not_finite, tracing
from fsfm_mm.files.checkpoint_files import load_checkpoint_file
from fsfm_mm.files.checkpoint_folders import FAILED_STEP
from fsfm_mm.files.checkpoint_matching import mismatch
from fsfm_mm.registry import MODELS, refuse_unregistered
from fsfm_mm.settings.custom_imports import import_named
from fsfm_mm.settings.options import option_settings
from fsfm_mm.text import few, printable

#: Modules that register nothing foreign.
_OURS = ('fsfm_mm', 'mmpretrain', 'mmengine')


@dataclass(frozen=True)
class Record:
    """A failed step as it was read.

    Attributes:
        path: Its file.
        config: Settings of the run, for the data as they lie here.
        facts: What the file has beside tensors: ``steps``, ``seed``, ``precision``, ...
        state: ``state_dict`` of the model before the step.
        buffers: Those that are in no state dict.
        moved: Whether the data lie elsewhere than they did.
    """

    path: Path
    config: dict[str, Any]
    facts: dict[str, Any]
    state: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    moved: bool


@dataclass
class Replay:
    """One step, repeated.

    Attributes:
        step: Of the record: ``iteration``, ``rank``, ``keys``, ``losses`` then.
        losses: Names and values now.
        trace: Where the first value that is not finite arises; nothing where all are finite.
        state: Weights and statistics that were not finite before the step, and what they hold.
        inputs: Samples that were not finite before the model had them.
        finite_in_float32: Whether the same step in float32 is finite; None where it was made in float32.
    """

    step: dict[str, Any]
    losses: dict[str, float] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)
    state: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    finite_in_float32: bool | None = None

    @property
    def failed(self) -> bool:
        """Whether the loss or a gradient was not finite."""
        finite = all(map(torch.isfinite, map(torch.tensor, self.losses.values())))
        return bool(self.trace.gradients) or not finite


def read_record(path: str | os.PathLike, data: str | None = None, trust: bool = False) -> Record:
    """Read a failed step; nothing that the file names is run.

    Args:
        path: Written by :func:`fsfm_mm.engine.failed_step.write`.
        data: Folder of the training data where it is another one here (``--data``).
        trust: Import the modules that the run's config named in ``custom_imports``.

    Raises:
        ValueError: One sentence: the file cannot be read, is no such file, or needs classes that are not there.
    """
    content = load_checkpoint_file(path)
    facts: Any = content.get(FACTS)
    if not _is_whole(facts):
        raise ValueError(
            f'{path} holds no failed step: name the {FAILED_STEP} of a run that stopped for its losses.'
        )
    config: Any = Config(facts['config'])
    names: Any = (config.get('custom_imports') or {}).get('imports') or []
    names = [names] if isinstance(names, str) else names
    foreign = [str(name) for name in names if str(name).partition('.')[0] not in _OURS]
    if foreign and not trust:
        raise ValueError(
            f'{path}: its config imports {few(foreign)}: if you trust where the file comes from, --trust imports '
            'modules of these names from the current folder and where Python looks.'
        )
    import_named(foreign, os.curdir)
    if data is not None:
        config.filename = None
        config.merge_from_dict(option_settings(config, {'data': data}))
    settings = config.to_dict()
    for part in ('model', 'train_dataloader', 'data_preprocessor'):
        refuse_unregistered(settings.get(part), f'{path}: {part}')
    state, buffers = content.get('state_dict', {}), content.get('buffers', {})
    return Record(Path(path), settings, facts, state, buffers, data is not None)


def _is_whole(facts: Any) -> bool:
    """Whether facts are what :mod:`fsfm_mm.engine.failed_step` writes."""
    outer = {
        'config': dict,
        'steps': list,
        'seed': int,
        'precision': str,
        'accumulated': int,
        'processes': int,
    }
    inner = {'iteration': int, 'rank': int, 'indices': list, 'keys': list, 'losses': dict}
    return (
        _has(facts, outer)
        and bool(facts['steps'])
        and facts['precision'] in ('float32', 'bfloat16')
        and all(
            _has(step, inner)
            and len(step['indices']) == len(step['keys'])
            and all(
                type(index) is int and index >= 0
                for index in [*step['indices'], step['iteration'], step['rank']]
            )
            and all(isinstance(key, str) for key in step['keys'])
            and all(isinstance(value, float) for value in step['losses'].values())
            for step in facts['steps']
        )
    )


def _has(values: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(values, Mapping) and all(
        isinstance(values.get(name), kind) for name, kind in kinds.items()
    )


def replay(record: Record) -> Replay:
    """Repeat the batches of a failed step, those that went wrong in the run first, until one is not finite.

    Args:
        record: Of :func:`read_record`.

    Returns:
        The first that is not finite, else the last one.

    Raises:
        ValueError: The model or its data cannot be built, or the samples are not those of the run.
    """
    scope = DefaultScope.overwrite_default_scope(record.config.get('default_scope') or 'mmpretrain')
    with scope:
        loader = _loader(record)
        model = _model(record)
    ranks = sorted({step['rank'] for step in record.facts['steps']})
    done = Replay({})
    for rank in sorted(ranks, key=lambda rank: not any(map(went_wrong, _steps(record, rank)))):
        _load(model, record)
        model.zero_grad()
        for step in _steps(record, rank):
            dtype = getattr(torch, record.facts['precision'])
            done = _repeat(model, loader, record, step, dtype)
            if done.failed:
                if dtype != torch.float32:
                    _load(model, record)
                    model.zero_grad()
                    done.finite_in_float32 = not _repeat(model, loader, record, step, torch.float32).failed
                return done
    return done


def _steps(record: Record, rank: int) -> list[dict[str, Any]]:
    steps = [step for step in record.facts['steps'] if step['rank'] == rank]
    return sorted(steps, key=lambda step: step['iteration'])


def _loader(record: Record) -> DataLoader:
    settings = {
        **record.config['train_dataloader'],
        'num_workers': 0,
        'persistent_workers': False,
        'pin_memory': False,
    }
    for name in ('prefetch_factor', 'timeout', 'worker_init_fn'):
        settings.pop(name, None)
    built = Runner.build_dataloader(settings, seed=record.facts['seed'])
    return DataLoader(built.dataset, collate_fn=built.collate_fn)


def _model(record: Record) -> Any:
    settings = dict(record.config['model'])
    if record.config.get('data_preprocessor'):
        settings.setdefault('data_preprocessor', record.config['data_preprocessor'])
    model = MODELS.build(settings)
    return model.to(get_device()).train()


@torch.no_grad()
def _load(model: nn.Module, record: Record) -> None:
    buffers = dict(model.named_buffers())
    others = {name: buffers[name] for name in record.buffers if name in buffers}
    found = mismatch({**model.state_dict(), **others}, {**record.state, **record.buffers}, most=1)
    if found:
        raise ValueError(f'{record.path}: its weights are not of the model of its config ({found}).')
    model.load_state_dict(record.state)
    for name, value in record.buffers.items():
        buffers[name].copy_(value)


def _batch(loader: DataLoader, record: Record, step: Mapping[str, Any]) -> Any:
    """The batch as the run had it: same samples, same random numbers."""
    if not step['indices']:
        raise ValueError(
            f'{record.path}: it is not known which samples iteration {step["iteration"] + 1} was of.'
        )
    dataset: Any = loader.dataset
    for index, then in zip(step['indices'], step['keys']):
        now = sample_key(dataset, index) if index < len(dataset) else 'missing'
        if now != then and not (record.moved and PurePath(now).parts[-2:] == PurePath(then).parts[-2:]):
            raise ValueError(
                f'sample {index} of the training data was {printable(then)} in the run and is {printable(now)} here: '
                'the data have changed, or are others; name their folder with --data.'
            )
    key = (DATA, record.facts['seed'], step['rank'], step['iteration'])
    batches: Any = [SeededBatch(step['indices'], key)]
    return next(iter(DataLoader(loader.dataset, batch_sampler=batches, collate_fn=loader.collate_fn)))


def _repeat(
    model: Any, loader: DataLoader, record: Record, step: dict[str, Any], dtype: torch.dtype
) -> Replay:
    done = Replay(step, state=not_finite([*model.named_parameters(), *model.named_buffers()]))
    batch = _batch(loader, record, step)
    done.inputs = _bad_samples(batch, step['keys'])
    wrapper = _Backward(model, dtype, record.facts['accumulated'])
    seed_process(MODEL, record.facts['seed'], step['rank'], step['iteration'])
    with tracing(model, len(step['indices'])) as trace:
        losses = model.train_step(batch, wrapper)
    done.losses = {name: float(value.detach()) for name, value in losses.items()}
    trace.passed.insert(0, _loaded(batch))
    done.trace = trace
    return done


def _loaded(batch: Any) -> Passed:
    values = [value for value in tree_leaves(batch) if isinstance(value, torch.Tensor)]
    bad = sum(int((~torch.isfinite(value)).sum()) for value in values)
    return Passed('(the batch as it was loaded)', max(map(largest_value, values), default=0.0), bad)


def _bad_samples(batch: Any, keys: list[str]) -> list[str]:
    """Keys of samples that are not finite before the model has them: of stacked batches, and of lists of pictures."""
    found = set()
    for value in batch.values() if isinstance(batch, Mapping) else [batch]:
        rows = value if isinstance(value, torch.Tensor | list | tuple) and len(value) == len(keys) else ()
        for key, row in zip(keys, rows):
            if isinstance(row, torch.Tensor) and not bool(torch.isfinite(row).all()):
                found.add(key)
    return sorted(found)


class _Backward(OptimWrapper):
    """Autocast and backward pass of a step, without the step."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, accumulated: int):
        super().__init__(torch.optim.SGD(model.parameters(), lr=0.0), accumulated)
        self.dtype = dtype

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """As the run's."""
        device = next(model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            yield

    def update_params(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward only: gradients are to be looked at."""
        self.backward(self.scale_loss(loss))
