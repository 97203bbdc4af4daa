"""The momentum target: the online modules, copied once and then following them."""

from __future__ import annotations

import copy

import torch
from mmengine.model import BaseModule
from torch import nn

from fsfm_mm.models.layers import init_transformer
from fsfm_mm.registry import MODELS
from fsfm_mm.schedules import momentum_cosine


@MODELS.register_module()
class MomentumTarget(BaseModule):
    """Encoder, rep decoder and projector that see the whole face and get no gradient (FSFM section 3.2).

    The modules are deep copies of the online ones, never written twice. After each optimiser step,
    ``target = m * target + (1 - m) * online`` in one fused call over cached pairs of parameters.

    Args:
        online: The online modules by name.
        base_momentum: m of the first update; None never updates the target (the released weights were
            trained so by accident: see the README's table of repairs).
        end_momentum: m that the run ends on; half a cosine between.
        start: 'online' starts as a copy of the online modules, 'random' from a fresh initialisation.

    Raises:
        ValueError: For another start.
    """

    def __init__(
        self,
        online: dict[str, nn.Module],
        base_momentum: float | None = 0.996,
        end_momentum: float = 1.0,
        start: str = 'online',
    ):
        super().__init__()
        if start not in ('online', 'random'):
            raise ValueError(f"a target starts 'online' or 'random', found {start!r}")
        self.base_momentum = base_momentum
        self.end_momentum = end_momentum
        self.start = start
        # a plain dict: the online modules belong to the self-supervisor and are not saved from here
        self._online = dict(online)
        self.online_names = tuple(self._online)
        for name, module in copy.deepcopy(self._online).items():
            self.add_module(name, module)
        self.requires_grad_(False)
        self._pairs: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None
        if start == 'random':
            self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Start (again) from a copy of the online modules, or from a fresh random initialisation."""
        if self.start == 'online':
            for target, online in zip(*self._parameter_pairs(trained_only=False)):
                target.copy_(online)
            return
        init_transformer(self)
        for name, parameter in self.named_parameters():
            if name.endswith('cls_token'):
                nn.init.normal_(parameter, std=0.02)

    def init_weights(self) -> None:
        """Start from the online modules as they are now, i.e. after they loaded what they load."""
        if self.start == 'online':
            self.reset()

    def _parameter_pairs(self, trained_only: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        pairs = [
            pair
            for name, online in self._online.items()
            for pair in zip(self.get_submodule(name).parameters(), online.parameters())
        ]
        kept = [(t, o) for t, o in pairs if o.requires_grad or not trained_only]
        return [t for t, _ in kept], [o for _, o in kept]

    def momentum(self, update: int, total_updates: int) -> float | None:
        """M of an update (from 0) of a run, or None for a frozen target."""
        if self.base_momentum is None:
            return None
        return momentum_cosine(update, total_updates, self.base_momentum, self.end_momentum)

    @torch.no_grad()
    def update(self, momentum: float) -> None:
        """``target = m * target + (1 - m) * online``; call it after the optimiser's step.

        Args:
            momentum: m in [0, 1]; 1 leaves the target as it is.
        """
        if self._pairs is None:
            self._pairs = self._parameter_pairs(trained_only=True)
        torch._foreach_lerp_(*self._pairs, 1.0 - momentum)

    def train(self, mode: bool = True) -> MomentumTarget:
        """Stay in evaluation mode: the target is deterministic."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Projection (N, d) of whole faces, given as patches (N, L, p*p*C)."""
        latent = self.backbone.encode(patches)
        return self.projector(self.rep_decoder(latent))
