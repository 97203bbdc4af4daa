"""The anti-spoofing heads: golden values, and loops over their formulas in both forms."""

import math

import pytest
import torch
from golden_classifiers import UNUSED, build, load, our_name, samples
from mmpretrain.registry import MODELS

from fsfm_mm.engine.fsdp import shard
from fsfm_mm.models.heads.antispoof import root_norm

CLOSE = dict(rtol=1e-5, atol=1e-5)
KINDS = {
    'fas_full.npz': (dict(out_type='pooled_tokens'), 'AntiSpoofHead'),
    'fas_adapter.npz': (dict(out_type='avg_featmap'), 'AntiSpoofAdapterHead'),
}


@pytest.fixture(params=list(KINDS))
def golden(request):
    """Values, state dict, and our model of the published kind with these weights."""
    values, state, meta = load(request.param)
    backbone, head = KINDS[request.param]
    backbone = dict(trainable_positions=True, **backbone)
    model = build(meta, dict(type=head, hidden_dim=meta['hidden'], dropout=meta['dropout']), **backbone)
    model.load_state_dict(state, strict=True)
    return values, meta, model


def test_golden_outputs(golden):
    """What the ViT hands on, the embedding, logits and projection."""
    values, _, model = golden
    feats = model.extract_feat(values['in/img'])
    torch.testing.assert_close(feats[-1], values['out/backbone'], **CLOSE)
    inputs = feats[-1]
    if 'out/projection' in values:
        bottleneck, _ = model.head.adapter(inputs)
        torch.testing.assert_close(model.head.project(bottleneck), values['out/projection'], **CLOSE)
        inputs = model.head.pre_logits(feats)
    torch.testing.assert_close(model.head.spoof.embed(inputs), values['out/embedding'], **CLOSE)
    logits = model.head(feats)
    torch.testing.assert_close(logits, values['out/logits'], **CLOSE)
    torch.testing.assert_close(logits.softmax(1)[:, 1], values['out/prob_real'], **CLOSE)


def test_golden_adam_steps(golden):
    """Losses, every gradient's norm, and the head after two of the reference's own steps, each of which projects."""
    values, meta, model = golden
    model.train()
    adam = torch.optim.Adam(model.parameters(), lr=meta['lr'], weight_decay=meta['weight_decay'])
    norms = {our_name(key.removeprefix('gradnorm/')): v for key, v in values.items() if key[:4] == 'grad'}
    for step in range(2):
        adam.zero_grad()
        loss = model.head(model.extract_feat(values['in/img']))
        loss = torch.nn.functional.cross_entropy(loss, values['in/label'])
        torch.testing.assert_close(loss, values[f'out/loss_step{step}'], **CLOSE)
        loss.backward()
        if step == 0:
            found = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
            assert found.keys() == norms.keys()
            for name, norm in norms.items():
                torch.testing.assert_close(found[name], norm, **CLOSE, msg=lambda m, n=name: f'{n}: {m}')
        adam.step()
    model.train()  # the file was written after one more forward, which had projected the weight
    logits = model.head(model.extract_feat(values['in/img']))
    torch.testing.assert_close(logits, values['after_2_steps/logits'], **CLOSE)
    after = dict(model.named_parameters())
    stored = {
        k.removeprefix('after_2_steps/sd/'): v for k, v in values.items() if k.startswith('after_2_steps/sd')
    }
    used = {name: value for name, value in stored.items() if not name.startswith(UNUSED)}
    assert len(used) == 4
    for name, value in used.items():
        torch.testing.assert_close(after[our_name(name)].detach(), value, **CLOSE)


def test_evaluation_reads_the_scaled_weight_and_leaves_it(golden):
    """A run that validates trains as one that does not: scaling twice moves the last digit."""
    values, _, model = golden
    before = model.head.spoof.fc.weight.clone()
    feats = model.extract_feat(values['in/img'])
    evaluated = model.head(feats)
    assert torch.equal(model.head.spoof.fc.weight, before)
    model.head.train()
    torch.testing.assert_close(model.head(feats), evaluated, rtol=0, atol=0)
    lengths = model.head.spoof.fc.weight.norm(dim=0)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_losses_of_the_adapter_head():
    values, state, meta = load('fas_adapter.npz')
    head = dict(
        type='AntiSpoofAdapterHead',
        dropout=0.0,
        contrast=dict(type='RealAnchorContrastiveLoss', loss_weight=0.5),
    )
    model = build(meta, head, out_type='avg_featmap', frozen_stages=meta['depth'])
    model.load_state_dict(state, strict=True)
    found = model.train().loss(values['in/img'], samples(values['in/label']))
    torch.testing.assert_close(found['loss'], values['out/loss_step0'], **CLOSE)
    assert found['loss_real_anchor'] > 0
    sum(found.values()).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in model.named_parameters() if name.startswith('head.')}


