"""Whether anything takes a setting, asked before a run is built, and what a wrong name may have meant."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.registry import Registry

from fsfm_mm.settings.arguments import constructors, takes_more
from fsfm_mm.settings.data import nodes
from fsfm_mm.text import did_you_mean

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Keys of a dict with a ``type`` that are no arguments of what it names.
ALWAYS = {'type', '_scope_', '_delete_'}
#: What mmengine takes out of a dict before it builds, by the name of the registry.
TAKEN_OUT = {
    'hook': {'priority'},
    'optim_wrapper': {'constructor', 'paramwise_cfg'},
    'optimizer wrapper': {'constructor', 'paramwise_cfg'},
    'optimizer_wrapper': {'constructor', 'paramwise_cfg'},
    'parameter scheduler': {'convert_to_iter_based'},
    'loop': {'by_epoch'},
}
#: How near a wrong name must be to an argument where others may be taken, too.
TYPING_ERROR = 0.88
#: ``**kwargs`` that go on to the class above.
HANDED_ON = re.compile(r'super\([^)]*\)\s*\.__init__\([^)]*\*\*', re.DOTALL)


def refuse_unknown_names(cfg: Any, names: Iterable[str]) -> None:
    """Refuse settings that nothing takes, where that is certain.

    Args:
        cfg: The whole config; the classes that it names have been imported, others are not looked at.
        names: Settings with dots that were set.

    Raises:
        ValueError: One sentence that names the setting and what it may have meant.
    """
    for name in names:
        node, parts = cfg, name.split('.')
        for depth, part in enumerate(parts):
            if isinstance(node, Mapping) and depth:
                _check(node, '.'.join(parts[:depth]), part, name)
            try:
                node = node[int(part)] if isinstance(node, list | tuple) else node[part]
            except (KeyError, IndexError, TypeError, ValueError):
                break


def _check(node: Mapping, place: str, key: str, name: str) -> None:
    if place == 'default_hooks':
        hook = node.get(key)
        if not isinstance(hook, Mapping) or 'type' in hook:
            return
        known = {other for other, value in node.items() if isinstance(value, Mapping) and 'type' in value}
        _refuse(name, f'there is no hook {key!r} in default_hooks, and it is given no type', key, known)
    known_names, all_of_them = accepted(node, place)
    if key in known_names or not (
        all_of_them or difflib.get_close_matches(key, known_names, 1, TYPING_ERROR)
    ):
        return
    what = f'{place} ({node["type"]})' if 'type' in node else place
    inside = [f'{place}.{other}' for other in nodes(node) if other.endswith(f'.{key}')]
    _refuse(name, f'{what} takes no {key!r}', key, known_names - ALWAYS, inside)


def _refuse(name: str, why: str, key: str, known: Iterable[str], inside: list[str] | None = None) -> None:
    meant = f' (did you mean {inside[0]}?)' if inside else did_you_mean(key, sorted(known), 1)
    raise ValueError(f'--cfg-options {name}: {why}{meant}')


def accepted(node: Mapping, place: str) -> tuple[set[str], bool]:
    """The keys that a dict of a config may have, and whether it is certain that there are no others.

    Args:
        node: The dict.
        place: Its name with dots.
    """
    kind = node.get('type')
    if kind is not None:
        return _accepted_by_type(kind)
    if place in LOADERS:
        from torch.utils.data import DataLoader

        own = {'dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'num_batch_per_epoch'}
        return own | arguments(DataLoader)[0], True
    if place in ('train_cfg', 'val_cfg', 'test_cfg', 'randomness'):
        from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop

        readers: dict[str, tuple] = {
            'train_cfg': (EpochBasedTrainLoop, IterBasedTrainLoop),
            'val_cfg': (ValLoop,),
            'test_cfg': (TestLoop,),
            'randomness': (Runner.set_randomness,),
        }
        return {'by_epoch', 'type'}.union(*(arguments(reader)[0] for reader in readers[place])), True
    known = {
        'auto_scale_lr': {'base_batch_size', 'enable'},
        'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
        'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads', 'distributed'},
    }.get(place)
    return known or set(), known is not None


def _accepted_by_type(kind: Any) -> tuple[set[str], bool]:
    if not isinstance(kind, str):
        return set(), False
    names, certain, found = set(ALWAYS), True, False
    for module in ('mmengine.registry', 'mmpretrain.registry'):
        if module in sys.modules:
            for registry in vars(sys.modules[module]).values():
                if isinstance(registry, Registry):
                    built = registry.module_dict.get(kind.rpartition('.')[2])
                    if built is not None:
                        own, all_of_them = arguments(built)
                        names |= own | TAKEN_OUT.get(registry.name, set())
                        certain, found = certain and all_of_them, True
    return names, certain and found


def arguments(built: Any) -> tuple[set[str], bool]:
    """Names of the arguments of a class or function, and whether it is certain that it takes no others."""
    names: set[str] = set()
    try:
        for function in constructors(built):
            parameters = inspect.signature(function).parameters.values()
            names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {'self'}
            if not takes_more(function):
                return names, True
            if not inspect.isclass(built) or not HANDED_ON.search(inspect.getsource(function)):
                break
    except (TypeError, ValueError, OSError):  # written in C, or without a source
        pass
    return names, False
