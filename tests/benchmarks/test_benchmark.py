import json
import math
import warnings
from pathlib import Path

import benchmark as tool
import numpy as np
import page
import pytest
import suite
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from bench import (
    Comparison,
    build_step,
    count_flops,
    describe_machine,
    face_maps,
    mask_transform,
    measure,
    random_batch,
    scaling,
    square_size,
    step_flops,
    verdict,
)
from bench.cuda import count_synchronisations, data_wait_comparison, tf32
from bench.training_step import attention_kernel

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'configs' / 'fsfm' / 'fsfm_demo.py'
MAE = ROOT / 'configs' / 'mae' / 'mae_vit-b_vggface2_400e.py'
TINY = [
    *('--batch-size', '2', '--repeats', '1', '--mask-batch', '4', '--loader-batches', '1'),
    *('--matmul-size', '64', '--min-seconds', '0', '--device', 'cpu'),
]


@pytest.fixture
def step():
    """A training step of the demo in float32, on two images."""
    cfg = Config.fromfile(DEMO)
    cfg.optim_wrapper.dtype = 'float32'
    size, patch_size = square_size(cfg)
    batch = random_batch(mask_transform(cfg), face_maps(2, size), patch_size, 2)
    return build_step(cfg, batch, 'cpu')


def names(result, section):
    return [row['name'] for row in result['rows'] if row['section'] == section]


def check_numbers(result):
    """Every time is positive, and speed, time and images agree."""
    for row in result['rows']:
        assert row['ms'] > 0 and row['images'] > 0, row
        assert row['images_per_s'] == pytest.approx(row['images'] / row['ms'] * 1e3)
        assert row['ratio'] is None or row['ratio'] > 0, row
        assert (row['ratio'] is None) == (row['ratio_of'] == ''), row


@pytest.mark.slow
def test_demo_has_all_parts_and_json_is_what_is_printed(tmp_path, capsys):
    out = tmp_path / 'new' / 'demo.json'
    result = tool.main([str(DEMO), *TINY, '--out', str(out)])
    check_numbers(result)
    assert [row['section'] for row in result['rows']] == sorted(
        (row['section'] for row in result['rows']), key=tool.PARTS.index
    )
    assert len(names(result, 'masks')) == 1 + 5 * 3
    assert names(result, 'loader') == [
        'whole pipeline',
        'without the mask',
        'without the mask and its label table',
    ]
    assert names(result, 'step') == [
        'whole step',
        'whole forward',
        'copy, normalise, patches',
        'online encoder, forward',
        'online encoder, forward + backward',
        'pixel decoder, forward',
        'pixel decoder, forward + backward',
        'rep decoder and heads, forward',
        'rep decoder and heads, forward + backward',
        'losses, forward',
        'losses, forward + backward',
        'target, forward',
        'momentum update',
        'optimiser (norm, clip, update)',
    ]
    assert len(names(result, 'choices')) == 10
    facts = result['facts']
    assert facts['share_of_matmul_peak'] > 0 and facts['gflop_per_image'] > 0
    by_name = {row['name']: row['ms'] for row in result['rows']}
    counted = (
        'copy, normalise, patches',
        'target, forward',
        'momentum update',
        'optimiser (norm, clip, update)',
    )
    # the lines of the choices end differently, so these are the step's alone
    parts = sum(ms for name, ms in by_name.items() if name in counted or name.endswith('forward + backward'))
    assert facts['rest_share_of_step'] == pytest.approx(1 - parts / by_name['whole step'], abs=1e-9)

    assert json.loads(out.read_text(encoding='utf-8')) == result
    assert [p.name for p in out.parent.iterdir()] == ['demo.json']
    printed = capsys.readouterr().out
    for row in result['rows']:
        line = next(line for line in printed.splitlines() if line.startswith(f'  {row["name"]} '))
        assert f'{row["ms"]:,.4g}' in line and f'{row["images_per_s"]:,.5g}' in line
    assert str(ROOT) not in out.read_text() and str(tmp_path) not in out.read_text()


