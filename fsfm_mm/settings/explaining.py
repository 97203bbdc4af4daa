"""What an error says about the settings of a run: the setting, what is wrong with it, and what to do.

An error that arises while a run is built from its settings means a setting, whatever its class. Which one is read off
the calls it came through: mmengine's ``build_from_cfg`` has in hand the part of the config that it builds, and its
runners have a method for each of the others. What was raised on purpose speaks for itself; of anything else the
traceback is kept in a file, so that the console can say one sentence and a fault of the program is not lost.
"""

from __future__ import annotations

import importlib.util
import linecache
import os
import re
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.settings.arguments import argument_names, wrong_values
from fsfm_mm.text import did_you_mean, printable

#: Methods of mmengine's runners and of ours to the settings that they build.
_BUILDS = {
    'setup_env': 'env_cfg',
    'set_randomness': 'randomness',
    'build_log_processor': 'log_processor',
    'build_logger': 'log_level',
    'build_visualizer': 'visualizer',
    'add_config': 'visualizer.vis_backends',
    'register_hooks': 'default_hooks',
    'register_custom_hooks': 'custom_hooks',
    'build_model': 'model',
    'wrap_model': 'model_wrapper_cfg',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
    'build_train_loop': 'train_cfg',
    'build_val_loop': 'val_cfg',
    'load_or_resume': 'load_from',
    '_open_training_data': 'train_dataloader',
    '_open_validation_data': 'val_dataloader',
}
#: Kinds of registries to the settings that they build, where the part itself is not found in the config.
_KINDS = {
    'loop': 'train_cfg',
    'optimizer': 'optim_wrapper.optimizer',
    'optimizer wrapper constructor': 'optim_wrapper',
    'optimizer_wrapper': 'optim_wrapper',
    'parameter scheduler': 'param_scheduler',
}


class SettingsError(ValueError):
    """The settings of a run are wrong, or its parts cannot be built from them: one sentence says which and why."""


def error_message(error: BaseException) -> str:
    """What an error says, on one printable line; the file's name with it where the system names one."""
    if isinstance(error, OSError) and error.strerror:
        return (
            f'{error.strerror}: {printable(os.fspath(error.filename))}' if error.filename else error.strerror
        )
    message = str(error.args[0] if error.args else '')
    if message.startswith('Caught ') and ' in DataLoader worker process ' in message:
        message = _in_a_worker(message)[1]
    return printable(' '.join(message.split())) or type(error).__name__


def explain_setting(error: Exception) -> str:
    """One sentence about an error that arose while the parts of a run were built from its settings.

    Args:
        error: From before the end of the first iteration: later, errors mean something else.

    Returns:
        The setting and what is wrong with it.
    """
    return _explain(error)[0]


def tell_setting(error: Exception, log: str | None = None, name: str = 'fsfm-mm') -> str:
    """What :func:`explain_setting` says; where that may not be all, the file that keeps the traceback is named.

    It is all, where somebody looked at a value and raised an error with a message, or where the error is a known one.
    An error of the interpreter or of compiled code, such as an attribute that is not there, may be a fault of the
    program.

    Args:
        error: As there.
        log: As of :func:`with_traceback`; the traceback of any error is added to a file that is given.
        name: As of :func:`with_traceback`.
    """
    sentence, surprising = _explain(error)
    told = with_traceback(sentence, error, log, name) if surprising or log else sentence
    return told if surprising else sentence


def _explain(error: Exception) -> tuple[str, bool]:
    if isinstance(error, SettingsError | StoppedError):
        return str(error), False
    error = _cause(error)
    frames = list(traceback.walk_tb(error.__traceback__))
    config = _config(frames)
    place, sentence = _place(frames, config), _known(error, frames, config)
    surprising = sentence is None and not _on_purpose(error)
    if sentence is None:
        sentence = error_message(error)
        if surprising and error.args:
            sentence = f'{type(error).__name__}: {sentence}'
    if place and not _names_a_setting(sentence, config):
        sentence = f'{place}: {sentence}'
    return sentence, surprising


def _names_a_setting(sentence: str, config: Any) -> bool:
    """Whether a sentence says by itself which setting it is about."""
    names = '|'.join(map(re.escape, config or ()))
    return bool(names) and re.search(rf'\b({names})\.[a-z]', sentence) is not None


