"""Short options for what everybody changes: which settings of a config each of them sets.

``--epochs 3`` is another way to write settings with their names; a table here is what the help of the commands and
``docs/training.md`` say.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fsfm_mm.settings.data import flat

#: Settings of a scheduler that are lengths or places in the run.
LENGTHS = ('total', 'warmup', 'begin', 'end', 'T_max', 'step_size', 'total_iters', 'total_steps')
PLACES = ('milestones', 'periods')
#: What prepared faces have in their folder -> the data set that reads them.
FACES = {'images': 'FaceParsingDataset', 'archive/archive.json': 'ArchivedFaces'}


@dataclass(frozen=True)
class Option:
    """A short option.

    Args:
        name: Without the dashes.
        metavar: Of its value.
        read: Value from its text.
        sets: Settings that it sets, and what follows them, for help and documentation.
        settings: Of a config, the value and the part of the run ('train' or 'test'): names with dots -> values.
        choices: Its values, where there are only some.
    """

    name: str
    metavar: str
    read: Callable[[str], Any]
    sets: str
    settings: Callable[[Any, Any, str], dict[str, Any]]
    choices: tuple[str, ...] | None = None


class NothingToSetError(ValueError):
    """An option that fits nothing in a config; the message says why, without the option's name."""


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1, found {text!r}')
    return int(text)


def count(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'expected a whole number from 0, found {text!r}')
    return int(text)


def rate(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'expected a number above 0, found {text!r}')
    return value


def _loaders(cfg: Any) -> list[str]:
    names = (f'{part}_dataloader' for part in ('train', 'val', 'test'))
    return [name for name in names if isinstance(cfg.get(name), Mapping)]


def _loader(cfg: Any, part: str) -> str:
    if f'{part}_dataloader' not in _loaders(cfg):
        raise NothingToSetError(f'it has no {part}_dataloader')
    return f'{part}_dataloader'


def _set_data(cfg: Any, folder: str, part: str) -> dict[str, Any]:
    sets = {name: cfg[name].dataset for name in _loaders(cfg)}
    sets |= {name: cfg[name] for name in ('test_sets', 'named_sets', 'published_sets') if cfg.get(name)}
    settings: dict[str, Any] = {}
    for name, dataset in sets.items():
        settings |= flat(dataset, f'{name}.dataset' if name in _loaders(cfg) else name)
    loader = _loader(cfg, part)
    roots = {
        value: None
        for name, value in settings.items()
        if _last(name) == 'data_root' and name.startswith(f'{loader}.')
    }
    if not roots:
        raise NothingToSetError(f'{loader}.dataset ({cfg[loader].dataset.get("type")}) reads no folder')
    if len(roots) > 1:
        raise NothingToSetError(
            f'{loader}.dataset reads several folders ({", ".join(roots)}); set them by their names'
        )
    root = str(next(iter(roots)))
    settings |= flat(cfg.model, 'model')
    moved: dict[str, Any] = {}
    for name, value in settings.items():
        if _is_in(value, root):
            inside = os.path.relpath(value, root)
            moved[name] = folder if inside == '.' else os.path.join(folder, inside)
    kind = _faces_in(folder)
    if kind and part == 'train' and cfg[loader].dataset.get('type') in FACES.values():
        moved[f'{loader}.dataset.type'] = kind
    return moved


def _faces_in(folder: str) -> str | None:
    """Who reads the faces that a folder holds; None where it holds both forms or none."""
    found = [kind for place, kind in FACES.items() if os.path.exists(os.path.join(folder, place))]
    return found[0] if len(found) == 1 else None


def _is_in(value: Any, root: str) -> bool:
    return isinstance(value, str) and f'{value.rstrip("/")}/'.startswith(f'{root.rstrip("/")}/')


def _last(name: str) -> str:
    return name.rpartition('.')[2]


def _set_init(cfg: Any, value: str, part: str) -> dict[str, Any]:
    if not isinstance(cfg.model.get('backbone'), Mapping):
        raise NothingToSetError('its model has no backbone')
    weights = (
        None if value.lower() == 'none' else dict(_delete_=True, type='PretrainedBackbone', checkpoint=value)
    )
    return {'model.backbone.init_cfg': weights}