def test_mae_config_has_no_target_and_missing_data_is_said(tmp_path, capsys):
    config = tmp_path / 'small_mae.py'
    config.write_text(
        f'_base_ = {str(MAE)!r}\n'
        'model = dict(backbone=dict(img_size=32), pixel_decoder=dict(embed_dim=32, depth=1, num_heads=2))\n'
    )
    options = [
        '--arch',
        'tiny',
        '--dtype',
        'float32',
        '--parts',
        'step,loader',
        '--out',
        str(tmp_path / 'mae.json'),
    ]
    result = tool.main([str(config), *TINY, *options])
    check_numbers(result)
    assert {row['section'] for row in result['rows']} == {'loader', 'step'}
    assert not [
        name for name in names(result, 'step') if 'target' in name or 'rep ' in name or 'momentum' in name
    ]
    note = "training set: the config's data_root is missing, so GeneratedFaces of 32 pixels instead"
    assert result['notes'] == [note]
    assert note in capsys.readouterr().out
    assert result['options']['dtype'] == 'float32' and result['options']['arch'] == 'tiny'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['nowhere.py'], 'there is no config file nowhere.py'),
        ([str(DEMO), '--batch-size', '0'], '--batch-size must be at least 1, found 0'),
        ([str(DEMO), '--workers', '-1'], '--workers must be at least 0, found -1'),
        (
            [str(DEMO), '--parts', 'step,stop'],
            "--parts takes masks, loader, step, choices, plain, scaling .* found 'step,stop'",
        ),
        (
            [str(DEMO), *TINY, '--parts', 'plain', '--batch-size', '1'],
            'plain needs a --batch-size of at least 2',
        ),
        ([str(MAE), *TINY, '--parts', 'plain'], 'plain compares FSFM models, but .* is a FaceMAE'),
        ([str(DEMO), *TINY, '--parts', 'plain', '--data-root', 'nowhere'], 'there is no folder nowhere'),
        (
            [str(DEMO), *TINY, '--parts', 'loader', '--data-root', 'x'],
            '--data-root: the training set GeneratedFaces',
        ),
        (
            [str(MAE), *TINY, '--parts', 'loader', '--data-root', 'nowhere'],
            '--data-root: there is no folder nowhere',
        ),
        (
            [str(ROOT / 'configs/_base_/models/vit_classifier.py')],
            'must be FSFM or FaceMAE, found ImageClassifier',
        ),
        ([str(ROOT / 'configs/_base_/models/mae_vit.py')], 'must be an AutocastOptimWrapper, found None'),
    ],
)
def test_bad_options_give_one_sentence(options, message):
    with pytest.raises(SystemExit, match=f'^benchmark.py: .*{message}') as error:
        tool.main(options)
    assert '\n' not in str(error.value)


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit, match='--device cuda: torch finds no CUDA device'):
        tool.main([str(DEMO), '--device', 'cuda'])


def test_flops_of_a_linear_layer():
    layer, x = torch.nn.Linear(64, 32, bias=False), torch.randn(7, 64)
    assert count_flops(lambda: layer(x)) == 2 * 7 * 64 * 32
    # no gradient of the input is wanted, so the backward pass is one product
    assert count_flops(lambda: layer(x).sum().backward()) == 2 * 2 * 7 * 64 * 32


def test_flops_count_attention(step):
    """On the explicit path, on which the benchmark counts: not every torch counts the fused kernel on CPUs."""
    backbone, (patches, split, _) = step.model.backbone, step.prepare()
    tokens, width, depth = 1 + split.visible.shape[1], backbone.embed_dims, backbone.depth
    linear = 2 * tokens * 12 * width**2
    attention = 2 * 2 * tokens**2 * width
    embedding = 2 * (tokens - 1) * patches.shape[-1] * width
    with attention_kernel(backbone, False), torch.no_grad():
        counted = count_flops(lambda: backbone.encode(patches, split))
    assert counted == len(patches) * (depth * (linear + attention) + embedding)


def test_flops_of_a_step_do_not_depend_on_the_batch(step):
    assert step_flops(step) == pytest.approx(step_flops(step.take(1)), rel=0.01)
    assert all(module.fused is None for module in step.model.modules() if hasattr(module, 'fused'))


