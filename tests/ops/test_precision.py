"""Which precision and which attention kernel a device gets."""

import pytest
import torch

from fsfm_mm.ops import precision
from fsfm_mm.ops.precision import has_bf16, prefers_fused_attention, resolve_dtype


@pytest.fixture
def cpu_flags(monkeypatch):
    def pretend(*flags):
        monkeypatch.setattr(precision, '_cpu_flags', lambda: frozenset(flags))

    return pretend


@pytest.mark.parametrize(
    'flags, expected',
    [
        ((), False),
        (('avx2', 'avx512f', 'avx512_vnni'), False),
        (('avx512f', 'avx512_bf16'), True),
        (('amx_tile', 'amx_bf16'), True),
        (('asimd', 'bf16'), True),
        (('avx512_bf16x',), False),
    ],
)
def test_bf16_of_a_cpu_follows_its_flags(cpu_flags, flags, expected):
    cpu_flags(*flags)
    assert has_bf16('cpu') is expected
    assert has_bf16(torch.device('cpu')) is expected
    assert resolve_dtype('auto', 'cpu') == (torch.bfloat16 if expected else torch.float32)


@pytest.mark.parametrize('supported', [True, False])
def test_bf16_of_a_gpu_is_asked_without_emulation(monkeypatch, supported):
    asked = []

    def is_supported(including_emulation=True):
        asked.append(including_emulation)
        return supported

    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', is_supported)
    assert has_bf16('cuda:0') is supported
    assert resolve_dtype('auto', 'cuda') == (torch.bfloat16 if supported else torch.float32)
    assert asked == [False, False]


def test_other_devices_have_no_bf16(cpu_flags):
    cpu_flags('avx512_bf16')
    assert has_bf16('meta') is False


@pytest.mark.parametrize(
    'text, expected',
    [
        ('processor\t: 0\nflags\t\t: fpu avx512_bf16\nvmx flags\t: vnmi\n', {'fpu', 'avx512_bf16'}),
        ('processor\t: 0\nFeatures\t: fp bf16\nprocessor\t: 1\nFeatures\t: fp\n', {'fp', 'bf16'}),
        ('processor\t: 0\n', set()),
        (None, set()),
    ],
)
def test_flags_of_cpuinfo(monkeypatch, tmp_path, text, expected):
    file = tmp_path / 'cpuinfo'
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(precision, 'Path', lambda _: file)
    assert precision._cpu_flags.__wrapped__() == expected


@pytest.mark.parametrize('has', [True, False])
@pytest.mark.parametrize('name', ['bfloat16', 'float16', 'float32'])
def test_a_named_dtype_is_obeyed(cpu_flags, has, name):
    cpu_flags(*(['avx512_bf16'] if has else []))
    assert resolve_dtype(name, 'cpu') == getattr(torch, name)


def test_unknown_dtype_is_refused():
    expected = "dtype must be 'auto', 'bfloat16', 'float16', 'float32', found 'fp16'"
    with pytest.raises(ValueError, match=expected):
        resolve_dtype('fp16', 'cpu')


@pytest.mark.parametrize(
    'device, dtype, expected',
    [
        ('cpu', torch.float32, True),
        ('cpu', torch.float64, True),
        ('cpu', torch.bfloat16, False),
        ('cpu', torch.float16, False),
        ('cuda', torch.float32, True),
        ('cuda', torch.bfloat16, True),
        ('cuda', torch.float16, True),
    ],
)
def test_fused_attention_everywhere_but_in_half_precision_on_cpu(device, dtype, expected):
    assert prefers_fused_attention(device, dtype) is expected
