"""mmengine's training loops, able to begin at any iteration without reading what was seen before it."""

from __future__ import annotations

from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from fsfm_mm.engine.third_party import tell_validations_apart
from fsfm_mm.registry import LOOPS

#: What the last validation in the run was made after, in iterations; kept with every checkpoint.
VALIDATED = 'validated_iter'


@LOOPS.register_module()
class ExactEpochLoop(EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, which on a resume repeats nothing and leaves nothing out.

    It begins at the right batch of the epoch, and with the validation that was still to come.
    :func:`~fsfm_mm.engine.launch.build_runner` puts it in the place of mmengine's.
    """

    def run(self) -> Any:
        """Train from the current iteration to the end."""
        tell_validations_apart(self.runner, by_iteration=False)
        self.runner.call_hook('before_train')
        self.began_at = self._iter
        if self._iter > 0:
            self._decide_current_val_interval()
            if self._iter == self._epoch * len(self.dataloader):
                _validate_if_due(self, self._epoch, self._max_epochs, resumed=True)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            _validate_if_due(self, self._epoch, self._max_epochs)
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Go through the epoch, or through what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        begin = self._iter - self._epoch * len(self.dataloader)
        if begin < len(self.dataloader):
            self.dataloader.batch_sampler.start_at(begin, self._iter)
            for idx, data_batch in enumerate(self.dataloader, begin):
                self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class ExactIterLoop(IterBasedTrainLoop):
    """mmengine's IterBasedTrainLoop with the same two abilities, for samplers with and without an end."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.dataloader_iterator = _Endless(self)

    def run(self) -> Any:
        """Train from the current iteration to the end."""
        tell_validations_apart(self.runner, by_iteration=True)
        self.runner.call_hook('before_train')
        self.began_at = self._iter
        self.runner.call_hook('before_train_epoch')
        if self._iter > 0:
            self._decide_current_val_interval()
            _validate_if_due(self, self._iter, self._max_iters, resumed=True)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            _validate_if_due(self, self._iter, self._max_iters)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model


def _validate_if_due(loop: Any, done: int, end: int, resumed: bool = False) -> None:
    """Validate after ``done`` of ``end`` epochs or iterations, if due; not again where a run is ``resumed``."""
    due = done >= loop.val_begin and (done % loop.val_interval == 0 or done == end)
    if resumed and loop.runner.message_hub.get_info(VALIDATED) == loop._iter:
        return
    if due and loop.runner.val_loop is not None:
        loop.runner.val_loop.run()


class _Endless:
    """The batches of a run by iterations: pass after pass, the first from the loop's iteration on."""

    def __init__(self, loop: ExactIterLoop):
        self._loop = loop
        self._iterator: Any = None

    def __next__(self) -> Any:
        if self._iterator is not None:
            batch = next(self._iterator, None)
            if batch is not None:
                return batch
        self._iterator = self._begin(self._loop.dataloader, self._loop.iter)
        return next(self._iterator)

    @staticmethod
    def _begin(loader: DataLoader, iteration: int) -> Any:
        batches: Any = loader.batch_sampler
        sampler = batches.sampler
        if hasattr(sampler, 'skip') and getattr(sampler, 'infinite', True):  # mmengine's contract: no end
            sampler.skip(iteration * batches.batch_size)
            batches.start_at(0, iteration)
            return iter(loader)
        epoch, begin = divmod(iteration, len(loader))
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
        batches.start_at(begin, iteration)
        return iter(loader)


def has_begun(runner: Any) -> bool:
    """Whether a run has done an iteration since it was started or resumed; of a loop of the user's own: is built."""
    loop = runner._train_loop
    if isinstance(loop, ExactEpochLoop | ExactIterLoop):
        return loop._iter > getattr(loop, 'began_at', loop._iter)
    return not isinstance(loop, dict)


#: mmengine's loops and ours in their place.
EXACT_LOOPS = {'EpochBasedTrainLoop': 'ExactEpochLoop', 'IterBasedTrainLoop': 'ExactIterLoop'}


def exact_loop(settings: dict) -> dict | None:
    """``train_cfg`` with our loop in the place of mmengine's; None when it names one of the user's own.

    Raises:
        ValueError: For a length or an interval of validations that is no number from 1 on, or a length in what the
            loop does not count.
    """
    settings = dict(settings)
    by_epoch = settings.pop('by_epoch', True)
    kind = settings.pop('type', 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop')
    kind = EXACT_LOOPS.get(str(kind).rsplit('.', 1)[-1], kind)
    length, other = ('max_epochs', 'max_iters') if kind == 'ExactEpochLoop' else ('max_iters', 'max_epochs')
    if kind in EXACT_LOOPS.values() and other in settings:
        raise ValueError(
            f'train_cfg.{other} does not belong to a run that counts {length.removeprefix("max_")} '
            f'(by_epoch={kind == "ExactEpochLoop"}): set train_cfg.{length}'
        )
    for name in {'val_interval', length} & set(settings):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f'train_cfg.{name} must be 1 or more, found {value!r}')
    return {'type': kind, **settings} if kind in EXACT_LOOPS.values() else None


def is_endless(sampler: Any) -> bool:
    """Whether the indices of a sampler never end, whatever its length."""
    return getattr(sampler, 'infinite', isinstance(sampler, InfiniteSampler))


def check_sampler(loop: dict, sampler: Any) -> None:
    """Refuse a sampler without an end in a loop that waits for the end of an epoch.

    Args:
        loop: From :func:`exact_loop`.
        sampler: Of the training data.

    Raises:
        ValueError: When the first epoch would never end.
    """
    if loop['type'] == 'ExactEpochLoop' and is_endless(sampler):
        raise ValueError(
            f'train_cfg counts epochs, but the data of train_dataloader.sampler {type(sampler).__name__} have no '
            'end: set train_cfg=dict(by_epoch=False, max_iters=...), or take a sampler with epochs such as '
            'DefaultSampler (DomainBalancedSampler: infinite=False)'
        )
