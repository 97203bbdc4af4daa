"""Says at the end of a run which files could not be read."""

from __future__ import annotations

from mmengine.dist import all_gather_object, get_world_size, is_main_process
from mmengine.hooks import Hook

from fsfm_mm.files import write_atomically
from fsfm_mm.registry import HOOKS
from fsfm_mm.text import few, printable


@HOOKS.register_module()
class BrokenFilesHook(Hook):
    """Reports the files that ``on_broken='skip'`` datasets met, over all processes.

    Args:
        show: Name at most so many in the log; all are in ``broken_files.txt`` in the work directory.
    """

    priority = 'LOW'

    def __init__(self, show: int = 20):
        self.show = show

    def after_train(self, runner) -> None:
        """Log the count and the first names, and write the whole list."""
        dataset = runner.train_dataloader.dataset
        broken = _broken_files(dataset)
        if get_world_size() > 1:
            # by messages: files would need a folder that every host sees under the same name
            broken = sorted({name for part in all_gather_object(broken) for name in part})
        if not broken or not is_main_process():
            return
        path = f'{runner.work_dir}/broken_files.txt'
        write_atomically(path, '\n'.join(map(printable, broken)) + '\n')
        runner.logger.warning(
            f'{len(broken)} of {len(dataset)} files could not be used and were skipped (list: {path}): '
            f'{few(broken, self.show, " ...")}'
        )


def _broken_files(dataset) -> list[str]:
    """Broken files of a dataset, or of the datasets that it concatenates."""
    if hasattr(dataset, 'broken_files'):
        return dataset.broken_files()
    return [name for part in getattr(dataset, 'datasets', []) for name in _broken_files(part)]
