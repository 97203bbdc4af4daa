"""The training step against the plain implementation: whole, by part, and the updates."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.comparison import Comparison
from bench.pair import Arms, Pair
from bench.step import matmul, step_flops
from bench.timing import measure
from plain import PlainFSFM

STEP_TARGET, UPDATE_TARGET, PEAK_SHARE_TARGET = 1.05, 3.0, 80.0


def update_comparisons(
    pair: Pair, repeats: int, min_seconds: float, say: Callable[[str], None]
) -> list[Comparison]:
    """Optimiser and momentum; the first line is the one with a target."""
    arms = {(name, arm): f for name, both in pair.updates().items() for arm, f in both.items()}
    times = measure(arms, repeats, pair.ours.device, min_seconds, say)
    names = list(dict.fromkeys(name for name, _ in arms))
    return [
        Comparison(
            'updates',
            name,
            'ms',
            times[name, 'plain'] * 1e3,
            times[name, 'ours'] * 1e3,
            target,
            note=_threads(),
        )
        for name, target in zip(names, (UPDATE_TARGET, None, None))
    ]


def step_comparisons(
    pair: Pair, matmul_size: int, repeats: int, say: Callable[[str], None]
) -> list[Comparison]:
    """The whole step, and the share of the matmul peak measured between its timings."""
    device = pair.ours.device
    arms: Arms = {**pair.whole(), 'matmul': matmul(matmul_size, pair.dtype, device)}
    times = measure(arms, repeats, device, say=say)
    flops = step_flops(pair.ours) * pair.images
    peak = 2 * matmul_size**3 / times['matmul']
    speed = {arm: pair.images / times[arm] for arm in ('plain', 'ours')}
    kind = pair.precision
    note = f'batch {pair.images}, {_threads()}'
    return [
        Comparison(
            'step', f'whole step, {kind}', 'images/s', speed['plain'], speed['ours'], STEP_TARGET, note=note
        ),
        Comparison(
            'step',
            f'share of the matmul peak, {kind}',
            '%',
            None,
            100 * flops / times['ours'] / peak,
            PEAK_SHARE_TARGET,
            note=f'{note}; peak {peak / 1e9:,.0f} GFLOP/s, {flops / pair.images / 1e9:.1f} GFLOP an image',
        ),
    ]


def part_comparisons(
    pair: Pair, repeats: int, min_seconds: float, say: Callable[[str], None]
) -> list[Comparison]:
    """Forward and backward pass of each part, on the same inputs."""
    arms = {(name, arm): f for name, both in _parts(pair).items() for arm, f in both.items()}
    times = measure(arms, repeats, pair.ours.device, min_seconds, say)
    note = f'{pair.precision}, batch {pair.images}, {_threads()}'
    return [
        Comparison('parts', name, 'ms', times[name, 'plain'] * 1e3, times[name, 'ours'] * 1e3, note=note)
        for name in dict.fromkeys(name for name, _ in arms)
    ]


def _parts(pair: Pair) -> dict[str, Arms]:
    """The parts whose plain form differs, as functions of each implementation."""
    ours, plain = pair.ours, pair.plain.model
    model, (patches, split, _) = ours.model, ours.prepare()
    images = pair.plain_batch['image'].to(ours.device)
    restore = torch.cat([split.visible, split.masked], dim=1).argsort(dim=1)
    context = lambda: torch.autocast(ours.device.type, pair.dtype, enabled=pair.dtype != torch.float32)  # noqa: E731
    with torch.no_grad(), context():
        latent = model.backbone.encode(patches, split).float()

    def trained(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            with context():
                output = function(latent.detach().requires_grad_())
            output.backward(torch.ones_like(output))
            ours.optim.zero_grad()
            pair.plain.optimizer.zero_grad()

        return run

    def looked(function: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            with torch.no_grad(), context():
                function()

        return run

    hidden = split.visible
    return {
        'embedding of visible patches (convolution + gather)': {
            'ours': looked(lambda: model.backbone.embed(patches, split)),
            'plain': looked(lambda: _plain_embedding(plain, images, hidden)),
        },
        'online encoder': {
            'ours': trained(lambda _: model.backbone.encode(patches, split)),
            'plain': trained(lambda _: plain.backbone(images, hidden)),
        },
        'pixel decoder: masked patches, no un-shuffle': {
            'ours': trained(lambda x: model.pixel_decoder(x, split, model.mask_token)),
            'plain': trained(lambda x: plain.pixel_decoder(x, plain.mask_token, restore)),
        },
        'rep decoder: mean before the last linear, no un-shuffle': {
            'ours': trained(lambda x: model.rep_decoder(x, split, model.mask_token)),
            'plain': trained(lambda x: plain.rep_decoder(x, plain.mask_token, restore)),
        },
        'target, forward': {
            'ours': looked(lambda: model.target(patches)),
            'plain': looked(lambda: plain.target(images)),
        },
    }


def _plain_embedding(plain: PlainFSFM, images: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    x = plain.backbone.patch_embed(images) + plain.backbone.pos_embed[:, 1:]
    return x.gather(1, ids.unsqueeze(-1).repeat(1, 1, x.shape[-1]))


def _threads() -> str:
    return f'{torch.get_num_threads()} thread{"s" if torch.get_num_threads() > 1 else ""}'
