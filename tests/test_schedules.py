"""Schedules against the reference's values, alone and through mmengine's scheduler."""

import json
from pathlib import Path

import pytest
import torch

from fsfm_mm.engine.optim import WarmupCosineLR
from fsfm_mm.schedules import cosine, momentum_cosine, warmup_cosine

GOLDEN = json.loads((Path(__file__).parent / 'data' / 'schedules.json').read_text())


@pytest.mark.parametrize('name', ['pretrain', 'finetune'])
def test_warmup_cosine_golden(name):
    case = GOLDEN[name]
    for i, expected in enumerate(case['values']):
        epoch = i / case['iters_per_epoch']
        found = warmup_cosine(epoch, case['epochs'], case['warmup_epochs'], case['lr'], case['min_lr'])
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize('name', ['pretrain', 'finetune'])
def test_scheduler_golden(name):
    """The registered scheduler, given epochs and converted to iterations, with layer-wise scales."""
    case = GOLDEN[name]
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    scales = (1.0, 0.3)
    groups = [dict(params=[w], lr=case['lr'] * s, lr_scale=s) for w, s in zip(weights, scales)]
    optimizer = torch.optim.AdamW(groups, lr=case['lr'])
    scheduler = WarmupCosineLR.build_iter_from_epoch(
        optimizer,
        warmup=case['warmup_epochs'],
        total=case['epochs'],
        final_lr=case['min_lr'],
        epoch_length=case['iters_per_epoch'],
    )
    for expected in case['values']:
        for group, scale in zip(optimizer.param_groups, scales):
            assert group['lr'] == pytest.approx(scale * expected, rel=1e-9, abs=1e-15)
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]['lr'] == pytest.approx(case['min_lr'], abs=1e-12)


def test_momentum_golden():
    case = GOLDEN['momentum']
    total = case['epochs'] * case['iters_per_epoch']
    for i, expected in enumerate(case['values']):
        assert momentum_cosine(i, total, case['base'], case['final']) == pytest.approx(expected, rel=1e-9)


def test_cosine_is_clamped():
    assert cosine(2.0, 1.0, -1.0) == 2.0
    assert cosine(2.0, 1.0, 5.0) == 1.0


@pytest.mark.parametrize('warmup', [-1, 10, 11])
def test_bad_warmup(warmup):
    with pytest.raises(ValueError, match='warm-up'):
        warmup_cosine(0, 10, warmup, 1.0)


def test_bad_momentum():
    with pytest.raises(ValueError, match='momentum'):
        momentum_cosine(0, 10, base=1.5)
    with pytest.raises(ValueError, match='at least one update'):
        momentum_cosine(0, 0)