def test_parts_make_up_the_losses(step):
    """The losses of the parts, fed with what the other parts give, are the model's own."""
    (total,) = step.parts()['losses']()
    assert total.item() == pytest.approx(sum(step.forward()).item(), rel=1e-5)


def test_nothing_drifts(step):
    before = {name: value.clone() for name, value in step.model.state_dict().items()}
    step.whole()
    step.with_gradients(step.optim.step)()
    for forward in step.parts().values():
        step.backward_of(forward)()
    for name, value in step.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-6, atol=1e-7)
    assert all(parameter.grad is None for parameter in step.model.parameters())


def test_optimiser_steps_with_gradients_of_the_whole_batch(step):
    seen = []
    step.with_gradients(lambda: seen.append([p.grad for p in step.model.parameters() if p.requires_grad]))()
    assert all(gradient is not None and gradient.isfinite().all() for gradient in seen[0])


def test_random_batch_repeats_few_maps():
    cfg = Config.fromfile(DEMO)
    batch = random_batch(mask_transform(cfg), face_maps(2, 96), 8, 5)
    assert batch['inputs'].shape == (5, 3, 96, 96) and batch['inputs'].dtype == torch.uint8
    assert batch['mask'].sum(1).tolist() == [108] * 5
    assert not (batch['region_mask'] & ~batch['mask']).any()


def test_mask_transform_is_found_in_the_pipeline_too():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = Config.fromfile(DEMO)
        mask = cfg.train_dataloader.dataset.pop('mask')
        with pytest.raises(ValueError, match='has no mask transform'):
            mask_transform(cfg)
        cfg.train_dataloader.dataset.pipeline.insert(1, mask)
        assert type(mask_transform(cfg)).__name__ == 'CRFRPMask'


def test_square_size_refuses_other_shapes():
    cfg = Config(dict(model=dict(backbone=dict(img_size=(64, 32)))))
    with pytest.raises(ValueError, match=r'square faces, .*\(64, 32\)'):
        square_size(cfg)
    cfg.model.backbone.img_size = (64, 64)
    assert square_size(cfg) == (64, 16)


def test_measure_takes_turns_and_the_median(monkeypatch):
    clock = iter(np.cumsum([0, 9, 0, 9, *[0, 1, 0, 2] * 2, 0, 100, 0, 4]).tolist())
    monkeypatch.setattr('bench.timing.time.perf_counter', lambda: next(clock))
    called = []
    times = measure({'a': lambda: called.append('a'), 'b': lambda: called.append('b')}, repeats=3)
    assert ''.join(called) == 'ab' + 'ab' * 3
    assert times == {'a': 1, 'b': 2}


def test_measure_calls_short_functions_often(monkeypatch):
    clock = iter([0, 5, 5, 7, 10, 30])
    monkeypatch.setattr('bench.timing.time.perf_counter', lambda: next(clock))
    called = []
    assert measure({'a': lambda: called.append(0)}, repeats=1, min_seconds=9) == {'a': 4}
    assert len(called) == 2 + math.ceil(9 / 2)
    with pytest.raises(ValueError, match='repeats must be at least 1'):
        measure({}, repeats=0)


def test_machine_has_no_names_or_paths():
    machine = describe_machine('cpu')
    assert set(machine) == {
        *('cpu', 'cores', 'torch_threads', 'omp_wait_policy', 'torch', 'python', 'device')
    }
    assert machine['cores'] >= 1 and '/' not in json.dumps(machine)


