"""tools/test.py and the whole chain: pretrain, fine-tune, test on other sets, leave one domain out."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from ports import free_port

from fsfm_mm.apis import testing
from fsfm_mm.checkpoints import read_card
from fsfm_mm.checkpoints.picture_settings import picture_view
from fsfm_mm.commands import leave_one_out, test, train
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.evaluation import ScoreTable, auc

ROOT = Path(__file__).resolve().parents[2]
FORGERIES = ROOT / 'configs/deepfake/demo_generated.py'
SPOOFS = ROOT / 'configs/antispoof/demo_generated.py'
PRETRAIN = ROOT / 'configs/fsfm/fsfm_demo.py'


ARCH = dict(embed_dim=32, depth=2, num_heads=2)


def shrink_datasets(part, size=48):
    """Smaller and fewer pictures, wherever a data set's config stands."""
    if isinstance(part, dict):
        if part.get('type') == 'GeneratedForgeries':
            part.update(img_size=size, videos=8)
        for value in part.values():
            shrink_datasets(value, size)
    elif isinstance(part, list | tuple):
        for value in part:
            shrink_datasets(value, size)


def small(path, source, **changes):
    """A small copy of a downstream demo config."""
    config = Config.fromfile(source)
    config.model.backbone.update(arch=ARCH, img_size=48)
    config.model.head.in_channels = 32
    for name in ('train', 'val', 'test'):
        loader = config[f'{name}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        shrink_datasets(loader.dataset)
    config.train_dataloader.batch_size = 8
    config.log_level = 'WARNING'
    config.merge_from_dict(changes)
    config.dump(path)
    return str(path)


EPOCHS = {
    'train_cfg.max_epochs': 2,
    'train_cfg.val_interval': 1,
    'param_scheduler.total': 2,
    'param_scheduler.warmup': 0,
    'default_hooks.checkpoint.interval': 1,
}


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """A small detector: config and the folder of its two checkpoints."""
    folder = tmp_path_factory.mktemp('detector')
    config = small(folder / 'config.py', FORGERIES, **EPOCHS)
    train.main([config, '--work-dir', str(folder / 'work')])
    return config, folder / 'work'


def test_tables_scores_and_pictures(detector, tmp_path, capsys):
    config, work = detector
    folder = tmp_path / 'mine' / 'test'
    for i, name in enumerate(('real', 'fake')):
        (folder / name).mkdir(parents=True)
        for j in range(4):
            cv2.imwrite(str(folder / name / f'v{j}_frame_0.png'), draw_face(10 * i + j, 48)[0])
    out = tmp_path / 'out'
    checkpoints = [str(work / f'epoch_{n}.pth') for n in (1, 2)]
    calibrated = tmp_path / 'calibrated.pth'
    arguments = ['--set', f'my set={folder.parent}', '--out', str(out), '--bootstrap', '50']
    test.main([config, *checkpoints, *arguments, '--calibrate', str(calibrated)])
    printed = capsys.readouterr().out
    assert 'published protocol' in printed
    assert 'honest protocol' in printed
    honest = json.loads((out / 'honest.json').read_text())
    assert set(honest['rows']) == {'b', 'my set'}
    assert not any('@target' in column for column in honest['columns'])
    table = ScoreTable.read(out / 'honest_my-set_samples.csv')
    assert len(table.samples) == 8
    assert honest['rows']['my set']['frame/AUC'] == pytest.approx(auc(table.scores, table.labels))
    with open(out / 'honest_b_videos.csv') as file:
        assert len(list(csv.DictReader(file))) == 8
    for name in ('honest_roc.png', 'published_roc.png', 'honest_my-set_scores.png'):
        assert cv2.imread(str(out / name)) is not None
    for suffix in ('txt', 'md', 'csv'):
        assert (out / f'published.{suffix}').stat().st_size > 0
    card = read_card(calibrated)
    assert card.classes == ('fake', 'real')
    assert f'threshold {card.threshold:.4f}' in printed
    assert card.threshold_meaning.startswith('EER threshold: flags ') and card.threshold_meaning in printed
    # the chosen checkpoint has the least loss on the held-out source set
    chosen = honest['notes'][0].split('checkpoint ')[1].split(':')[0]
    assert torch.equal(
        torch.load(chosen, weights_only=False)['state_dict']['head.fc.weight'],
        torch.load(calibrated, weights_only=False)['state_dict']['head.fc.weight'],
    )


def test_sets_of_config_folder_and_published_layout(detector, tmp_path):
    config, work = detector
    (tmp_path / 'wild').mkdir()
    arguments = ['--set', f'wild=wilddeepfake:{tmp_path / "wild"}', '--set', f'mine={tmp_path}']
    args = test.parse_args([config, str(work / 'epoch_2.pth'), *arguments])
    sets = test.test_sets(Config.fromfile(config), args)
    assert list(sets) == ['b', 'wild', 'mine']
    assert (sets['wild']['type'], sets['wild']['name']) == ('NamedForgerySet', 'wilddeepfake')
    assert sets['wild']['data_root'] == str(tmp_path / 'wild')
    assert sets['mine']['type'] == 'LabelledFaces'
    steps = [step['type'] for step in sets['mine']['pipeline']]
    assert steps[:2] == ['LoadFace', 'ResizeFace']


def test_sets_by_name(detector, tmp_path, monkeypatch):
    """Each variant under its own name; faces that were prepared of another one are refused."""
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(ROOT / 'configs/deepfake/fsfm_vit-b_ffpp-c23_10e.py')

    def sets(*arguments):
        return test.test_sets(config, test.parse_args(['c.py', 'x.pth', *arguments]))

    assert list(sets()) == ['celebdf_v2']
    named = sets('--sets', 'dfd_raw', 'dfd_c23', 'celebdf_pp', 'celebdf_pp_noyt', 'celebdf_v2')
    assert {name: (part['data_root'], part.get('ignore')) for name, part in named.items()} == {
        'dfd_raw': ('data/dfd_raw', None),
        'dfd_c23': ('data/dfd_c23', None),
        'celebdf_pp': ('data/celebdf_pp', None),
        'celebdf_pp_noyt': ('data/celebdf_pp', ['real_youtube']),
        'celebdf_v2': ('data/celeb_df_v2', ['real_youtube']),
    }
    assert {picture_view(part) for part in named.values()} == {'centre'}  # FSFM's
    assert all(part['domain'] == name for name, part in named.items())
    assert list(sets('--sets', 'published')) == ['celebdf_v2', 'dfdc', 'dfdc_preview', 'wilddeepfake']
    with pytest.raises(ValueError, match='--sets dfd: the config has no such set; it has dfd_raw, dfd_c23'):
        sets('--sets', 'dfd')
    prepared = tmp_path / 'data/dfd_raw'
    prepared.mkdir(parents=True)
    (prepared / 'prepare.json').write_text('{"set": "dfd_c23"}')
    message = 'data/dfd_raw was prepared of dfd_c23, not of dfd_raw: prepare it anew, or name dfd_c23'
    with pytest.raises(ValueError, match=f"test set 'dfd_raw': {message}"):
        sets('--sets', 'dfd_raw')
    with pytest.raises(ValueError, match=f'--set x: {message}'):
        sets('--set', 'x=dfd_raw:data/dfd_raw')
    assert sets('--set', 'x=dfd_c23:data/dfd_raw')['x']['type'] == 'LabelledFaces'
    # the part without YouTube-real is in the folder of the whole, but not the other way round
    pp = tmp_path / 'data/celebdf_pp'
    pp.mkdir()
    (pp / 'prepare.json').write_text('{"set": "celebdf_pp"}')
    assert sets('--set', f'x=celebdf_pp_noyt:{pp}')['x']['ignore'] == ['real_youtube']
    (pp / 'prepare.json').write_text('{"set": "celebdf_pp_noyt"}')
    with pytest.raises(ValueError, match='was prepared of celebdf_pp_noyt, not of celebdf_pp'):
        sets('--sets', 'celebdf_pp')


def test_validating_on_what_is_trained_on_is_refused(tmp_path):
    path = small(tmp_path / 'config.py', FORGERIES, **EPOCHS)
    config = Config.fromfile(path)
    config.val_dataloader.dataset = config.train_dataloader.dataset
    config.dump(path)
    with pytest.raises(
        SystemExit,
        match=r"fsfm-mm train: val_dataloader: The splits 'train' and 'val' share \d+ videos or files",
    ):
        train.main([path, '--work-dir', str(tmp_path / 'work')])
    config.val_dataloader.dataset = {
        **config.val_dataloader.dataset,
        'start_video': 500,
        'classes': ('real', 'fake'),
    }
    config.dump(path)
    with pytest.raises(SystemExit, match='classes'):
        train.main([path, '--work-dir', str(tmp_path / 'work')])


def test_diffusion_protocol_names_its_parts():
    config = Config.fromfile(ROOT / 'configs/diffusion/fsfm_vit-b_ffpp-df-c23_50e.py')
    assert set(config.test_sets) == set(config.published_sets) == {'T2I', 'I2I', 'FS', 'FE'}
    assert {part.split for part in config.published_sets.values()} == {'val'}
    assert config.test_dataloader.dataset.domain == 'T2I'


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (dict(checkpoints=['missing.pth']), 'there is no file missing.pth'),
        (dict(extra=['--set', 'name=/no/such/folder']), '--set name: there is no folder /no/such/folder'),
        (dict(extra=['--only-sets']), 'there is no test set'),
        (
            dict(extra=['--cfg-options', 'model.backbone.img_size=64']),
            'model.backbone.img_size=64 means input_size (64, 64), but the card of',
        ),
        (
            dict(extra=['--cfg-options', 'model.data_preprocessor.stats=imagenet']),
            "stats='imagenet' means mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225), but the card of",
        ),
        (
            dict(extra=['--cfg-options', 'model.backbone.arch.num_heads=4']),
            'num_heads=4 means num_heads 4, but the card of',
        ),
        (
            dict(extra=['--protocol', 'published', '--calibrate', 'x.pth']),
            '--calibrate needs the honest protocol',
        ),
        (
            dict(extra=['--protocol', 'published', '--fpr', '0.1']),
            '--fpr needs the honest protocol',
        ),
    ],
)
def test_wrong_input_is_one_sentence_and_writes_nothing(detector, tmp_path, change, sentence):
    config, work = detector
    checkpoints = change.get('checkpoints', [str(work / 'epoch_2.pth')])
    out = tmp_path / 'out'
    with pytest.raises(SystemExit) as stopped:
        test.main([config, *checkpoints, '--out', str(out), *change.get('extra', [])])
    message = str(stopped.value)
    assert message.startswith('fsfm-mm test: ')
    assert sentence in message
    assert '\n' not in message
    assert not out.exists()