def _set_epochs(cfg: Any, value: int, part: str) -> dict[str, Any]:
    return length_settings(cfg, 'max_epochs', value)


def _set_iters(cfg: Any, value: int, part: str) -> dict[str, Any]:
    return length_settings(cfg, 'max_iters', value)


def length_settings(cfg: Any, unit: str, length: int) -> dict[str, Any]:
    """The settings that make a run longer or shorter, warm-up and schedules in proportion.

    Args:
        cfg: The config.
        unit: 'max_epochs' or 'max_iters'.
        length: Of the new run.

    Raises:
        NothingToSetError: The config counts in the other unit.
    """
    loop = cfg.get('train_cfg') or {}
    if unit not in loop:
        other = {'max_epochs': 'max_iters', 'max_iters': 'max_epochs'}[unit]
        option = {'max_epochs': '--epochs', 'max_iters': '--iters'}[other]
        raise NothingToSetError(
            f'it goes by {other[4:]} (train_cfg.{other}): use {option}'
            if other in loop
            else 'it has no train_cfg'
        )
    before = loop[unit]
    settings: dict[str, Any] = {f'train_cfg.{unit}': length}
    if loop.get('val_interval', 1) > length:
        settings['train_cfg.val_interval'] = length
    if loop.get('val_begin', 1) > 1:
        settings['train_cfg.val_begin'] = max(1, round(loop['val_begin'] * length / before))
    built = cfg.get('param_scheduler') or []
    schedulers = {'param_scheduler': built} if isinstance(built, Mapping) and 'type' in built else {}
    if isinstance(built, list | tuple):
        schedulers = {f'param_scheduler.{i}': scheduler for i, scheduler in enumerate(built)}
    for name, scheduler in schedulers.items():
        settings |= {f'{name}.{key}': value for key, value in _scaled(scheduler, length, before).items()}
    return settings


def _scaled(scheduler: Mapping[str, Any], length: int, before: int) -> dict[str, Any]:
    """Lengths of a scheduler in a run of ``length`` where it was ``before``."""

    def scale(value: float) -> Any:
        if value == float('inf') or value <= 0:
            return value
        return max(1, round(value * length / before))

    found: dict[str, Any] = {key: scale(scheduler[key]) for key in LENGTHS if key in scheduler}
    found |= {key: [scale(value) for value in scheduler[key]] for key in PLACES if key in scheduler}
    if 0 < found.get('total', 0) <= found.get('warmup', 0):
        # an epoch of warm-up would be the whole run
        share = scheduler['warmup'] / scheduler['total']
        found['warmup'] = found['total'] * share if scheduler.get('convert_to_iter_based') else 0
    return {key: value for key, value in found.items() if value != scheduler[key]}


def _set_batch_size(cfg: Any, size: int, part: str) -> dict[str, Any]:
    loader = _loader(cfg, part)
    if 'batch_size' not in cfg[loader]:
        raise NothingToSetError(f'{loader} has no batch_size')
    settings: dict[str, Any] = {f'{loader}.batch_size': size}
    each = (cfg[loader].get('sampler') or {}).get('per_group')
    if each:
        groups = cfg[loader].batch_size // each
        if size % groups:
            raise NothingToSetError(
                f'a batch holds as many of each of {groups} groups, which {size} does not'
            )
        settings[f'{loader}.sampler.per_group'] = size // groups
    return settings


def _set_lr(cfg: Any, value: float, part: str) -> dict[str, Any]:
    if not isinstance((cfg.get('optim_wrapper') or {}).get('optimizer'), Mapping):
        raise NothingToSetError('it has no optim_wrapper.optimizer')
    return {'optim_wrapper.optimizer.lr': value}


def _set_arch(cfg: Any, arch: str, part: str) -> dict[str, Any]:
    backbone = cfg.model.get('backbone') or {}
    if 'arch' not in backbone:
        raise NothingToSetError('its backbone has no arch')
    settings: dict[str, Any] = {'model.backbone.arch': arch}
    if _last(backbone.get('type', '')) != 'FusedAttentionViT':
        return settings
    from fsfm_mm.models.backbones.fused_attention_vit import resolve_arch

    (width, depth, _), (new_width, new_depth, _) = resolve_arch(backbone['arch']), resolve_arch(arch)
    follow = {
        name: new_width
        for part_name in ('neck', 'head')
        for name, value in flat(cfg.model.get(part_name) or {}, f'model.{part_name}').items()
        if _last(name) == 'in_channels' and value == width
    }
    if backbone.get('frozen_stages') == depth:  # all of it is frozen
        follow['model.backbone.frozen_stages'] = new_depth
    return {**settings, **follow}