def _on_purpose(error: BaseException) -> bool:
    """Whether an error was raised, or asserted, with a message, by who had looked at a value."""
    if isinstance(error, OSError) and error.strerror:
        return True
    if not error.args or error.__traceback__ is None:
        return bool(error.args)
    if isinstance(error, KeyError) and ' ' not in str(error.args[0]):  # a dict's, which says the key only
        return False
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    statement = linecache.getline(frame.f_code.co_filename, line).strip()
    if frame.f_code.co_name == 'reraise':
        statement = _in_a_worker(str(error.args[0]))[0]
    # torch's modules raise for an attribute that is not there: nobody had looked at a value
    return statement.startswith(('raise ', 'assert ')) and frame.f_code.co_name != '__getattr__'


def _in_a_worker(message: str) -> tuple[str, str]:
    """The statement that failed in a data worker, and what it said, from the traceback that torch gives as text."""
    lines = message.rstrip().splitlines()
    end = max((i for i, line in enumerate(lines) if line.startswith('  ')), default=-1) + 1
    code = [line.strip() for line in lines[:end] if not set(line) <= set(' ~^')]
    said = '\n'.join(lines[end:])
    return (code[-1] if code else ''), said.partition(': ')[2] or said


def with_traceback(sentence: str, error: BaseException, log: str | None = None, name: str = 'fsfm-mm') -> str:
    """A sentence about an error whose traceback is kept in a file, which the sentence then names.

    Args:
        sentence: What is said.
        error: What was raised.
        log: File to add the traceback to; None for a new one in the system's folder for temporary files.
        name: Of the command, for the name of a new file.
    """
    text = ''.join(traceback.format_exception(_cause(error)))
    try:
        if log is None:
            handle, log = tempfile.mkstemp('.log', re.sub(r'\W+', '-', name) + '_')
            os.close(handle)
        with open(log, 'a', encoding='utf-8', errors='backslashreplace') as file:
            file.write(text)
    except OSError:  # a full disk, say: better on the console than nowhere
        return f'{sentence}\n{text}'
    return f'{sentence} (the traceback is in {log})'


def _cause(error: BaseException) -> Any:
    """The error itself, or the one that mmengine's ``call_hook`` and imports replaced by another of the same text."""
    hidden = error.__context__
    if hidden is not None and type(hidden) is type(error) and str(error).startswith(str(hidden)):
        return hidden
    return error


def _config(frames: list[tuple[FrameType, int]]) -> Any:
    """The config of the run that was being built, from the calls that had it."""
    for frame, _ in frames:
        for found in (frame.f_locals.get('cfg'), getattr(frame.f_locals.get('runner'), 'cfg', None)):
            if type(found).__name__ == 'Config':
                return found
    return None


def _place(frames: list[tuple[FrameType, int]], config: Any) -> str:
    """The setting whose part was being built, with the type of that part; '' where it is not known."""
    place = ''
    for frame, _ in frames:
        name, local = frame.f_code.co_name, frame.f_locals
        if name == 'build_from_cfg' and isinstance(local.get('cfg'), Mapping):
            kind = str(local['cfg'].get('type', ''))
            kind = kind.removeprefix("<class '").removesuffix("'>").rpartition('.')[2]
            path = _path(config, local['cfg']) or _KINDS.get(getattr(local.get('registry'), 'name', ''), '')
            place = f'{path} ({kind})' if path and kind else path or kind or place
        elif name == 'call_hook' and 'hook' in local:
            kind = type(local['hook']).__name__
            path = _path(config, {'type': kind}, part=True)
            place = f'{path} ({kind})' if path else kind
        else:
            place = _BUILDS.get(name, place)
    return place


def _path(config: Any, wanted: Mapping, part: bool = False, path: str = '') -> str:
    """Where in a config a part is written; ``part``: where one of this type is."""
    if isinstance(config, Mapping) and path and _is(config, wanted, part):
        return path
    steps: Any = ()
    if isinstance(config, Mapping) or type(config).__name__ == 'Config':
        steps = config.items()
    elif isinstance(config, list | tuple):
        steps = enumerate(config)
    for key, value in steps:
        if found := _path(value, wanted, part, f'{path}.{key}' if path else str(key)):
            return found
    return ''


