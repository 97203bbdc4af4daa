"""FS-Adapter: golden values, the contrastive loss against loops, what is trained and what is frozen."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from golden_classifiers import build, load, samples
from mmpretrain.registry import MODELS
from timm.loss import SoftTargetCrossEntropy

from fsfm_mm.models.losses.real_anchor import real_anchor_contrastive

CLOSE = dict(rtol=1e-5, atol=1e-5)
TIGHT = dict(rtol=1e-10, atol=1e-12)


def adapter_model(meta, **backbone):
    backbone = dict(out_type='avg_featmap', frozen_stages=meta['depth'], **backbone)
    return build(meta, dict(type='AdapterHead'), **backbone)


@pytest.fixture(scope='module')
def golden():
    return load('fs_adapter.npz')


def loss_by_loops(z, labels, real, temperature):
    """The formula as written, one term at a time."""
    count, total = len(z), 0.0
    z = z.tolist()
    for i in range(count):
        if labels[i] != real:
            continue
        row = [sum(a * b for a, b in zip(z[i], z[k])) / temperature for k in range(count)]
        top = max(row)
        below = sum(math.exp(row[k] - top) for k in range(count) if k != i) + 1e-6
        partners = [p for p in range(count) if p != i and labels[p] == real]
        if partners:
            total += sum(row[p] - top - math.log(below) for p in partners) / len(partners)
    return -total / count


def test_golden_outputs(golden):
    values, state, meta = golden
    model = adapter_model(meta)
    model.load_state_dict(state, strict=True)
    feats = model.extract_feat(values['in/img'])
    torch.testing.assert_close(feats[-1], values['out/pooled'], **CLOSE)
    torch.testing.assert_close(model.head(feats), values['out/logits'], **CLOSE)
    bottleneck, _ = model.head.adapter(feats[-1])
    torch.testing.assert_close(model.head.project(bottleneck), values['out/proj'], **CLOSE)


@pytest.mark.parametrize('real', [0, 1])
def test_golden_contrastive_loss(golden, real):
    values, _, meta = golden
    loss = real_anchor_contrastive(values['out/proj'], values['in/labels'], real, meta['temperature'])
    torch.testing.assert_close(loss, values[f'out/real_anchor_loss_real_is_{real}'], **TIGHT)


def test_golden_constant_without_a_real(golden):
    values, _, _ = golden
    fakes = torch.zeros_like(values['in/labels'])
    assert real_anchor_contrastive(values['out/proj'], fakes, 1) == values['out/real_anchor_loss_no_real']


@pytest.mark.parametrize('temperature', [0.07, 0.5])
@pytest.mark.parametrize(
    'labels', [[1, 0, 1, 0, 1], [1, 1, 1], [0, 1, 0, 0], [1], [2, 1, 0, 1, 2, 1]], ids=str
)
def test_contrastive_loss_against_loops(labels, temperature):
    z = F.normalize(torch.randn(len(labels), 6, dtype=torch.float64), dim=1)
    loss = real_anchor_contrastive(z, torch.tensor(labels), 1, temperature)
    assert loss.item() == pytest.approx(loss_by_loops(z, labels, 1, temperature), rel=1e-10, abs=1e-12)


def test_parts_of_a_batch_are_compared_by_themselves():
    """One process with ``group_size`` computes the mean of what as many GPUs would."""
    z = F.normalize(torch.randn(10, 6, dtype=torch.float64), dim=1)
    labels = torch.tensor([1, 0, 1, 1, 0, 0, 1, 1, 0, 1])
    loss = MODELS.build(dict(type='RealAnchorContrastiveLoss', loss_weight=1.0, group_size=5))
    parts = [loss_by_loops(z[i : i + 5], labels[i : i + 5].tolist(), 1, 0.07) for i in (0, 5)]
    assert loss(z, labels, 1).item() == pytest.approx(sum(parts) / 2, rel=1e-10)
    assert loss(z, labels, 1) != real_anchor_contrastive(z, labels, 1)
    with pytest.raises(ValueError, match='group_size must be a positive number'):
        MODELS.build(dict(type='RealAnchorContrastiveLoss', group_size=0))


def test_drop_path_may_stay_active_in_a_frozen_backbone(golden):
    """FS-Adapter's published training: the features of a picture differ from one forward to the next."""
    values, state, meta = golden
    for active in (True, False):
        model = adapter_model(meta, drop_path_rate=0.5, frozen_drop_path=active)
        model.load_state_dict(state, strict=True)
        model.train()
        images = values['in/img'].repeat(4, 1, 1, 1)
        equal = torch.equal(model.extract_feat(images)[-1], model.extract_feat(images)[-1])
        assert equal is not active
        assert not any(p.requires_grad for p in model.backbone.parameters())
        model.eval()
        assert torch.equal(model.extract_feat(images)[-1], model.extract_feat(images)[-1])


