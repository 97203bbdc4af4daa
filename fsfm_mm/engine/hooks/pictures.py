"""Pictures while training: reconstructions of a fixed batch, and the loss curve."""

from __future__ import annotations

from pathlib import Path

import cv2
import torch
from mmengine.dist import get_world_size, is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

from fsfm_mm.engine.resume import RUN_STATE
from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.registry import HOOKS
from fsfm_mm.visualization import draw_loss_curve, read_scalars, read_validations, reconstruction_sheet


@HOOKS.register_module()
class ReconstructionPictureHook(Hook):
    """Draws original, masked and reconstructed faces of the first batch, again and again, with a caption.

    Writes ``reconstructions/iter_XXXXXXX.png`` in the work directory and sends the picture to the
    visualizer's backends (TensorBoard, ...).

    Args:
        interval: Iterations between pictures; None for every epoch. The last iteration always draws.
        num_faces: Faces in a picture.
    """

    priority = 'LOW'

    def __init__(self, interval: int | None = None, num_faces: int = 8):
        self.interval = interval
        self.num_faces = num_faces
        self._batch: dict | None = None

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Keep a few samples of the first batch, so that pictures can be compared over time."""
        if self._batch is None and data_batch is not None:
            self._batch = {
                key: value[: self.num_faces].clone()
                for key, value in data_batch.items()
                if isinstance(value, torch.Tensor)
            }

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the faces, so that a resumed run draws the same ones."""
        if self._batch is not None and 'mask' in self._batch:
            faces = {key: value.cpu() for key, value in self._batch.items()}
            checkpoint.setdefault(RUN_STATE, {})['pictures'] = faces

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the faces of a run that is resumed."""
        if runner._resume:
            self._batch = checkpoint.get(RUN_STATE, {}).get('pictures')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw, when it is time."""
        last = runner.iter + 1 == runner.max_iters
        if self.interval is None:
            due = self.end_of_epoch(runner.train_dataloader, batch_idx)
        else:
            due = self.every_n_train_iters(runner, self.interval)
        if due or last:
            self.draw(runner)

    @torch.no_grad()
    def draw(self, runner) -> None:
        """Draw one picture of the kept faces; every process computes, since weights may be sharded (FSDP)."""
        model = unwrapped(runner.model)
        if self._batch is None or 'mask' not in self._batch or not hasattr(model, 'reconstruct'):
            return
        data = model.data_preprocessor(dict(self._batch), False)
        model.eval()
        with runner.optim_wrapper.optim_context(model):
            pictures = model.reconstruct(data['inputs'], data['mask'])
        model.train()
        if not is_main_process():
            return
        sheet = reconstruction_sheet(pictures, caption=describe(runner.iter + 1, 'given' in pictures))
        folder = Path(runner.work_dir) / 'reconstructions'
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'iter_{runner.iter + 1:07d}.png'), sheet[..., ::-1])
        runner.visualizer.add_image('reconstruction', sheet, step=runner.iter + 1)


def describe(iteration: int, is_given: bool) -> str:
    """The caption of a picture; ``is_given``: brightness and contrast of the hidden patches are."""
    if not is_given:
        seen = 'reconstructed: hidden patches as the model predicts them, the others as they are.'
    else:
        seen = (
            'given: the brightness of each hidden patch, from the original; the model predicts what is in a patch '
            'but not its brightness and contrast (norm_pix). reconstructed: the prediction with both put back. It has '
            'learnt what it shows beyond "given".'
        )
    return f'Iteration {iteration}. masked: what the model sees, gray is hidden. {seen}'


@HOOKS.register_module()
class LossCurveHook(Hook):
    """Draws ``loss_curve.png`` in the work directory when training ends, or is stopped by a signal.

    The values are those that mmengine logged, of all runs in this work directory: a resumed run goes
    on with the same curve.
    """

    priority = 'VERY_LOW'

    @master_only
    def after_run(self, runner) -> None:
        """Draw the curve, when there is anything to draw."""
        scalars = read_scalars(runner.work_dir)
        if not scalars:
            return
        length = iterations_per_epoch(runner)
        validations = read_validations(runner.work_dir)
        if length and isinstance(runner._train_loop, EpochBasedTrainLoop):
            validations = [{**entry, 'step': entry['step'] * length} for entry in validations]
        draw_loss_curve(scalars, Path(runner.work_dir) / 'loss_curve.png', length, validations)


def iterations_per_epoch(runner) -> float | None:
    """Iterations in which a run sees as many samples as it has; None where that is not known."""
    loader = runner._train_dataloader
    if not isinstance(loader, DataLoader):
        return None
    if isinstance(runner._train_loop, EpochBasedTrainLoop):
        return len(loader)
    batch, samples = getattr(loader.batch_sampler, 'batch_size', None), len(loader.dataset)  # type: ignore[arg-type]
    return samples / (batch * get_world_size()) if batch else None
