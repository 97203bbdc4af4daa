"""A training step as a typical research script writes it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from plain.model import PlainFSFM


class PlainTraining:
    """Default AdamW with a group for each parameter, a momentum loop, and losses logged at every step.

    Args:
        model: On its device; set to training.
        lr: Learning rate; 0 lets nothing drift while it is timed.
        weight_decay: Of parameters with two dimensions or more.
        betas: AdamW's.
        max_norm: Of the gradient.
        momentum: Of the target.
        dtype: float32, or the autocast dtype.
    """

    def __init__(
        self,
        model: PlainFSFM,
        lr: float = 0.0,
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.95),
        max_norm: float = 1.0,
        momentum: float = 0.996,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model = model.train()
        self.max_norm, self.momentum, self.dtype = max_norm, momentum, dtype
        groups = [
            dict(params=[p], weight_decay=0.0 if p.ndim <= 1 or name.endswith('.bias') else weight_decay)
            for name, p in model.named_parameters()
            if p.requires_grad
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=betas)
        #: Losses of the last step, as numbers.
        self.log: dict[str, float] = {}

    def losses(self, batch: dict) -> dict[str, torch.Tensor]:
        """Losses of a batch with ``image`` (normalised float32), ``mask`` and ``region_mask``."""
        device = next(self.model.parameters()).device
        images, mask, region_mask = (batch[key].to(device) for key in ('image', 'mask', 'region_mask'))
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model(images, mask, region_mask)

    def step(self, batch: dict) -> None:
        """One training step, as :meth:`losses` and :meth:`update`."""
        losses = self.losses(batch)
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        self.update()
        self.log = {name: loss.item() for name, loss in losses.items()}

    def update(self) -> None:
        """Clip the gradients, step, and move the target."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(trained, self.max_norm)
        self.optimizer.step()
        self.update_target()

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target, parameter by parameter."""
        online = dict(self.model.named_parameters())
        for name, parameter in self.model.target.named_parameters():
            parameter.data.mul_(self.momentum).add_((1 - self.momentum) * online[name].data)

    def with_gradients(self, batch: dict, function: Callable[[], object]) -> Callable[[], None]:
        """A function that runs ``function`` while the parameters have the gradients of a batch."""
        torch.stack(list(self.losses(batch).values())).sum().backward()
        gradients = [(p, p.grad) for p in self.model.parameters() if p.grad is not None]
        self.optimizer.zero_grad()

        def run() -> None:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            function()
            self.optimizer.zero_grad()

        return run