def test_opposite_projections_show_the_epsilon():
    """Far from all others, the 1e-6 is most of the denominator: it must not be left out."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    loss = real_anchor_contrastive(z, torch.tensor([1, 1]), 1)
    assert loss.item() == pytest.approx(2 / 0.07 + math.log(math.exp(-2 / 0.07) + 1e-6), rel=1e-10)


def test_without_a_real_gradients_are_zero_but_there():
    z = F.normalize(torch.randn(4, 6), dim=1).requires_grad_()
    real_anchor_contrastive(z, torch.zeros(4, dtype=torch.long), 1).backward()
    assert z.grad is not None and not z.grad.any()


def test_half_precision_is_computed_in_float32():
    z = F.normalize(torch.randn(6, 8), dim=1)
    labels = torch.tensor([1, 0, 1, 0, 1, 1])
    with torch.autocast('cpu', torch.bfloat16):
        loss = MODELS.build(dict(type='RealAnchorContrastiveLoss', loss_weight=2.0))(z, labels, 1)
    torch.testing.assert_close(loss, 2 * real_anchor_contrastive(z, labels, 1), rtol=0, atol=0)


def test_loss_mixes_soft_targets_and_hard_labels(golden):
    """Cross entropy sees the mixed targets, the contrast the samples' own labels."""
    values, state, meta = golden
    model = adapter_model(meta)
    model.load_state_dict(state)
    model.head.loss_module = MODELS.build(dict(type='LabelSmoothLoss', label_smooth_val=0.1))
    labels = values['in/labels']
    hard = F.one_hot(labels, 2).double()
    scores = 0.3 * hard + 0.7 * hard.roll(3, 0)
    losses = model.head.loss((values['out/pooled'],), samples(labels, scores))
    smooth = 0.9 * scores + 0.05
    expected = SoftTargetCrossEntropy()(values['out/logits'], smooth)
    torch.testing.assert_close(losses['loss'], expected, **CLOSE)
    contrast = 0.1 * values['out/real_anchor_loss_real_is_1']
    torch.testing.assert_close(losses['loss_real_anchor'], contrast, **CLOSE)
    assert set(losses) == {'loss', 'loss_real_anchor'}


def test_one_step_trains_the_head_and_nothing_else(golden):
    values, _, meta = golden
    model = adapter_model(meta, drop_path_rate=0.9)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    before = copy.deepcopy(model.state_dict())
    evaluated = model.extract_feat(values['in/img'])[-1]
    model.train()
    working = [m for m in model.backbone.modules() if not isinstance(m, torch.nn.ModuleList)]
    assert not any(module.training for module in working if module is not model.backbone)
    torch.testing.assert_close(model.extract_feat(values['in/img'])[-1], evaluated, rtol=0, atol=0)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    losses = model.loss(values['in/img'], samples(values['in/labels']))
    sum(losses.values()).backward()
    assert all(p.grad.any() for p in trained)
    assert all(p.grad is None for p in model.backbone.parameters())
    optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith('backbone.'), name


@pytest.mark.parametrize(('width', 'count'), [(384, 84_578), (768, 335_042), (1024, 594_178)])
def test_published_number_of_parameters(width, count):
    head = MODELS.build(dict(type='AdapterHead', num_classes=2, in_channels=width))
    assert sum(p.numel() for p in head.parameters()) == count
    assert {name for name, _ in head.named_parameters()} == {
        'adapter.down.weight',
        'adapter.up.weight',
        'projector.weight',
        'projector.bias',
        'fc.weight',
        'fc.bias',
    }


def test_start_of_the_head():
    head = MODELS.build(dict(type='AdapterHead', num_classes=2, in_channels=768))
    head.init_weights()
    assert head.fc.weight.std().item() == pytest.approx(2e-5, rel=0.1)
    assert not head.fc.bias.any()
    assert head.adapter.down.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 768), rel=0.05)


def test_swapped_classes_are_refused():
    head = MODELS.build(dict(type='AdapterHead', num_classes=2, in_channels=8))
    feats = (torch.randn(2, 8),)
    with pytest.raises(ValueError, match=r"real_label=1, but the samples are labelled .*'real': 0"):
        head.loss(feats, samples([0, 1], names=['real', 'fake']))
    with pytest.raises(ValueError, match=r"labelled {'fake': 1}"):
        head.loss(feats, samples([1, 1], names=['fake', 'fake']))
    head.loss(feats, samples([1, 0], names=['real', 'fake']))
    MODELS.build(dict(type='AdapterHead', num_classes=2, in_channels=8, real_label=0)).loss(
        feats, samples([0, 1], names=['real', 'fake'])
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(in_channels=10), 'in_channels=10 is not a multiple of reduction=4'),
        (dict(in_channels=8, real_label=2), 'real_label must be in 0..1, found 2'),
        (
            dict(in_channels=8, contrast=dict(type='RealAnchorContrastiveLoss', temperature=0.0)),
            'temperature must be positive',
        ),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='AdapterHead', num_classes=2, **options))
