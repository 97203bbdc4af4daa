"""The file to read when mmengine or torch changes: every patch and workaround of a third party, with its reason.

Each says which version needs it and when it goes; ``tests/engine/test_third_party.py`` shows that it works, and that
without it the third party still does what it is for: where that test fails, the patch may go.

What is here is done to a third party, or to what is passed to one. Classes of ours that take the place of one of
theirs say what they do differently where they are: :mod:`~fsfm_mm.engine.loops` and
:mod:`~fsfm_mm.engine.hooks.exact_resume` (resuming within an epoch),
:mod:`~fsfm_mm.engine.hooks.safe_checkpoint` (old checkpoints go last; FlexibleRunner counts an epoch too many after a
validation), :mod:`~fsfm_mm.engine.hooks.runtime_info` (no wait for the device at every iteration),
:mod:`~fsfm_mm.engine.optim.wrapper` (autocast on CPUs), :mod:`~fsfm_mm.engine.optim.schedulers` (a warm-up that ends
an iteration early), :mod:`~fsfm_mm.engine.fsdp` (torch's second FSDP),
:mod:`~fsfm_mm.engine.weighed_loading` (weights of another model, a patch with a test of its own),
:mod:`~fsfm_mm.engine.resume` (states of another model), :mod:`~fsfm_mm.settings.config_files` (the scope of
``_base_ = 'fsfm_mm::...'`` and dicts over None; it imports no torch),
:mod:`~fsfm_mm.settings.values` (values with spaces).
Words of theirs are read in :mod:`~fsfm_mm.engine.data_faults` (torch on dead workers) and
:mod:`~fsfm_mm.settings.explaining` (mmengine on wrong settings); noise while they are imported is filtered in
``fsfm_mm/_startup.py``.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import itertools
import logging
import multiprocessing.queues
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import mmengine.runner.checkpoint as mmengine_checkpoint
from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import LoggerHook
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmengine.visualization.vis_backend import MLflowVisBackend
from torch.utils.data import DataLoader

from fsfm_mm.files import replacing
from fsfm_mm.files.checkpoint_files import load_checkpoint_file
from fsfm_mm.files.stopping import StoppedError

# --- mmengine reads checkpoints -----------------------------------------------------------------------------------


def refuse(filename: str, map_location: Any = None) -> NoReturn:
    """Refuse an address; mmengine calls it in the place of a loader."""
    raise StoppedError(
        f'{filename} is not a local file, and a checkpoint from elsewhere is not read unseen: download it first, '
        'then name the file.'
    )


def refuse_remote_checkpoints() -> None:
    """Take all of mmengine's loaders but the local one from this process.

    They serve ``load_from`` and ``init_cfg=dict(type='Pretrained')`` with ``http://``, ``s3://``,
    ``torchvision://`` and the like, and run code that the fetched file contains. Needed by onedl-mmengine 0.10;
    goes when its loaders of addresses unpickle weights only, without falling back.
    """
    local = CheckpointLoader._schemes['']
    CheckpointLoader._schemes.clear()
    CheckpointLoader.register_scheme(prefixes='', loader=local)
    CheckpointLoader.register_scheme(prefixes=r'\S*://', loader=refuse)


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a local file for mmengine, which calls it so: on the CPU, whence it is copied to where it is needed."""
    try:
        return load_checkpoint_file(Path(filename).expanduser())
    except ValueError as error:
        raise StoppedError(str(error)) from error


def load_safely() -> None:
    """Let mmengine read the checkpoints of this process with ours, and local files only: none can run code.

    mmengine's own loader falls back to full unpickling where the safe one refuses, and those for addresses
    unpickle without limits. A file that cannot be read, or an address, stops the run with a
    :class:`~fsfm_mm.files.stopping.StoppedError`. Needed by onedl-mmengine 0.10; goes when its loader refuses what
    weights-only unpickling refuses (the sentences would go with it).
    """
    refuse_remote_checkpoints()
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)


