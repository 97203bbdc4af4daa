"""The anti-spoofing head against loops over its formula."""

import math

import pytest
import torch
from mmpretrain.registry import MODELS

from fsfm_mm.models.heads.antispoof import root_norm


def build(**options):
    config = dict(type='AntiSpoofHead', in_channels=6, hidden_dim=5, **options)
    head = MODELS.build(config).double().eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def embedded(head, x):
    """ReLU of the linear layer, value by value."""
    weight, bias = head.bottleneck.weight.tolist(), head.bottleneck.bias.tolist()
    return [max(0.0, sum(w * v for w, v in zip(row, x)) + b) for row, b in zip(weight, bias)]


def logits_of(head, embedding):
    logits = []
    for row in head.fc.weight.tolist():
        length = math.sqrt(sum(w * w for w in row))
        logits.append(sum(w / length * v for w, v in zip(row, embedding)))
    return logits


def test_feature_axis_against_loops():
    head = build()
    x = torch.randn(4, 6, dtype=torch.float64)
    expected = []
    for row in x.tolist():
        h = embedded(head, row)
        norm = math.sqrt(sum(v * v for v in h))
        expected.append(logits_of(head, [v / math.sqrt(2 * norm) for v in h]))
    torch.testing.assert_close(head((x,)), torch.tensor(expected, dtype=torch.float64))


def test_token_axis_against_loops():
    """The published slip: every feature over the tokens of the image, then the class token."""
    head = build(norm_axis='token')
    x = torch.randn(3, 7, 6, dtype=torch.float64)
    expected = []
    for tokens in x.tolist():
        rows = [embedded(head, token) for token in tokens]
        norms = [math.sqrt(sum(row[j] ** 2 for row in rows)) for j in range(5)]
        first = [v / math.sqrt(2 * norm) if norm else 0.0 for v, norm in zip(rows[0], norms)]
        expected.append(logits_of(head, first))
    torch.testing.assert_close(head((x,)), torch.tensor(expected, dtype=torch.float64))


def test_length_is_the_root_of_half_the_norm():
    x = torch.randn(5, 8, dtype=torch.float64)
    lengths = root_norm(x, dim=1).norm(dim=1)
    torch.testing.assert_close(lengths, (x.norm(dim=1) / 2).sqrt())


def test_only_the_direction_of_a_class_counts():
    head = build()
    x = torch.randn(4, 6, dtype=torch.float64)
    before = head((x,))
    with torch.no_grad():
        head.fc.weight *= torch.tensor([[3.0], [0.2]])
    torch.testing.assert_close(head((x,)), before)


def test_a_dead_embedding_is_zero_with_finite_gradients():
    head = build()
    with torch.no_grad():
        head.bottleneck.bias.fill_(-100.0)
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
        'bottleneck.weight': (512, 768),
        'bottleneck.bias': (512,),
        'fc.weight': (2, 512),
    }
    assert head.bottleneck.weight.std().item() == pytest.approx(0.005, rel=0.02)
    assert (head.bottleneck.bias == 0.1).all()


def test_dropout_comes_before_the_norm():
    """Survivors are doubled, so a row's length depends on what was dropped; evaluation drops nothing."""
    head = MODELS.build(dict(type='AntiSpoofHead', in_channels=6, hidden_dim=4000))
    x = torch.randn(1, 6)
    kept = head.pre_logits((x,))
    dropped = (kept == 0).float().mean().item()
    assert dropped == pytest.approx(0.5, abs=0.05)
    hidden = torch.relu(head.bottleneck(x)) * 2 * (kept != 0)
    torch.testing.assert_close(kept, hidden / (2 * hidden.norm()).sqrt())
    head.eval()
    assert (head.pre_logits((x,)) != 0).float().mean() > 0.9


@pytest.mark.parametrize(
    ('norm_axis', 'shape', 'message'),
    [
        ('feature', (2, 7, 6), r'needs pooled features \(N, D\), found a shape of \(2, 7, 6\)'),
        ('token', (2, 6), r"needs tokens \(N, 1 \+ L, D\), out_type='raw', found a shape of \(2, 6\)"),
    ],
)
def test_wrong_rank(norm_axis, shape, message):
    with pytest.raises(ValueError, match=message):
        build(norm_axis=norm_axis)((torch.zeros(shape, dtype=torch.float64),))


def test_unknown_axis():
    with pytest.raises(ValueError, match=r"norm_axis must be one of .* found 'batch'"):
        build(norm_axis='batch')
