"""Every loss against a computation written out in loops."""

import math

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS

from fsfm_mm.models import losses
from fsfm_mm.models.losses.reconstruction import patch_errors, patch_targets, weighted_mean

TEMPERATURE = 0.1


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def loop_simsiam(q, z):
    return -0.5 * sum(cosine(a, b) for a, b in zip(q, z)) / len(q)


def loop_byol(q, z):
    return sum(2 - 2 * cosine(a, b) for a, b in zip(q, z)) / len(q)


def loop_contrast(q, z, temperature=TEMPERATURE):
    total = 0.0
    for i, a in enumerate(q):
        logits = [cosine(a, b) / temperature for b in z]
        total -= math.log(math.exp(logits[i]) / sum(math.exp(x) for x in logits))
    return 2 * temperature * total / len(q)


def loop_simclr(q, z, temperature=TEMPERATURE):
    views, n = [*q, *z], len(q)
    total = 0.0
    for i, a in enumerate(views):
        others = {j: math.exp(cosine(a, b) / temperature) for j, b in enumerate(views) if j != i}
        total -= math.log(others[(i + n) % (2 * n)] / sum(others.values()))
    return total / len(views)


LOSSES = {
    'SimSiamLoss': loop_simsiam,
    'BYOLLoss': loop_byol,
    'InfoNCELoss': loop_contrast,
    'MoCoV3SimilarityLoss': loop_contrast,
    'SimCLRLoss': loop_simclr,
}
WITH_TEMPERATURE = ['InfoNCELoss', 'MoCoV3SimilarityLoss', 'SimCLRLoss']


def pair(dtype=torch.float64, n=5, d=7):
    return torch.randn(n, d, dtype=torch.float64).to(dtype), torch.randn(n, d, dtype=torch.float64).to(dtype)


def build(name, **options):
    return MODELS.build(dict(type=name, **options))


def test_every_similarity_loss_has_its_loop():
    kinds = {name: getattr(losses, name) for name in losses.__all__}
    assert {name for name, kind in kinds.items() if issubclass(kind, losses.SimilarityLoss)} == {
        'SimilarityLoss',
        *LOSSES,
    }


@pytest.mark.parametrize('name', LOSSES)
def test_similarity_loss_is_the_loop(name):
    q, z = pair()
    expected = LOSSES[name](q.tolist(), z.tolist())
    assert build(name, loss_weight=1.0)(q, z).item() == pytest.approx(expected, rel=1e-12)
    assert build(name)(q, z).item() == pytest.approx(0.1 * expected, rel=1e-12)
    assert build(name, loss_weight=0.3)(3 * q, 5 * z).item() == pytest.approx(0.3 * expected, rel=1e-12)


@pytest.mark.parametrize('name', WITH_TEMPERATURE)
def test_temperature_option(name):
    q, z = pair()
    expected = LOSSES[name](q.tolist(), z.tolist(), 0.7)
    assert build(name, loss_weight=1.0, temperature=0.7)(q, z).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('name', LOSSES)
def test_gradient_reaches_the_prediction_only(name):
    q, z = pair()
    q.requires_grad_()
    z.requires_grad_()
    loss = build(name, loss_weight=1.0)
    loss(q, z).backward()
    assert z.grad is None
    numeric = torch.zeros_like(q)
    with torch.no_grad():
        for index in np.ndindex(*q.shape):
            step = torch.zeros_like(q)
            step[index] = 1e-6
            numeric[index] = (loss(q + step, z) - loss(q - step, z)) / 2e-6
    torch.testing.assert_close(q.grad, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('name', LOSSES)
def test_bf16_inputs_are_compared_in_float32(name):
    q, z = pair(torch.bfloat16)
    expected = LOSSES[name](q.double().tolist(), z.double().tolist())
    with torch.autocast('cpu', torch.bfloat16):
        found = build(name, loss_weight=1.0)(q, z)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('name', LOSSES)
def test_zero_vectors_give_a_number(name):
    q, z = pair()
    q[0] = z[1] = 0
    q.requires_grad_()
    loss = build(name)(q, z)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(q.grad).all()


def test_patch_targets_use_the_unbiased_variance():
    patches = torch.randn(2, 3, 12, dtype=torch.float64) * 3 + 1
    found = patch_targets(patches)
    for row in range(2):
        for m in range(3):
            values = patches[row, m].tolist()
            mean = sum(values) / 12
            var = sum((v - mean) ** 2 for v in values) / 11
            expected = [(v - mean) / math.sqrt(var + 1e-6) for v in values]
            np.testing.assert_allclose(found[row, m].numpy(), expected, rtol=1e-12)
    assert torch.equal(patch_targets(patches, norm_pix=False), patches)


def test_patch_targets_of_a_flat_patch_are_zero():
    assert torch.equal(patch_targets(torch.full((1, 1, 12), 0.25)), torch.zeros(1, 1, 12))


def test_patch_targets_are_float32_for_half_precision_pixels():
    patches = torch.randn(2, 3, 12).bfloat16()
    assert torch.equal(patch_targets(patches), patch_targets(patches.float()))
    assert patch_targets(patches, norm_pix=False).dtype == torch.float32


def test_patch_errors_are_means_of_squares():
    pred, targets = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    found = patch_errors(pred, targets)
    for row in range(2):
        for m in range(3):
            expected = sum((pred[row, m, i] - targets[row, m, i]) ** 2 for i in range(4)) / 4
            assert found[row, m].item() == pytest.approx(expected.item(), rel=1e-12)
    half = patch_errors(pred.bfloat16(), targets.float())
    assert torch.equal(half, (pred.bfloat16().float() - targets.float()).square().mean(-1))


@pytest.mark.parametrize('as_float', [False, True])
def test_weighted_mean_counts_patches_of_the_batch(as_float):
    errors = torch.rand(3, 6, dtype=torch.float64)
    weights = torch.zeros(3, 6, dtype=torch.bool)
    weights[0, :5] = weights[2, 3] = True  # rows count by their patches, not one each
    chosen = [errors[i, j].item() for i in range(3) for j in range(6) if weights[i, j]]
    found = weighted_mean(errors, weights.double() if as_float else weights)
    assert found.item() == pytest.approx(sum(chosen) / len(chosen), rel=1e-12)


def test_weighted_mean_of_nothing_is_zero_with_zero_gradient():
    errors = torch.rand(2, 4, requires_grad=True)
    loss = weighted_mean(errors, torch.zeros(2, 4, dtype=torch.bool))
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(errors.grad, torch.zeros(2, 4))


def test_reconstruction_losses_and_their_weights():
    errors = torch.rand(2, 4, dtype=torch.float64)
    region = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0]]).bool()
    mean = errors.sum().item() / 8
    region_mean = (errors[0, 0] + errors[0, 3] + errors[1, 1]).item() / 3
    assert build('MaskedReconstructionLoss')(errors).item() == pytest.approx(mean, rel=1e-12)
    weighted = build('MaskedReconstructionLoss', loss_weight=2.5)(errors)
    assert weighted.item() == pytest.approx(2.5 * mean, rel=1e-12)
    default = build('RegionReconstructionLoss')(errors, region)
    assert default.item() == pytest.approx(0.007 * region_mean, rel=1e-12)
    weighted = build('RegionReconstructionLoss', loss_weight=2.5)(errors, region)
    assert weighted.item() == pytest.approx(2.5 * region_mean, rel=1e-12)
    assert build('RegionReconstructionLoss')(errors, torch.zeros_like(region)).item() == 0.0