def look_at_cards(initialised: Callable[[Any], None], loaded: Callable[[Any, dict[str, Any]], None]) -> None:
    """Let mmengine compare a model with the card of the weights that it puts into it.

    It initialises (``init_weights``) and loads (``load_checkpoint``, as mmpretrain's ``get_model`` and inferencers do)
    without a look at what else a checkpoint holds: weights of one normalisation in a model of another give wrong
    numbers without a word. Needed by onedl-mmengine 0.10; goes when a hook of its own is called after both. A second
    call replaces the functions of the first.

    Args:
        initialised: Called with a model after ``init_weights`` of the outermost module.
        loaded: Called with model and checkpoint after the weights were loaded, except by a Runner, which has hooks.
    """
    _looks.update(initialised=initialised, loaded=loaded)
    if getattr(BaseModule.init_weights, '__name__', '') != '_init_weights_and_look':
        loads = mmengine_checkpoint._load_checkpoint_to_model
        _looks.update(init_weights=BaseModule.init_weights, load=loads)
        BaseModule.init_weights = _init_weights_and_look
        mmengine_checkpoint._load_checkpoint_to_model = _load_and_look


_looks: dict[str, Callable[..., Any]] = {}


def _init_weights_and_look(self: BaseModule) -> None:
    is_outermost = not hasattr(self, '_params_init_info') and not self.is_init
    _looks['init_weights'](self)
    if is_outermost:
        _looks['initialised'](self)


def _load_and_look(model: Any, checkpoint: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    loaded = _looks['load'](model, checkpoint, *args, **kwargs)
    _looks['loaded'](model, checkpoint)
    return loaded


# --- mmengine writes checkpoints ----------------------------------------------------------------------------------


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, with bytes written whole or not at all."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a file, see :func:`fsfm_mm.files.replacing`."""
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        with replacing(filepath) as part:
            part.write_bytes(obj)


def save_atomically() -> None:
    """Let mmengine write every checkpoint of this process, whichever hook asks, with that backend.

    mmengine writes into the file itself: a run that is killed meanwhile leaves half of one under a whole one's name.
    Needed by onedl-mmengine 0.10; goes when its ``LocalBackend.put`` writes beside the file and renames.
    """
    register_backend('local', AtomicLocalBackend, force=True, prefixes='')


def drop_file_client_notes(logger: logging.Logger) -> None:
    """Drop two notes of a logger that mmengine's own checkpoint hook causes and no config can avoid.

    Needed by onedl-mmengine 0.10; goes when its ``CheckpointHook`` uses no ``FileClient``.
    """
    logger.addFilter(_is_not_file_client_note)


def _is_not_file_client_note(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not message.startswith(('"FileClient" will be deprecated', '"HardDiskBackend" is the alias'))


# --- mmengine builds a run ----------------------------------------------------------------------------------------

_runs = itertools.count(1)


@contextlib.contextmanager
def own_name(cfg: Config) -> Iterator[None]:
    """Number the runs of one process after the first.

    mmengine keeps logger, message hub and visualizer by experiment and second: a run that is built within a
    second of another would write into that one's folder, and go on with its logged values. Needed by onedl-mmengine
    0.10; goes when a Runner has these by itself rather than by name.
    """
    number, before = next(_runs), cfg.get('experiment_name')
    if number > 1:
        name = before or (Path(cfg.filename).stem if cfg.filename else 'run')
        cfg.experiment_name = f'{name}_run{number}'
    try:
        yield
    finally:
        if before is None:
            cfg.pop('experiment_name', None)
        else:
            cfg.experiment_name = before


def scale_for_accumulation(cfg: Config) -> None:
    """Count accumulated batches in mmengine's automatic learning-rate scaling, which leaves them out.

    Needed by onedl-mmengine 0.10; goes when ``Runner.scale_lr`` multiplies by ``accumulative_counts``.
    """
    if cfg.get('auto_scale_lr', {}).get('enable') and not cfg.auto_scale_lr.get('accumulation_counted'):
        cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)
        cfg.auto_scale_lr.accumulation_counted = True


def leave_hooks_out(cfg: Config) -> None:
    """Take hooks that are None from ``default_hooks``, where mmengine leaves out its own six only.

    ``default_hooks.pictures=None`` is an AssertionError without words in onedl-mmengine 0.10; goes when it is not.
    """
    known = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None and name not in known]:
        del hooks[name]


def wrap_without_a_device(cfg: Config) -> None:
    """Let mmengine wrap a model for several processes on CPUs.

    Its DDP wrapper is told the number of a GPU unless the config says otherwise, which torch refuses for a model
    on a CPU. Needed by onedl-mmengine 0.10; goes when ``Runner.wrap_model`` looks where the model is.
    """
    cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel'))
    cfg.model_wrapper_cfg.setdefault('device_ids', None)


#: What training and validation both log.
_OF_BOTH = ('loss', 'time', 'data_time')