def test_the_card_wins_over_the_config_and_an_override_is_told_everywhere(detector, tmp_path, capsys):
    """Another size and other statistics in the config change nothing; typed, they need --override-card."""
    config, work = detector
    changed = Config.fromfile(config)
    changed.model.data_preprocessor.update(mean=[100.0] * 3, std=[50.0] * 3)
    changed.model.backbone.update(arch=dict(embed_dim=32, depth=2, num_heads=8), img_size=64)
    shrink_datasets(changed.test_dataloader.dataset, 64)
    changed.dump(tmp_path / 'other.py')
    arguments = [str(work / 'epoch_2.pth'), '--protocol', 'published', '--bootstrap', '0']
    typed = ['--cfg-options', 'model.data_preprocessor.stats=imagenet', '--override-card']
    for name, given in (
        ('own', [config]),
        ('other', [str(tmp_path / 'other.py')]),
        ('typed', [config, *typed]),
    ):
        test.main([given[0], *arguments, '--out', str(tmp_path / name), *given[1:]])
    own, other, typed_scores = (
        [row.score for row in ScoreTable.read(tmp_path / name / f'published_{mark}b_samples.csv').samples]
        for name, mark in (('own', ''), ('other', ''), ('typed', 'card-overridden_'))
    )
    assert own == other
    assert own != typed_scores
    written = [(tmp_path / 'typed' / f'published.{suffix}').read_text() for suffix in ('txt', 'md', 'json')]
    assert all('the card was overridden: model.data_preprocessor.stats' in text for text in written)
    assert 'card overridden' in capsys.readouterr().out
    everything = [
        path for path in (tmp_path / 'typed').iterdir() if path.suffix == '.png' or '_b_' in path.name
    ]
    assert len(everything) == 4 and all('card-overridden' in path.name for path in everything)
    (row,) = csv.DictReader((tmp_path / 'typed' / 'published.csv').read_text().splitlines())
    assert row['caveat'] == 'card overridden'
    assert 'overridden' not in (tmp_path / 'other' / 'published.txt').read_text()


