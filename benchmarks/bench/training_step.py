"""One training step, taken apart into functions that can be timed: the library's, and the plain one beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from bench.timing import matmul
from fsfm_mm.models.losses.reconstruction import patch_errors, patch_targets
from fsfm_mm.models.selfsup import FaceMAE
from fsfm_mm.ops.patches import gather_tokens
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from fsfm_mm.structures import PretrainBatch
from plain import PlainFSFM, PlainTraining

#: Momentum of the timed target updates; any value below 1 costs the same.
MOMENTUM = 0.996

Tensors = tuple[torch.Tensor, ...]
Self = TypeVar('Self', bound='Step')


class LibraryTraining:
    """The library's training, in the words of :class:`plain.PlainTraining`.

    Args:
        model: On its device.
        optim: An AutocastOptimWrapper over its parameters.
    """

    def __init__(self, model: FaceMAE, optim: OptimWrapper) -> None:
        self.model: Any = model
        self.optim, self.optimizer = optim, optim.optimizer

    def autocast(self) -> AbstractContextManager:
        """The precision of the forward pass."""
        return self.optim.optim_context(self.model)

    def losses(self, batch: PretrainBatch) -> dict[str, torch.Tensor]:
        """Losses of a batch as the loader yields it, with preprocessing."""
        with self.autocast():
            return self.model(**self.model.data_preprocessor(batch, True), mode='loss')

    def step(self, batch: PretrainBatch) -> None:
        """One training step: preprocessing, losses, gradients, optimiser, momentum update."""
        self.model.train_step(batch, self.optim)
        self.update_target()

    def update(self) -> None:
        """What comes after the gradients: clipping, optimiser, momentum update."""
        self.optim.step()
        self.update_target()

    def update_target(self) -> None:
        """Move the momentum target, where there is one."""
        if hasattr(self.model, 'target'):
            self.model.target.update(MOMENTUM)


@dataclass(frozen=True)
class Step:
    """A training and one batch of it; the learning rate is 0, so nothing drifts.

    Args:
        training: The library's or the plain one.
        batch: What its loader yields, on the CPU; the plain one's has ``image`` in place of ``inputs``, because
            it normalises in its workers.
    """

    training: Any
    batch: Any

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.training.model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def images(self) -> int:
        """Images of the batch."""
        return len(self.batch['mask'])

    def take(self: Self, count: int) -> Self:
        """The same step on the first images of the batch."""
        return replace(self, batch={key: value[:count] for key, value in self.batch.items()})

    def whole(self) -> None:
        """One training step."""
        self.training.step(self.batch)

    def forward(self) -> Tensors:
        """All losses of the batch."""
        return tuple(self.training.losses(self.batch).values())

    def part(self, function: Callable[..., torch.Tensor], *fixed: torch.Tensor) -> Callable[[], Tensors]:
        """A part of the forward pass as a function, in the step's precision, on fixed inputs that want gradients."""

        def forward() -> Tensors:
            leaves = [tensor.detach().requires_grad_() for tensor in fixed]
            with self.training.autocast():
                return (function(*leaves),)

        return forward

    def backward_of(self, forward: Callable[[], Tensors]) -> Callable[[], None]:
        """A function that runs ``forward`` and its backward pass, and then drops the gradients."""

        def run() -> None:
            outputs = forward()
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
            self.training.optimizer.zero_grad()

        return run

    def with_gradients(self, function: Callable[[], object]) -> Callable[[], None]:
        """A function that runs ``function`` while the parameters have the gradients of the batch."""
        losses = self.forward()
        torch.autograd.backward(losses, [torch.ones_like(loss) for loss in losses])
        gradients = [(p, p.grad) for p in self.model.parameters() if p.grad is not None]
        self.training.optimizer.zero_grad()

        def run() -> None:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            function()
            self.training.optimizer.zero_grad()

        return run


