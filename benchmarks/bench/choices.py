"""Timing design choices against their alternatives, in one run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.config import Config

from bench.timing import Row, measure
from bench.training_step import MOMENTUM, TrainingStep, attention_kernel, build_step
from fsfm_mm.structures import PretrainBatch

#: A choice: its two arms by name, the library's first.
Arms = dict[str, Callable[[], object]]


def choice_rows(
    cfg: Config,
    batch: PretrainBatch,
    device: torch.device | str,
    repeats: int = 5,
    min_seconds: float = 0.05,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Time attention kernels, optimiser kernels, momentum updates and partial prediction.

    Args:
        cfg: See :func:`~bench.build_step`.
        batch: Input of the model.
        device: Where the model runs.
        repeats: See :func:`~bench.measure`.
        min_seconds: See :func:`~bench.measure`.
        say: Takes progress lines.

    Returns:
        Two rows a choice; the ratio is the second arm's time over the row's, so above 1 is faster.
    """
    step = build_step(cfg, batch, device)
    choices = {**_attention(step), **_pixel_decoder(step), **_optimiser(cfg, step), **_momentum(step)}
    rows = []
    for choice, arms in choices.items():
        say(f'  {choice}')
        times = measure(arms, repeats, device, min_seconds)
        other = list(times)[-1]
        rows += [
            Row(
                'choices',
                f'{choice}: {name}',
                len(batch['mask']),
                seconds,
                times[other] / seconds,
                f'x of {other}',
            )
            for name, seconds in times.items()
        ]
    return rows


def _attention(step: TrainingStep) -> dict[str, Arms]:
    """Fused and explicit attention in the backbone: visible tokens with gradients, all without."""
    backbone = step.model.backbone
    patches, split, _ = step.prepare()

    def encode(whole: bool) -> tuple[torch.Tensor, ...]:
        with step.optim.optim_context(step.model):
            return (backbone.encode(patches, None if whole else split),)

    def arm(fused: bool, function: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            with attention_kernel(backbone, fused):
                function()

        return run

    train = step.backward_of(lambda: encode(whole=False))
    look = torch.no_grad()(lambda: encode(whole=True))
    return {
        'attention, visible tokens, forward + backward': {
            'fused': arm(True, train),
            'explicit': arm(False, train),
        },
        'attention, all tokens, forward': {'fused': arm(True, look), 'explicit': arm(False, look)},
    }


def _pixel_decoder(step: TrainingStep) -> dict[str, Arms]:
    """Predicting the masked patches only, and all of them."""
    model = step.model
    patches, split, _ = step.prepare()
    with torch.no_grad(), step.optim.optim_context(model):
        latent = model.backbone.encode(patches, split)

    def decode(everything: bool) -> tuple[torch.Tensor, ...]:
        with step.optim.optim_context(model):
            leaf = latent.detach().requires_grad_()
            return (model.pixel_decoder(leaf, split, model.mask_token, all_patches=everything),)

    return {
        'pixel decoder, forward + backward': {
            'masked patches only': step.backward_of(lambda: decode(False)),
            'all patches': step.backward_of(lambda: decode(True)),
        }
    }


def _optimiser(cfg: Config, step: TrainingStep) -> dict[str, Arms]:
    """The optimiser's fused kernel and torch's default, over the same parameters and gradients."""
    kind = getattr(torch.optim, cfg.optim_wrapper.optimizer.type, None)
    if kind not in (torch.optim.Adam, torch.optim.AdamW):
        return {}
    arms: Arms = {}
    for name, fused in {'fused': True, 'default': None}.items():
        groups = [dict(group) for group in step.optim.param_groups]
        for group in groups:
            group.update(fused=fused, foreach=None)
        arms[name] = step.with_gradients(kind(groups).step)  # at a learning rate of 0
    return {f'{kind.__name__} update': arms}


def _momentum(step: TrainingStep) -> dict[str, Arms]:
    """One call for all pairs of parameters, and one for each; FSFM only."""
    if not hasattr(step.model, 'target'):
        return {}
    model = step.model
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
