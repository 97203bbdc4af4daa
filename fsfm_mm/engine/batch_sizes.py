"""Whether every batch of a run has a size that its model can take, told before the first of them is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from fsfm_mm.engine.loops import is_endless


def check_even_batches(model: nn.Module, loader: DataLoader, loop: Mapping[str, Any]) -> None:
    """Refuse a run that would come to an odd batch where pictures are mixed in pairs (timm's mixup and cutmix).

    Args:
        model: The run's, without wrappers.
        loader: Its training data.
        loop: From :func:`~fsfm_mm.engine.loops.exact_loop`.

    Raises:
        ValueError: A batch of this process is odd, the last of an epoch, say.
    """
    mixing = getattr(getattr(model, 'data_preprocessor', None), 'batch_augments', None)
    if not any(getattr(augment, 'pairs', False) for augment in getattr(mixing, 'augments', ())):
        return
    batches: Any = loader.batch_sampler
    size, sampler = getattr(batches, 'batch_size', None), getattr(batches, 'sampler', None)
    if not isinstance(size, int) or sampler is None:  # batches of one's own making
        return
    if size % 2:
        raise ValueError(
            f'mixup and cutmix pair the images of a batch, so train_dataloader.batch_size must be even, found {size}'
        )
    count = 0 if batches.drop_last or is_endless(sampler) else len(sampler)
    if count % 2 and loop.get('max_iters', count) >= len(batches):
        raise ValueError(
            f'mixup and cutmix pair the images of a batch, but the last of an epoch has {count % size} ({count} '
            f'samples a process, {size} in a batch): set train_dataloader.drop_last=True'
        )