def test_the_view_of_the_test_sets_is_theirs_alone(tmp_path):
    config = Config.fromfile(ROOT / 'configs/deepfake/fsvfm_vit-b_ffpp-c23_10e.py')
    args = test.parse_args(['x.py', 'x.pth', '--view', 'centre', '--set', f'mine={tmp_path}'])
    sets = test.test_sets(config, args)
    assert {name: picture_view(dataset) for name, dataset in sets.items()} == dict.fromkeys(sets, 'centre')
    assert 'mine' in sets and len(sets) == 2
    assert picture_view(config.test_dataloader.dataset) == 'whole'
    args.view = None
    assert set(map(picture_view, test.test_sets(config, args).values())) == {'whole'}
    args = test.parse_args(['x.py', 'x.pth', '--view', 'whole'])
    with pytest.raises(ValueError, match=r'^--view: test set .* pipeline of GeneratedForgeries has no step'):
        test.test_sets(Config.fromfile(FORGERIES), args)


def test_crops_of_another_margin_are_refused_and_classes_always(detector, tmp_path):
    config, work = detector
    checkpoint = str(work / 'epoch_2.pth')
    arguments = [checkpoint, '--protocol', 'published', '--bootstrap', '0', '--out', str(tmp_path / 'out')]
    margin = ['--cfg-options', 'test_dataloader.dataset.metainfo.crop_margin=2.0']
    with pytest.raises(SystemExit, match=r"card says crop_margin 1.3, but in test set 'b' it is 2.0"):
        test.main([config, *arguments, *margin])
    test.main([config, *arguments, *margin, '--override-card'])
    assert 'crop_margin 1.3' in (tmp_path / 'out' / 'published.md').read_text()
    content = torch.load(checkpoint, weights_only=False)
    content['card']['classes'] = ['real', 'fake']
    torch.save(content, tmp_path / 'swapped.pth')
    with pytest.raises(SystemExit, match='card says classes'):
        test.main([config, str(tmp_path / 'swapped.pth'), *arguments[1:], '--override-card'])


