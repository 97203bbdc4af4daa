"""Timing design choices against their alternatives, in one run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.config import Config

from bench.results import Row
from bench.settings import attention_kernel
from bench.timing import Timer
from bench.training_step import MOMENTUM, TrainingStep, build_step
from fsfm_mm.structures import PretrainBatch

#: A choice: its two arms by name, the library's first.
Arms = dict[str, Callable[[], object]]


def choice_rows(cfg: Config, batch: PretrainBatch, device: torch.device | str, timer: Timer) -> list[Row]:
    """Time attention kernels, optimiser kernels, momentum updates and partial prediction.

    Args:
        cfg: See :func:`~bench.training_step.build_step`.
        batch: Input of the model.
        device: Where the model runs.
        timer: How it is timed.

    Returns:
        Two rows a choice; the ratio is the second arm's time over the row's, so above 1 is faster.
    """
    step = build_step(cfg, batch, device)
    choices = {**_forward_passes(step), **_optimiser(cfg, step), **_momentum(step)}
    rows = []
    for choice, arms in choices.items():
        timer.say(f'  {choice}')
        times = timer.measure(arms, device)
        other = list(times)[-1]
        for name, seconds in times.items():
            ratio = times[other] / seconds
            rows.append(Row('choices', f'{choice}: {name}', step.images, seconds, ratio, f'x of {other}'))
    return rows


def _forward_passes(step: TrainingStep) -> dict[str, Arms]:
    """Fused and explicit attention in the backbone, and predicting the masked patches only or all of them."""
    model, (patches, split, _) = step.model, step.prepare()
    encode = step.part(lambda: model.backbone.encode(patches, split))
    look = torch.no_grad()(step.part(lambda: model.backbone.encode(patches, None)))
    (latent,) = torch.no_grad()(encode)()

    def kernels(function: Callable[[], object]) -> Arms:
        def arm(fused: bool) -> Callable[[], None]:
            def run() -> None:
                with attention_kernel(model.backbone, fused):
                    function()

            return run

        return {'fused': arm(True), 'explicit': arm(False)}

    def decode(all_patches: bool) -> Callable[[], None]:
        decoder, token = model.pixel_decoder, model.mask_token
        part = step.part(lambda x: decoder(x, split, token, all_patches=all_patches), latent)
        return step.backward_of(part)

    return {
        'attention, visible tokens, forward + backward': kernels(step.backward_of(encode)),
        'attention, all tokens, forward': kernels(look),
        'pixel decoder, forward + backward': {
            'masked patches only': decode(all_patches=False),
            'all patches': decode(all_patches=True),
        },
    }


def _optimiser(cfg: Config, step: TrainingStep) -> dict[str, Arms]:
    """The optimiser's fused kernel and torch's default, over the same parameters and gradients."""
    kind = getattr(torch.optim, cfg.optim_wrapper.optimizer.type, None)
    if kind not in (torch.optim.Adam, torch.optim.AdamW):
        return {}
    arms: Arms = {}
    for name, fused in {'fused': True, 'default': None}.items():
        groups = [dict(group, fused=fused, foreach=None) for group in step.optim.param_groups]
        arms[name] = step.with_gradients(kind(groups).step)  # at a learning rate of 0
    return {f'{kind.__name__} update': arms}


def _momentum(step: TrainingStep) -> dict[str, Arms]:
    """One call for all pairs of parameters, and one for each; FSFM only."""
    model = step.model
    if not hasattr(model, 'target'):
        return {}
    pairs = [
        (t, o)
        for name in model.target.online_names
        for t, o in zip(model.target.get_submodule(name).parameters(), model.get_submodule(name).parameters())
        if o.requires_grad
    ]

    @torch.no_grad()
    def loop() -> None:
        for t, o in pairs:
            t.lerp_(o, 1.0 - MOMENTUM)

    return {'momentum update': {'one call': step.update_target, 'loop over parameters': loop}}
