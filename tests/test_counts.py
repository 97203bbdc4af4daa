"""Counts of a training step that depend on no machine may not rise unnoticed: CI's guard of speed and memory.

After an intended change: ``python tests/test_counts.py`` writes the counts of the installed torch to
``tests/data/counts.json``.
"""

import json
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import fsfm_mm  # noqa: F401
from bench import build_step, count_operators, peak_bytes, saved_bytes, step_counts
from bench.memory import tensor_bytes
from fsfm_mm.datasets import dense_collate
from fsfm_mm.drawn import GeneratedFaces

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / 'tests' / 'data' / 'counts.json'
TORCH = '.'.join(torch.__version__.split('.')[:2])
#: Counts that follow from the model alone, whatever the version of torch.
OF_THE_MODEL = ('waits_on_device', 'mflop_per_image', 'batch_bytes_per_image')
#: Share by which a count may rise: torch's own scratch tensors may differ between processors.
SLACK = {'allocations': 0.02, 'kept_bytes_per_image': 0.01}


def tiny_step():
    """FSFM at the paper's structure and toy widths, float32, on a batch from a real pipeline."""
    cfg = Config.fromfile(ROOT / 'configs' / 'fsfm' / 'fsfm_vit-b_vggface2_400e.py')
    cfg.merge_from_dict(
        dict(
            model=dict(
                backbone=dict(img_size=64, patch_size=8),
                pixel_decoder=dict(embed_dim=32, depth=2, num_heads=2),
                rep_decoder=dict(depth=1, num_heads=2),
                projector=dict(hidden_dim=64, out_dim=16),
                predictor=dict(hidden_dim=64),
            ),
            optim_wrapper=dict(dtype='float32'),
        )
    )
    cfg.model.backbone.arch = dict(embed_dim=48, depth=2, num_heads=2)
    pipeline = [dict(type='BuildPatchLabels', patch_size=8), dict(type='PackFaces')]
    faces = GeneratedFaces(4, 64, mask=cfg.train_dataloader.dataset.mask, pipeline=pipeline)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return build_step(cfg, dense_collate(faces.__getitems__(range(4))), 'cpu')


def check(found, stored):
    """Fail for what rose, warn of what fell."""
    rose = {k: (stored[k], v) for k, v in found.items() if v > stored[k] * (1 + SLACK.get(k, 0))}
    assert not rose, (
        f'counts rose, as (stored, now): {rose}. Is it wanted? Then: python tests/test_counts.py, and say why.'
    )
    fell = {k: (stored[k], v) for k, v in found.items() if v < stored[k] * (1 - SLACK.get(k, 0))}
    if fell:
        warnings.warn(
            f'counts fell, as (stored, now): {fell}. Keep it: python tests/test_counts.py', stacklevel=2
        )


@pytest.fixture(scope='module')
def found():
    return step_counts(tiny_step())


def test_counts_of_the_model_have_not_risen(found):
    stored = json.loads(STORED.read_text(encoding='utf-8'))
    for counts in stored.values():
        check({key: found[key] for key in OF_THE_MODEL}, counts)


def test_counts_of_this_torch_have_not_risen(found):
    stored = json.loads(STORED.read_text(encoding='utf-8'))
    if TORCH not in stored:
        pytest.skip(
            f'no counts of torch {TORCH} (only {", ".join(stored)}); python tests/test_counts.py adds them'
        )
    check(found, stored[TORCH])


def test_the_hot_path_never_waits(found):
    assert found['waits_on_device'] == 0


def test_check_fails_for_more_and_tells_of_less():
    stored = dict(operators=10, allocations=100)
    check(dict(operators=10, allocations=102), stored)
    with pytest.raises(AssertionError, match=r"rose.*'operators': \(10, 11\).*python tests/test_counts.py"):
        check(dict(operators=11, allocations=100), stored)
    with pytest.warns(UserWarning, match=r"fell.*'allocations': \(100, 90\)"):
        check(dict(operators=10, allocations=90), stored)


def test_operators_are_counted_views_are_not_and_waits_are_seen():
    x = torch.ones(3, 4)
    counter = count_operators(lambda: (x.view(4, 3) @ x + 1).sum().item())
    assert counter.calls == {'mm': 1, 'add': 1, 'sum': 1, '_local_scalar_dense': 1}
    assert counter.waits == {'_local_scalar_dense': 1}
    assert count_operators(lambda: bool(x[0, 0] > 0)).waits.total() == 1
    assert count_operators(lambda: x[x > 0]).waits.total() >= 1


def test_saved_bytes_of_a_product():
    weight, x = torch.randn(4, 8, requires_grad=True), torch.randn(16, 4)
    assert saved_bytes(lambda: (x @ weight).exp(), [weight]) == (16 * 4 + 16 * 8) * 4
    # a storage counts once, however many views of it are kept
    assert saved_bytes(lambda: (x * weight[:, :4].sum(), x @ weight), [weight, x]) <= 4 * 4


def test_peak_bytes_of_two_tensors_in_turn():
    def run():
        a = torch.zeros(1000, dtype=torch.uint8)
        del a
        b = torch.zeros(3000, dtype=torch.uint8)
        c = torch.zeros(2000, dtype=torch.uint8)
        del b, c

    assert 5000 <= peak_bytes(run) <= 5200  # the allocator rounds up to 64 bytes


def test_tensor_bytes_count_a_storage_once():
    x = torch.zeros(10)
    assert tensor_bytes([x, x[2:], x.view(5, 2), torch.zeros(1)]) == 44


if __name__ == '__main__':
    torch.manual_seed(0)
    torch.set_num_threads(1)
    versions = json.loads(STORED.read_text(encoding='utf-8')) if STORED.exists() else {}
    versions[TORCH] = step_counts(tiny_step())
    STORED.write_text(json.dumps(versions, indent=1, sort_keys=True) + '\n', encoding='utf-8')
    print(f'{STORED.name}: torch {TORCH} {versions[TORCH]}')