def _is(found: Mapping, wanted: Mapping, part: bool) -> bool:
    """Whether a part of the config is the one that is built, to which a builder may have added."""
    kind = found.get('type')
    if part or kind is None or kind != wanted.get('type'):
        return kind == wanted.get('type') if part else dict(found) == dict(wanted)
    return all(key in wanted and wanted[key] == value for key, value in found.items())


def _known(error: BaseException, frames: list[tuple[FrameType, int]], config: Any) -> str | None:
    """A sentence about what is wrong with settings most often, with the names that may have been meant."""
    message, local = error_message(error), frames[-1][0].f_locals if frames else {}
    if 'must contain the key "type"' in message:
        above, _, name = _path(config, local.get('cfg', {})).rpartition('.')
        beside = _entries(config, above) - {name}
        return f'{above}.{name} is new there and has no type{did_you_mean(name, beside)}'
    if isinstance(error, KeyError) and message == 'type':
        return next((f'{path} has no type' for path in _without_type(frames, config)), None)
    if isinstance(error, KeyError) and ' registry' in message and 'registry' in local:
        kind, registry = message.split(' is not in ')[0], local['registry']
        return f'there is no {registry.name.replace("_", " ")} {kind!r}{did_you_mean(kind, registered(registry))}'
    if match := re.match(r"(?:(\w+)\.)?(\w+)\(\) got an unexpected keyword argument '(\w+)'", message):
        names = argument_names(_called(match[1] or match[2], frames))
        return f'{match[1] or match[2]} has no setting {match[3]!r}{did_you_mean(match[3], names)}'
    if match := re.fullmatch(r'(?:(\w+)\.)?(\w+)\(\) missing \d+ required .*?arguments?: (.+)', message):
        return f'{match[1] or match[2]} needs {match[3]}, which the config does not give'
    if match := re.fullmatch(r'(\w+)\(\) takes no arguments', message):
        return f'{match[1]} takes no settings'
    if isinstance(error, ImportError):
        return _missing_package(error, message)
    return None if _on_purpose(error) else _wrong_value(frames, config)


def _without_type(frames: list[tuple[FrameType, int]], config: Any) -> Iterator[str]:
    """Parts of the config without a type that were in hand, the last first."""
    for frame, _ in reversed(frames):
        for value in list(frame.f_locals.values()):
            if (
                isinstance(value, Mapping)
                and value
                and 'type' not in value
                and (path := _path(config, value))
            ):
                yield path


def _wrong_value(frames: list[tuple[FrameType, int]], config: Any) -> str | None:
    """A sentence about a value of the wrong type in what was being built."""
    built: tuple[Any, Mapping] = (None, {})
    for frame, _ in frames:
        local = frame.f_locals
        if frame.f_code.co_name == 'build_from_cfg' and 'obj_cls' in local:
            built = local['obj_cls'], local.get('args', {})
        elif frame.f_code.co_name == 'build_dataloader':
            built = frame.f_globals.get('DataLoader'), local.get('dataloader_cfg', {})
        elif frame.f_code.co_name == 'call_hook':
            kind = type(local.get('hook'))
            built = kind, _part(config, _path(config, {'type': kind.__name__}, part=True))
    found = wrong_values(*built)
    return '; '.join(found) or None


def _called(name: str, frames: list[tuple[FrameType, int]]) -> Any:
    """What was called under a name with arguments that it does not take."""
    for frame, _ in reversed(frames):
        found = frame.f_globals.get(name) or frame.f_locals.get('obj_cls')
        if found is not None:
            return found
    return None


def _part(config: Any, path: str) -> Any:
    for step in filter(None, path.split('.')):
        config = config[int(step)] if isinstance(config, list | tuple) else config.get(step, {})
    return config


def _entries(config: Any, path: str) -> set[str]:
    part = _part(config, path) if config is not None else {}
    return set(part) if isinstance(part, Mapping) else set()


def registered(registry: Any) -> list[str]:
    """Names that a registry finds: its own and its parents'."""
    names: list[str] = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def _missing_package(error: ImportError, message: str) -> str:
    named = re.search(r'pip install (\w+)', message)
    package = (error.name or '').partition('.')[0] if named is None else named[1]
    if package and importlib.util.find_spec(package) is None:
        return f'the package {package} is not installed: pip install {package}'
    return message