class TrainingStep(Step):
    """The library's step, whose parts are known."""

    @property
    def optim(self) -> OptimWrapper:
        """What its gradients are applied with."""
        return self.training.optim

    def prepare(self) -> tuple:
        """Copy the batch to the device, normalise it, cut it into patches: (patches, split, region mask)."""
        data = self.model.data_preprocessor(self.batch, True)
        patches, split = self.model.patches_and_split(data['inputs'], data['mask'], data['num_masked'])
        return patches, split, data['region_mask']

    def parts(self) -> dict[str, Callable[[], Tensors]]:
        """The trained parts of the forward pass, each on fixed inputs that want gradients.

        Returns:
            'online encoder', 'pixel decoder', 'rep decoder and heads' (FSFM only) and 'losses'.
        """
        model = self.model
        patches, split, region_mask = self.prepare()

        def heads(latent: torch.Tensor) -> torch.Tensor:
            return model.predictor(model.projector(model.rep_decoder(latent, split, model.mask_token)))

        def losses(pred: torch.Tensor, *features: torch.Tensor) -> torch.Tensor:
            errors = patch_errors(pred, patch_targets(gather_tokens(patches, split.masked), model.norm_pix))
            total = model.loss_rec(errors)
            if model.loss_region is not None:
                total = total + model.loss_region(errors, region_mask.gather(1, split.masked))
            return total + model.loss_sim(*features) if features else total

        parts = {'online encoder': self.part(lambda: model.backbone.encode(patches, split))}
        (latent,) = parts['online encoder']()
        parts['pixel decoder'] = self.part(lambda x: model.pixel_decoder(x, split, model.mask_token), latent)
        loss_inputs = list(parts['pixel decoder']())
        if hasattr(model, 'rep_decoder'):
            parts['rep decoder and heads'] = self.part(heads, latent)
            with self.training.autocast():
                loss_inputs += [*parts['rep decoder and heads'](), model.target(patches)]
        parts['losses'] = self.part(losses, *loss_inputs)
        return parts


def build_step(cfg: Config, batch: PretrainBatch, device: torch.device | str) -> TrainingStep:
    """Build the model (fresh weights, blocks not compiled) and the optimiser of a config.

    Args:
        cfg: A pretraining config with an AutocastOptimWrapper; gradients are not accumulated here.
        batch: Input of every step.
        device: Where the model goes.
    """
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(device).train()
    optim_cfg = {**cfg.optim_wrapper, 'accumulative_counts': 1}
    kind = optim_cfg.pop('constructor', 'DefaultOptimWrapperConstructor')
    rest = dict(paramwise_cfg=optim_cfg.pop('paramwise_cfg', None), optim_wrapper_cfg=optim_cfg)
    # not mmengine's build_optim_wrapper, which finds our constructors within a default scope alone
    optim = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(type=kind, **rest))(model)
    for group in optim.param_groups:
        group['lr'] = 0.0
    return TrainingStep(LibraryTraining(model, optim), batch)


class Pair(NamedTuple):
    """The library's training step and the plain one, with the same weights, batch and precision."""

    ours: TrainingStep
    plain: Step
    dtype: torch.dtype

    def take(self, count: int) -> Pair:
        """The same pair on the first images of the batch."""
        return self._replace(ours=self.ours.take(count), plain=self.plain.take(count))

    def whole(self, matmul_size: int) -> dict[str, Callable[[], object]]:
        """One training step of each, and the product whose speed theirs is a share of."""
        peak = matmul(matmul_size, self.dtype, self.ours.device)
        return {'ours': self.ours.whole, 'plain': self.plain.whole, 'matmul': peak}

    def note(self, more: str = '') -> str:
        """What a reader must know of a line of this pair."""
        return f'batch {self.ours.images}{more}'


def build_pair(cfg: Config, batch: PretrainBatch, device: torch.device | str, dtype: str) -> Pair:
    """Build both steps.

    Args:
        cfg: A pretraining config of FSFM with the paper's losses.
        batch: Input of both, two images or more.
        device: Where they run.
        dtype: 'float32' or 'bfloat16', in place of the config's.
    """
    cfg = copy.deepcopy(cfg)
    cfg.optim_wrapper.dtype = dtype
    ours, exact = build_step(cfg, batch, device), resolve_dtype(dtype, device)
    training = PlainTraining(PlainFSFM(ours.model), momentum=MOMENTUM, dtype=exact)
    images = ours.model.data_preprocessor.normalise(batch['inputs'].to(device)).cpu()
    floats = dict(image=images, mask=batch['mask'], region_mask=batch['region_mask'])
    return Pair(ours, Step(training, floats), exact)