def repaired(**options):
    config = dict(type='AntiSpoofHead', in_channels=6, hidden_dim=5, form='repaired', **options)
    head = MODELS.build(config).double().eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def test_repaired_form_against_loops():
    head = repaired()
    x = torch.randn(4, 6, dtype=torch.float64)
    weight, bias = head.spoof.bottleneck.weight.tolist(), head.spoof.bottleneck.bias.tolist()
    expected = []
    for row in x.tolist():
        h = [max(0.0, sum(w * v for w, v in zip(ws, row)) + b) for ws, b in zip(weight, bias)]
        norm = math.sqrt(sum(v * v for v in h))
        logits = []
        for direction in head.spoof.fc.weight.tolist():
            length = math.sqrt(sum(w * w for w in direction))
            logits.append(sum(w / length * v / math.sqrt(2 * norm) for w, v in zip(direction, h)))
        expected.append(logits)
    torch.testing.assert_close(head((x,)), torch.tensor(expected, dtype=torch.float64))


def test_length_is_the_root_of_half_the_norm():
    x = torch.randn(5, 8, dtype=torch.float64)
    lengths = root_norm(x, dim=1).norm(dim=1)
    torch.testing.assert_close(lengths, (x.norm(dim=1) / 2).sqrt())


def test_only_the_direction_of_a_class_counts_in_the_repaired_form():
    head = repaired()
    x = torch.randn(4, 6, dtype=torch.float64)
    before = head((x,))
    with torch.no_grad():
        head.spoof.fc.weight *= torch.tensor([[3.0], [0.2]])
    torch.testing.assert_close(head((x,)), before)


@pytest.mark.parametrize('form', ['published', 'repaired'])
def test_a_dead_embedding_has_finite_gradients(form):
    head = MODELS.build(dict(type='AntiSpoofHead', in_channels=6, hidden_dim=5, form=form)).double()
    with torch.no_grad():
        head.spoof.bottleneck.bias.fill_(-100.0)
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    logits = head((x,))
    assert not logits.any()
    logits.sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_start_and_names():
    head = MODELS.build(dict(type='AntiSpoofHead', in_channels=768))
    head.init_weights()
    assert {name: tuple(p.shape) for name, p in head.named_parameters()} == {
        'spoof.bottleneck.weight': (512, 768),
        'spoof.bottleneck.bias': (512,),
        'spoof.fc.weight': (2, 512),
        'spoof.fc.bias': (2,),
    }
    assert head.spoof.bottleneck.weight.std().item() == pytest.approx(0.005, rel=0.02)
    assert (head.spoof.bottleneck.bias == 0.1).all()
    assert not head.spoof.fc.bias.any()


def test_dropout_comes_before_the_norm():
    """Survivors are doubled, so a row's length depends on what was dropped; evaluation drops nothing."""
    head = MODELS.build(dict(type='AntiSpoofHead', in_channels=6, hidden_dim=4000))
    x = torch.randn(1, 6)
    kept = head.pre_logits((x,))
    dropped = (kept == 0).float().mean().item()
    assert dropped == pytest.approx(0.5, abs=0.05)
    hidden = torch.relu(head.spoof.bottleneck(x)) * 2 * (kept != 0)
    torch.testing.assert_close(kept, hidden / (2 * hidden.norm()).sqrt())
    head.eval()
    assert (head.pre_logits((x,)) != 0).float().mean() > 0.9


@pytest.mark.parametrize(
    ('form', 'shape', 'message'),
    [
        ('repaired', (2, 7, 6), r'repaired form takes pooled features \(N, D\), found \(2, 7, 6\)'),
        (
            'published',
            (2, 7, 3, 6),
            r'pooled features \(N, D\) or tokens \(N, 1 \+ L, D\), found \(2, 7, 3, 6\)',
        ),
    ],
)
def test_wrong_rank(form, shape, message):
    head = MODELS.build(dict(type='AntiSpoofHead', in_channels=6, form=form))
    with pytest.raises(ValueError, match=message):
        head((torch.zeros(shape),))


def test_unknown_form():
    with pytest.raises(ValueError, match=r"form must be one of .* found 'token'"):
        MODELS.build(dict(type='AntiSpoofHead', in_channels=6, form='token'))


def test_sharding_refuses_what_overwrites_its_weights():
    for form, refused in (('published', True), ('repaired', False)):
        head = MODELS.build(dict(type='AntiSpoofHead', in_channels=6, form=form))
        assert head.spoof.writes_its_weights is refused
    model = torch.nn.Module()
    model.head = MODELS.build(dict(type='AntiSpoofHead', in_channels=6))
    with pytest.raises(ValueError, match=r'model\.head\.spoof \(SpoofClassifier\) overwrites its weights'):
        shard(model)