@pytest.mark.slow
def test_plain_has_a_line_for_every_optimisation(tmp_path, capsys):
    out = tmp_path / 'plain.json'
    options = ['--parts', 'plain', '--pictures', '4', '--dtype', 'float32', '--out', str(out)]
    result = tool.main([str(DEMO), *TINY, *options])
    lines = result['comparisons']
    assert (
        list(dict.fromkeys(line['section'] for line in lines))
        == [
            *('loader', 'masks', 'step', 'updates', 'parts', 'memory'),
            *(('step', 'parts', 'memory') if any('bfloat16' in line['name'] for line in lines) else ()),
        ][: len({line['section'] for line in lines})]
    )
    with_target = {(line['section'], line['target']) for line in lines if line['target'] is not None}
    assert with_target == {
        *(('loader', 10.0), ('loader', 30.0), ('masks', 100.0), ('updates', 3.0)),
        *(('step', 1.05), ('step', 80.0), ('memory', 0.65)),
    }
    printed = capsys.readouterr().out
    for line in lines:
        assert line['ours'] > 0 and (line['plain'] is None or line['plain'] > 0), line
        assert f'{line["section"]}: {line["name"]}, {line["unit"]}' in printed
    by_name = {line['name']: line for line in lines}
    # 3 float32 planes and an int8 map against 3 bytes; two masks of 12 x 12 patches in both
    handed = by_name['bytes an image']
    assert (handed['plain'], handed['ours']) == (96 * 96 * 13 + 2 * 144, 96 * 96 * 3 + 2 * 144)
    assert by_name['kept for the backward pass an image, float32']['ratio'] < 0.65
    assert json.loads(out.read_text(encoding='utf-8')) == result


@pytest.mark.parametrize(
    'unit, plain, ours, at_most, target, ratio, met',
    [
        ('images/s', 100.0, 1100.0, False, 10.0, 11.0, True),
        ('images/s', 100.0, 900.0, False, 10.0, 9.0, False),
        ('ms', 30.0, 10.0, False, 3.0, 3.0, True),
        ('MB', 200.0, 100.0, True, 0.65, 0.5, True),
        ('MB', 100.0, 70.0, True, 0.65, 0.7, False),
        ('%', None, 84.0, False, 80.0, None, True),
        ('%', None, 4.0, True, 3.0, None, False),
        ('ms', 1.0, 2.0, False, None, 0.5, None),
    ],
)
def test_comparison_and_its_verdict(unit, plain, ours, at_most, target, ratio, met):
    line = Comparison('step', 'x', unit, plain, ours, target, at_most).as_dict()
    assert (line['ratio'], line['met']) == (ratio, met)
    bound = 'at most' if at_most else 'at least'
    expected = '' if target is None else f'{bound} {target:g}: {"met" if met else "NOT MET"}'
    assert verdict(line) == expected


def test_scaling_tells_rate_memory_and_cost():
    cfg = Config.fromfile(DEMO)
    cfg.optim_wrapper.dtype = 'float32'
    tiny = dict(embed_dim=32, depth=1, num_heads=2)
    small, large = scaling(cfg, 'cpu', [(tiny, 32, 2), (tiny, 32, 32)], repeats=1)
    assert small.held_mb == large.held_mb and small.peak_mb < large.peak_mb
    assert small.hours == pytest.approx(1e8 / small.images_per_s / 3600)
    assert small.as_dict()['hours_1m_images_100_epochs'] == small.hours


def test_page_is_up_to_date():
    page.main(['--check'])