def tell_validations_apart(runner: Any, by_iteration: bool) -> None:
    """Let a run log each validation at its own step, and its loss and times under names of their own (``val/loss``).

    mmengine's LoggerHook logs validations at the epoch, which stays 0 in a run by iterations: the curves of
    TensorBoard and the like are one point. And it logs both losses as 'loss', in one curve. Needed by
    onedl-mmengine 0.10; goes when ``LoggerHook`` asks the training loop what it counts, and ``LogProcessor`` keeps
    the mode in the names.

    Args:
        runner: About to train.
        by_iteration: Whether its steps are iterations; otherwise a validation's step is the epoch.
    """
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            hook.log_metric_by_epoch = not by_iteration
    processor = runner.log_processor
    processor.get_log_after_epoch = functools.partial(
        _with_own_names, type(processor).get_log_after_epoch.__get__(processor)
    )


def _with_own_names(
    get_log: Callable, runner: Any, batch_idx: int, mode: str, *args: Any
) -> tuple[dict, str]:
    tag, text = get_log(runner, batch_idx, mode, *args)
    return {f'{mode}/{key}' if key in _OF_BOTH else key: value for key, value in tag.items()}, text


_add_mlflow_image = MLflowVisBackend.add_image


def name_pictures_for_mlflow() -> None:
    """Let mmengine's MLflow logger store pictures, as PNG files by name and step.

    It hands the bare name on as the file's, and MLflow refuses a file without an ending, which would stop the run.
    Needed by onedl-mmengine 0.10; goes when its ``MLflowVisBackend.add_image`` names a file.
    """
    MLflowVisBackend.add_image = _add_png_to_mlflow


def _add_png_to_mlflow(
    backend: MLflowVisBackend, name: str, image: Any, step: int = 0, **kwargs: Any
) -> None:
    name = name if Path(name).suffix else f'{name}_{step:07d}.png'
    _add_mlflow_image(backend, name, image, step, **kwargs)


# --- torch: gloo and data workers ---------------------------------------------------------------------------------

#: Seconds before a process ends, in which gloo's threads let go of the last collective.
_GLOO_GRACE = 0.5


def give_gloo_time_to_end() -> None:
    """Let a process that joined others over gloo wait a moment before it ends.

    A thread of gloo's that still holds the last collective when the interpreter shuts down aborts the process (exit
    code -6), however well its run went. Needed by torch 2.15; goes when ``destroy_process_group`` waits for gloo's
    threads. It is a race, so no test shows that torch still needs it.
    """
    atexit.register(time.sleep, _GLOO_GRACE)


#: What asks a run to stop, see :class:`~fsfm_mm.engine.hooks.StopSignalHook`.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def shield_workers(loader: DataLoader) -> None:
    """Let the workers of a loader go on working when their run is asked to stop.

    SLURM and shells signal whole process groups, and torch's handler would end a worker at once: the run
    would fail for want of a batch before it could save. A worker that cannot hand over a batch ends, so that
    nobody waits for that. Needed by torch 2.15; goes when its workers leave signals to their parent, and end
    themselves where the shared memory is full.

    Args:
        loader: Changed in place; its own ``worker_init_fn`` runs as before.
    """
    if loader.num_workers > 0:
        loader.worker_init_fn = functools.partial(_init_worker, loader.worker_init_fn)
        start = functools.partial(_with_signals_waiting, loader._get_iterator)
        loader._get_iterator = start  # type: ignore[method-assign]


def _with_signals_waiting(start: Callable[[], Any]) -> Any:
    """Start workers that are born with the signals blocked: torch's handlers are there before ``_init_worker`` is."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init_worker(then: Callable[[int], None] | None, worker: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    threading.Thread(target=_end_when_the_parent_says, daemon=True).start()
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end_with_a_lost_batch)  # type: ignore[attr-defined]
    if then is not None:
        then(worker)


def _end_with_a_lost_batch(error: BaseException, batch: Any) -> None:
    """End where a batch cannot be handed over: Python's queue drops it, and the run would wait for it in vain."""
    full = os.strerror(errno.ENOSPC) in str(error)  # of the shared memory
    if not full:
        traceback.print_exception(error)
    os._exit(errno.ENOSPC if full else 1)


def _end_when_the_parent_says() -> None:
    """Obey the SIGTERM by which torch ends a hung worker; one from anybody else means the run."""
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == os.getppid():
            os._exit(0)