def _set_workers(cfg: Any, number: int, part: str) -> dict[str, Any]:
    return {f'{name}.num_workers': number for name in _loaders(cfg)}


def _set_seed(cfg: Any, seed: int, part: str) -> dict[str, Any]:
    return {'randomness.seed': seed}


def _set_nothing(cfg: Any, value: str, part: str) -> dict[str, Any]:
    return {}


#: All of them, in the order of the help.
OPTIONS = {
    option.name: option
    for option in (
        Option(
            'data',
            'FOLDER',
            os.fspath,
            '`data_root` of the training set (in test: of the test set), and of all other sets that the config reads '
            'from the same folder; statistics that lie in that folder (`model.data_preprocessor.stats`); folders or '
            'archive, as it is (`type`)',
            _set_data,
        ),
        Option(
            'init',
            'WEIGHTS',
            str,
            '`model.backbone.init_cfg`: a checkpoint, a work directory, a name of the zoo, or `none` to start from '
            'scratch; in pretraining, too, the encoder alone starts from it',
            _set_init,
        ),
        Option(
            'epochs',
            'N',
            positive,
            '`train_cfg.max_epochs`; in proportion the lengths of `param_scheduler` (`total`, `warmup`, ...), at least '
            '1; a longer `train_cfg.val_interval` becomes N',
            _set_epochs,
        ),
        Option(
            'iters',
            'N',
            positive,
            '`train_cfg.max_iters`; as `--epochs`, for configs that go by iterations',
            _set_iters,
        ),
        Option(
            'batch-size',
            'N',
            positive,
            '`train_dataloader.batch_size` (in test: `test_dataloader.batch_size`), of one process; '
            '`sampler.per_group` where batches are balanced',
            _set_batch_size,
        ),
        Option('lr', 'RATE', rate, '`optim_wrapper.optimizer.lr`, the peak of the schedule', _set_lr),
        Option(
            'arch',
            'NAME',
            str,
            '`model.backbone.arch`: tiny, small, base, large, huge; with it `in_channels` of neck and head, and '
            '`frozen_stages` where all stages are frozen',
            _set_arch,
        ),
        Option(
            'workers', 'N', count, '`num_workers` of all loaders; 0 reads in the process itself', _set_workers
        ),
        Option('device', 'DEVICE', str, 'where it computes: cpu or cuda', _set_nothing, ('cpu', 'cuda')),
        Option('seed', 'N', count, '`randomness.seed`', _set_seed),
    )
}


#: Those that mean something to a model that is trained already.
TEST_OPTIONS = ('data', 'batch-size', 'arch', 'workers', 'device')


def option_settings(
    cfg: Any, values: Mapping[str, Any], part: str = 'train', others: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The settings of a config that short options set.

    Args:
        cfg: The config as it was read.
        values: Name of an option -> value; None where it was not given.
        part: 'train' or 'test': the loader that ``data`` and ``batch-size`` mean.
        others: Settings that are given by their own names, and win over what only follows from an option.

    Returns:
        Names with dots -> values.

    Raises:
        ValueError: One sentence: an option has nothing to set in this config, or contradicts another setting.
    """
    settings: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        try:
            found = OPTIONS[name].settings(cfg, value, part)
        except NothingToSetError as error:
            raise ValueError(f'--{name} does not fit the config {cfg.filename}: {error}') from error
        except ValueError as error:
            raise ValueError(f'--{name} {value}: {error}') from error
        main = next(iter(found), None)
        if main is not None and (others or {}).get(main, found[main]) != found[main]:
            raise ValueError(
                f'--{name} {value} and --cfg-options {main}={(others or {})[main]} contradict each other'
            )
        settings |= found
    return settings


def option_table() -> list[str]:
    """The lines of the table in ``docs/training.md``."""
    rows = [f'| `--{option.name} {option.metavar}` | {option.sets} |' for option in OPTIONS.values()]
    return ['| Option | Sets |', '|---|---|', *rows]