def test_page_shows_every_number_and_remark(tmp_path):
    folder = tmp_path / 'benchmarks' / 'kind'
    folder.mkdir(parents=True)
    lines = [
        Comparison('loader', 'JPEG', 'images/s', 183.0, 1980.0, 10.0, note='one core'),
        Comparison('step', 'share', '%', None, 64.2, 80.0),
    ]
    machine = dict(device='A CPU', cores=2, torch_threads=2, torch='2.15', python='3.11')
    setting = dict(
        arch='small', size=224, batch=8, dtype='bfloat16', images_per_s=9.5, peak_mb=512.4, held_mb=786.1
    )
    result = dict(
        config='x',
        machine=machine,
        options=dict(dtype='bfloat16', batch_size=8),
        facts=dict(gflop_per_image=54.7, share_of_matmul_peak=0.8),
        rows=[
            dict(section='step', name='whole', ms=12.0, images_per_s=83.3, ratio=1.0, ratio_of='of the step')
        ],
        comparisons=[line.as_dict() for line in lines],
        scaling=[dict(setting, hours_1m_images_100_epochs=2924.0)],
    )
    (folder / 'a.json').write_text(json.dumps(result))
    (folder / 'remarks.md').write_text('Why 64%: because.\n')
    out = tmp_path / 'page.md'
    page.main(['--benchmarks', str(folder.parent), '--out', str(out)])
    text = out.read_text(encoding='utf-8')
    for part in (
        '| JPEG | images/s | 183 | 1,980 | 10.8 | at least 10: met | one core |',
        '| share | % |  | 64.2 |  | at least 80: NOT MET |  |',
        'Why 64%: because.',
        '| ViT-small, 224 pixels, batch 8, bfloat16 | 9.5 | 512 | 786 | 2,924 |',
        '| whole | 12 | 83.3 | 1 of the step |',
        '54.7 GFLOP an image; 80% of the matmul peak',
        'A CPU, 2 cores, 2 torch threads',
        'Not measured: GPUs',
    ):
        assert part in text, part
    page.main(['--benchmarks', str(folder.parent), '--out', str(out), '--check'])
    result['options']['device'] = 'cuda'
    (folder / 'a.json').write_text(json.dumps(result))
    with pytest.raises(SystemExit, match=r'is out of date: python benchmarks/page.py'):
        page.main(['--benchmarks', str(folder.parent), '--out', str(out), '--check'])
    assert 'Not measured: GPUs' not in page.page(folder.parent)
    with pytest.raises(SystemExit, match=r'no .*json there'):
        page.main(['--benchmarks', str(tmp_path / 'nothing'), '--out', str(out)])


def test_suite_runs_commands_that_the_tool_takes(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(suite.subprocess, 'run', lambda command, env, check: called.append((command, env)))
    suite.main([str(tmp_path), '--data-root', 'faces'])
    names = [Path(command[-1 if command[-2] == '--out' else -3]).stem for command, _ in called]
    assert names[:2] == ['against_plain', 'scaling'] and names[-1] == 'demo'
    for command, env in called:
        assert env['OMP_WAIT_POLICY'] == 'PASSIVE'
        args = tool.parse_args(command[2:])
        tool.check_args(args)
        tool.load_config(args)
    with pytest.raises(SystemExit, match=r'--only takes against_plain, scaling, .* found'):
        suite.main([str(tmp_path), '--only', 'nothing'])


def test_waits_for_the_gpu_are_counted(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, 'get_sync_debug_mode', lambda: 0)
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', modes.append)

    def step():
        assert modes == ['warn']
        for _ in range(3):
            warnings.warn('called a synchronizing CUDA operation', stacklevel=1)
        warnings.warn('something else', stacklevel=1)

    assert count_synchronisations(step) == 3 and modes == ['warn', 0]


def test_data_wait_is_a_share_of_the_time(step, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    # the clock ticks at the start, around each wait for a batch (2 s) and at the end of each step (8 s)
    ticks = iter(np.cumsum([0, *[0, 2] * 10, 0, *[8, 2] * 4, 8]).tolist())
    monkeypatch.setattr('bench.cuda.time.perf_counter', lambda: next(ticks))
    line = data_wait_comparison([step.batch] * 14, step, steps=4)
    assert (line.ours, line.met) == (pytest.approx(100 * 8 / 48), False)


@pytest.mark.parametrize('enabled', [True, False])
def test_tf32_is_set_for_a_while(enabled):
    before = torch.get_float32_matmul_precision()
    with tf32(enabled):
        assert torch.get_float32_matmul_precision() == ('high' if enabled else 'highest')
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.gpu
@pytest.mark.slow
def test_plain_on_a_gpu(tmp_path):
    options = ['--parts', 'plain', '--pictures', '4', '--workers', '2', '--out', str(tmp_path / 'gpu.json')]
    result = tool.main([str(DEMO), *TINY, '--device', 'cuda', *options])
    lines = {line['name']: line for line in result['comparisons'] if line['section'] == 'cuda'}
    assert lines['host waits a step']['ours'] == 0 < lines['host waits a step']['plain']
    assert 0 <= lines['waiting for data']['ours'] <= 100
    assert all(
        f'step, fused attention and compiled blocks, {kind}' in lines for kind in ('bfloat16', 'float32')
    )