def test_class_order_against_the_card_is_refused(detector, tmp_path):
    config, work = detector
    content = torch.load(work / 'epoch_2.pth', weights_only=False)
    content['card']['classes'] = ['real', 'fake']
    torch.save(content, tmp_path / 'swapped.pth')
    with pytest.raises(SystemExit, match=r"card says classes \(real, fake\).*'(fake', 'real|held-out|b)"):
        test.main([config, str(tmp_path / 'swapped.pth'), '--out', str(tmp_path / 'out')])


def test_a_pretraining_checkpoint_is_not_a_detector(detector, tmp_path):
    config, _ = detector
    torch.save({'state_dict': {'backbone.cls_token': torch.zeros(1, 1, 32)}}, tmp_path / 'encoder.pth')
    with pytest.raises(SystemExit, match=r"does not hold this config's model: \d+ missing"):
        test.main([config, str(tmp_path / 'encoder.pth'), '--out', str(tmp_path / 'out')])


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (['--cfg-options', 'test_dataloder.batch_size=2'], 'no effect (did you mean test_dataloader?)'),
        (['--cfg-options', 'test_dataloader.batchsize=2'], "no 'batchsize' (did you mean batch_size?)"),
        (['--cfg-options', 'test_dataloader.dataset.type=Nope'], "there is no dataset 'Nope'"),
        (['--out', __file__], f'the folder of the results {__file__} cannot be made'),
        (['--calibrate', __file__], f'--calibrate: {__file__} exists already: name another file'),
        (['--calibrate', f'{__file__}/new.pth'], f'the folder of --calibrate {__file__} cannot be made'),
    ],
)
def test_wrong_settings_are_one_sentence(detector, tmp_path, monkeypatch, arguments, sentence):
    config, work = detector
    if arguments[0] != '--cfg-options':  # said before hours are spent on scores
        monkeypatch.setattr(testing, 'score_set', None)
    with pytest.raises(SystemExit) as stopped:
        test.main([config, str(work / 'epoch_1.pth'), '--out', str(tmp_path / 'out'), *arguments])
    assert str(stopped.value).startswith('fsfm-mm test: ') and sentence in str(stopped.value)


