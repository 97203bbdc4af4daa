"""One training step of a config, taken apart into functions that can be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from fsfm_mm.datasets.transforms import PatchMask
from fsfm_mm.models.layers import Attention
from fsfm_mm.models.losses.reconstruction import patch_errors, patch_targets
from fsfm_mm.models.selfsup import FaceMAE
from fsfm_mm.ops.patches import gather_tokens
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from fsfm_mm.structures import PretrainBatch

#: Momentum of the timed target updates; any value below 1 costs the same.
MOMENTUM = 0.996

Tensors = tuple[torch.Tensor, ...]


def random_batch(mask: PatchMask, maps: np.ndarray, patch_size: int, batch_size: int) -> PretrainBatch:
    """A batch of random pixels under masks of generated faces.

    Args:
        mask: The config's mask transform.
        maps: Parsing maps (M, S, S); repeated where M is less than the batch.
        patch_size: Side of a patch in pixels.
        batch_size: Images N.
    """
    chosen = maps[np.arange(batch_size) % len(maps)]
    samples = mask.transform_batch([dict(patch_labels=patch_labels(m, patch_size)) for m in chosen])
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, 3, *maps.shape[1:])
    return PretrainBatch(
        inputs=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        mask=torch.from_numpy(np.stack([sample['mask'] for sample in samples])),
        region_mask=torch.from_numpy(np.stack([sample['region_mask'] for sample in samples])),
    )


@contextmanager
def attention_kernel(model: torch.nn.Module, fused: bool | None) -> Iterator[None]:
    """Set ``fused`` of every attention below a module for a while."""
    modules = [module for module in model.modules() if isinstance(module, Attention)]
    before = [module.fused for module in modules]
    for module in modules:
        module.fused = fused
    try:
        yield
    finally:
        for module, value in zip(modules, before):
            module.fused = value


@dataclass(frozen=True)
class TrainingStep:
    """A model, its optimiser and one batch, as in training; the learning rate is 0, so nothing drifts.

    Args:
        model: The self-supervisor on its device.
        optim: An AutocastOptimWrapper.
        batch: What the loader yields, on the CPU.
    """

    model: FaceMAE
    optim: OptimWrapper
    batch: PretrainBatch

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def take(self, count: int) -> TrainingStep:
        """The same step on the first images of the batch."""
        inputs, mask, region_mask = (self.batch[key][:count] for key in ('inputs', 'mask', 'region_mask'))
        return replace(self, batch=PretrainBatch(inputs=inputs, mask=mask, region_mask=region_mask))

    def whole(self) -> None:
        """One training step: preprocessing, losses, gradients, optimiser, momentum update."""
        self.model.train_step(self.batch, self.optim)
        self.update_target()

    def update_target(self) -> None:
        """Move the momentum target, where there is one."""
        if hasattr(self.model, 'target'):
            self.model.target.update(MOMENTUM)

    def prepare(self) -> tuple:
        """Copy the batch to the device, normalise it, cut it into patches: (patches, split, region mask)."""
        data = self.model.data_preprocessor(self.batch, True)
        patches, split = self.model.patches_and_split(data['inputs'], data['mask'], data['num_masked'])
        return patches, split, data['region_mask']

    def forward(self) -> Tensors:
        """All losses of the batch, with preprocessing."""
        with self.optim.optim_context(self.model):
            return tuple(self.model(**self.model.data_preprocessor(self.batch, True), mode='loss').values())

    def backward_of(self, forward: Callable[[], Tensors]) -> Callable[[], None]:
        """A function that runs ``forward`` and its backward pass, and then drops the gradients."""

        def run() -> None:
            outputs = forward()
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
            self.optim.zero_grad()

        return run

    def with_gradients(self, function: Callable[[], object]) -> Callable[[], None]:
        """A function that runs ``function`` while the parameters have the gradients of the batch."""
        losses = self.forward()
        torch.autograd.backward(losses, [torch.ones_like(loss) for loss in losses])
        gradients = [(p, p.grad) for p in self.model.parameters() if p.grad is not None]
        self.optim.zero_grad()

        def run() -> None:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            function()
            self.optim.zero_grad()

        return run

    def parts(self) -> dict[str, Callable[[], Tensors]]:
        """The trained parts of the forward pass, each on fixed inputs that want gradients.

        Returns:
            'online encoder', 'pixel decoder', 'rep decoder and heads' (FSFM only) and 'losses'.
        """
        model = self.model
        patches, split, region_mask = self.prepare()

        def run(function: Callable[..., torch.Tensor], *fixed: torch.Tensor) -> Callable[[], Tensors]:
            def forward() -> Tensors:
                leaves = [tensor.detach().requires_grad_() for tensor in fixed]
                with self.optim.optim_context(model):
                    return (function(*leaves),)

            return forward

        def heads(latent: torch.Tensor) -> torch.Tensor:
            return model.predictor(model.projector(model.rep_decoder(latent, split, model.mask_token)))

        def losses(pred: torch.Tensor, *features: torch.Tensor) -> torch.Tensor:
            errors = patch_errors(pred, patch_targets(gather_tokens(patches, split.masked), model.norm_pix))
            total = model.loss_rec(errors)
            if model.loss_region is not None:
                total = total + model.loss_region(errors, region_mask.gather(1, split.masked))
            return total + model.loss_sim(*features) if features else total

        parts = {'online encoder': run(lambda: model.backbone.encode(patches, split))}
        (latent,) = parts['online encoder']()
        parts['pixel decoder'] = run(lambda x: model.pixel_decoder(x, split, model.mask_token), latent)
        loss_inputs = list(parts['pixel decoder']())
        if hasattr(model, 'rep_decoder'):
            parts['rep decoder and heads'] = run(heads, latent)
            with self.optim.optim_context(model):
                loss_inputs += [*parts['rep decoder and heads'](), model.target(patches)]
        parts['losses'] = run(losses, *loss_inputs)
        return parts

    def target_forward(self) -> Callable[[], torch.Tensor]:
        """The target's pass over whole faces; FSFM only."""
        patches = self.prepare()[0]

        def run() -> torch.Tensor:
            with self.optim.optim_context(self.model):
                return self.model.target(patches)

        return run


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
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=optim_cfg.pop('constructor', 'DefaultOptimWrapperConstructor'),
            paramwise_cfg=optim_cfg.pop('paramwise_cfg', None),
            optim_wrapper_cfg=optim_cfg,
        )
    )
    step = TrainingStep(model, constructor(model), batch)
    for group in step.optim.param_groups:
        group['lr'] = 0.0
    return step