@pytest.mark.slow
def test_two_processes_write_what_one_writes(detector, tmp_path):
    config, work = detector
    environment = {
        **os.environ,
        'PYTHON': sys.executable,
        'OMP_NUM_THREADS': '1',
    }
    checkpoints = [str(work / f'epoch_{n}.pth') for n in (1, 2)]
    for processes in ('1', '2'):
        command = [str(ROOT / 'tools/dist_test.sh'), config, processes, *checkpoints, '--bootstrap', '20']
        subprocess.run(
            [*command, '--out', str(tmp_path / processes)],
            check=True,
            env={**environment, 'PORT': free_port()},
            timeout=300,
        )
    one, two = (sorted((tmp_path / n).glob('*.[cjm]*')) for n in '12')
    assert [path.name for path in one] == [path.name for path in two]
    samples = [(a, b) for a, b in zip(one, two) if a.name.endswith('samples.csv')]
    assert len(samples) == 2
    for pair in samples:
        scores = [[row.score for row in ScoreTable.read(path).samples] for path in pair]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    tables = [json.loads((tmp_path / n / 'honest.json').read_text()) for n in '12']
    assert tables[0]['rows']['b'] == pytest.approx(tables[1]['rows']['b'], abs=1e-6)


@pytest.mark.slow
def test_whole_chain_on_generated_data(tmp_path, capfd):
    """Pretrain, fine-tune from it, leave each of two generated domains out of three."""
    pretraining = Config.fromfile(PRETRAIN)
    pretraining.merge_from_dict(
        {
            'model.backbone.img_size': 48,
            'train_dataloader.dataset.img_size': 48,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_cfg.max_iters': 4,
            'param_scheduler.total': 4,
            'param_scheduler.warmup': 1,
            'log_level': 'WARNING',
        }
    )
    pretraining.model.backbone.arch = ARCH
    pretraining.dump(tmp_path / 'pretrain.py')
    train.main([str(tmp_path / 'pretrain.py'), '--work-dir', str(tmp_path / 'pretrained')])
    encoder = tmp_path / 'pretrained' / 'iter_4.pth'
    assert read_card(encoder).task == 'pretrain'
    configs = []
    for target in 'ab':
        config = Config.fromfile(SPOOFS)
        sources = [name for name in 'abc' if name != target]
        for loader in (config.train_dataloader, config.val_dataloader):
            for dataset, name in zip(loader.dataset.datasets, sources):
                dataset.domain = name
        config.test_dataloader.dataset.domain = target
        config.dump(tmp_path / 'full.py')
        path = tmp_path / f'leave_{target}.py'
        settings = {
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 1,
            'default_hooks.checkpoint.interval': 1,
            'train_dataloader.sampler.per_group': 2,
        }
        config = Config.fromfile(small(path, tmp_path / 'full.py', **settings))
        config.model.backbone.init_cfg = dict(type='PretrainedBackbone', checkpoint=str(encoder))
        config.dump(path)
        configs.append(str(path))
    out = tmp_path / 'loo'
    leave_one_out.main([*configs, '--seeds', '0', '--out', str(out)])
    published = json.loads((out / 'published.json').read_text())
    assert set(published['rows']) == {'leave_a', 'leave_b', 'mean', 'std'}
    rows = [published['rows'][f'leave_{name}'] for name in 'ab']
    for column in ('AUC', 'HTER@target-EER'):
        assert published['rows']['mean'][column] == pytest.approx(sum(row[column] for row in rows) / 2)
    assert set(published['target_selected']) >= {'HTER@target-EER'}
    honest = json.loads((out / 'honest.json').read_text())
    assert 'HTER@source' in honest['columns']
    # the same command again does nothing that is done
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')}
    leave_one_out.main([*configs, '--seeds', '0', '--out', str(out)])
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob('*.pth')}
