"""tools/data/prepare_pretrain.py as a user calls it: options, exit codes, summary, and training on the result."""

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from preparation.engine_fakes import MARKS, picture, tree, write_pictures, write_video

from fsfm_mm import commands
from fsfm_mm.commands.preparing import frame_choice
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.sources.items import FrameChoice

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'data' / 'prepare_pretrain.py'
CONFIG = """
custom_imports = dict(imports=['preparation.engine_fakes'])
detector = dict(type='MarkedDetector', seconds={seconds})
parser = dict(type='MarkedParser')
"""


@pytest.fixture(scope='module')
def tool():
    before = signal.getsignal(signal.SIGTERM)
    yield importlib.import_module('fsfm_mm.commands.prepare')
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def fake(tmp_path):
    """Options for detector and parser that are quick."""
    return config_options(tmp_path)


def config_options(tmp_path, seconds=0.0):
    config = tmp_path / 'fakes.py'
    config.write_text(CONFIG.format(seconds=seconds))
    return ['--config', str(config), '--size', '32', '--min-face', '8', '--workers', '0']


def records(out):
    lines = (Path(out) / 'manifest.jsonl').read_text(encoding='utf-8').splitlines()
    return [FaceRecord.from_json(line, 'manifest') for line in lines]


def test_all_is_well(tool, tmp_path, fake, capsys):
    write_pictures(tmp_path / 'photos', 3)
    arguments = [str(tmp_path / 'photos'), str(tmp_path / 'out'), *fake]
    assert tool.main(arguments) == 0
    said = capsys.readouterr().out
    assert f'3 sources -> 3 faces in {tmp_path / "out"}\n' in said
    assert re.search(r'faces a second and core; \d+\.\d s of work', said)
    assert said.count('<- most of the time') == 1
    assert 'next: fsfm-mm train fsfm_vit-s_own-faces' in said
    before = tree(tmp_path / 'out')
    assert tool.main(arguments) == 0
    assert f'{tmp_path / "out"} is complete already; nothing was changed.' in capsys.readouterr().out
    assert tree(tmp_path / 'out') == before


@pytest.mark.parametrize(
    'out, form, expected',
    [
        ('data/my_faces', 'folders', ''),
        ('data/my_faces/', 'archive', ' --cfg-options train_dataloader.dataset.type=ArchivedFaces'),
        (
            'a/b',
            'folders',
            ' --data a/b',
        ),
    ],
)
def test_next_command(tool, out, form, expected):
    command = 'fsfm-mm train fsfm_vit-s_own-faces --work-dir work_dirs/my_faces'
    assert tool.next_command(out, form) == command + expected


@pytest.mark.parametrize(
    'options, expected',
    [
        ({}, ''),
        (
            {'size': 256},
            ' --cfg-options model.backbone.img_size=256 train_dataloader.dataset.pipeline.1.size=256',
        ),
        ({'size': 250}, ''),  # training resizes what cannot be cut into patches
        (
            {'patch_size': 14},
            ' --cfg-options model.backbone.patch_size=14 train_dataloader.dataset.pipeline.2.patch_size=14',
        ),
        ({'maps': False}, ' --cfg-options train_dataloader.dataset.need_maps=False'),
    ],
)
def test_next_command_fits_the_data(tool, options, expected):
    command = 'fsfm-mm train fsfm_vit-s_own-faces --work-dir work_dirs/my_faces'
    assert tool.next_command('data/my_faces', 'folders', **options) == command + expected


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [
        ['--size', '256'],
        ['--size', '160', '--patch-size', '20', '--format', 'archive'],
        ['--parser', 'none'],
        ['--parser', 'none', '--format', 'archive', '--size', '96'],
    ],
)
def test_the_next_command_trains(tool, tmp_path, fake, options, capsys):
    write_pictures(tmp_path / 'photos', 8)
    arguments = [str(tmp_path / 'photos'), str(tmp_path / 'out'), *fake, *options]
    assert tool.main(arguments) == 0
    said = capsys.readouterr().out
    assert ('There are no maps' in said) == ('none' in options)
    assert (tmp_path / train_as_printed(said, tmp_path)).is_file()


def test_next_command_of_a_folder_with_spaces(tool):
    assert tool.next_command("my faces, Ann's", 'folders').endswith(" --data 'my faces, Ann'\"'\"'s'")


@pytest.mark.parametrize('option', ['--config', '--parser'])
@pytest.mark.parametrize(
    'name, text',
    [
        ('p.py', 'parser = dict('),
        ('p.py', 'parser = unknown_name'),
        ('p.txt', "parser = dict(type='TemplateParser')"),
        ('p.py', "custom_imports = dict(imports='no_such_module_here')"),
        ('p.py', "custom_imports = 'json'"),
        ('p.json', '{'),
    ],
)
def test_a_wrong_config_is_one_sentence(tool, tmp_path, option, name, text, capsys):
    write_pictures(tmp_path / 'photos', 1)
    (tmp_path / name).write_text(text)
    assert tool.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), option, str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f'fsfm-mm prepare: {tmp_path / name} is no') and 'Traceback' not in said


def test_imports_may_be_one_name(tool, tmp_path):
    (tmp_path / 'p.py').write_text("custom_imports = dict(imports='json')")
    assert tool.components(tool.parse_args(['a', 'b', '--config', str(tmp_path / 'p.py')]))[2] == ('json',)


def test_failures_are_told_and_counted(tool, tmp_path, fake, capsys):
    write_pictures(tmp_path / 'photos', 2, bad=MARKS['raise'])
    for number in range(5):
        (tmp_path / 'photos' / f'broken{number}.jpg').write_bytes(b'nothing')
    assert tool.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), *fake]) == 2
    said = capsys.readouterr().out
    assert re.search(r'5 unreadable: .*broken0\.jpg.*broken2\.jpg.*; and 2 more', said)
    assert '1 crashed' in said and 'RuntimeError: this detector cannot bear it' in said


def test_strict_counts_sources_without_a_face(tool, tmp_path, fake, capsys):
    write_pictures(tmp_path / 'photos', 2, empty=MARKS['no_face'])
    arguments = [str(tmp_path / 'photos'), str(tmp_path / 'out'), *fake]
    assert tool.main(arguments) == 0
    assert '1 no_face: no face was found. empty.png' in capsys.readouterr().out
    assert tool.main([*arguments, '--strict']) == 2


def test_no_face_at_all(tool, tmp_path, fake, capsys):
    write_pictures(tmp_path / 'photos', 0, empty=MARKS['no_face'])
    assert tool.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), *fake]) == 2
    assert 'There is no face to train on' in capsys.readouterr().out


@pytest.mark.parametrize(
    'options, sentence',
    [
        (
            ['--parser', 'nobody'],
            'nobody is neither a file nor one of farl, farl-celebm, template, mesh, none',
        ),
        (['--parser', 'none', '--parser-weights', 'x'], '--parser-weights: this parser has no weights'),
        (['--parser', 'template', '--parser-weights', 'x'], '--parser-weights: this parser has no weights'),
        (
            ['--detector', 'none', '--parser', 'none', '--detector-weights', 'x'],
            '--detector-weights: this detector has no',
        ),
        (['--shard', '1'], '--shard and --num-shards belong together'),
        (['--shard', '2', '--num-shards', '2'], 'found shard 2 of 2'),
        (['--margin', '0'], 'the margin must lie within'),
        (['--workers', '-1'], 'workers must be 0 or more'),
        (['--map-format', 'png', '--format', 'archive'], '--map-format belongs to --format folders'),
        (['--image-format', 'raw'], '--image-format raw belongs to --format archive'),
        (['--patch-size', '48', '--format', 'archive'], '--size 224 must be a multiple of --patch-size 48'),
        (['--device', 'gpu'], "device must be auto, cpu, cuda or cuda:N, found 'gpu'"),
        (['--chunk-size', '0'], 'chunk_size must be 1 or more, found 0'),
        (['--patch-size', '0', '--format', 'archive'], '--patch-size must be 1 or more, found 0'),
        (['--timeout', '0'], 'timeout must be above 0'),
        (['--detector-weights', 'nowhere.onnx', '--parser', 'none'], 'nowhere.onnx'),
        (['--config', 'nowhere.py'], 'nowhere.py is neither a file nor'),
    ],
)
def test_wrong_options_are_one_sentence(tool, tmp_path, options, sentence, capsys):
    write_pictures(tmp_path / 'photos', 1)
    assert tool.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith('fsfm-mm prepare: ') and sentence in said and said.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('options', [['--frames', 'some'], ['--frames', 'every:'], ['--faces', 'nice'], []])
def test_argparse_errors_have_exit_code_1(tool, tmp_path, options, capsys):
    with pytest.raises(SystemExit) as error:
        tool.main([str(tmp_path), *([str(tmp_path / 'out'), *options] if options else [])])
    assert error.value.code == 1
    assert 'usage: ' in capsys.readouterr().err


@pytest.mark.parametrize(
    'text, expected',
    [
        ('8', FrameChoice('count', 8)),
        ('every:10', FrameChoice('stride', 10)),
        ('all', FrameChoice('all', 1)),
    ],
)
def test_frames(text, expected):
    assert frame_choice(text) == expected


@pytest.mark.parametrize('ending', ['py', 'json'])
def test_parser_from_a_file(tool, tmp_path, ending):
    config = dict(type='SegmenterParser', weights='net.ts', label_map='identity')
    path = tmp_path / f'segmenter.{ending}'
    path.write_text(json.dumps(config) if ending == 'json' else f'parser = {config!r}')
    args = tool.parse_args(['photos', 'out', '--parser', str(path), '--parser-weights', 'other.ts'])
    detector, parser, imports, _ = tool.components(args)
    assert detector == dict(type='YuNet') and imports == ()
    assert parser == {**config, 'weights': 'other.ts'}


def test_defaults(tool):
    detector, parser, *_ = tool.components(tool.parse_args(['photos', 'out']))
    assert detector == dict(type='YuNet') and parser == dict(type='FaRLParser', model='lapa/448')


def test_videos_and_folders_of_folders(tool, tmp_path, fake):
    write_pictures(tmp_path / 'photos' / 'summer' / 'sea', 2)
    (tmp_path / 'films').mkdir()
    write_video(tmp_path / 'films' / 'A film.mp4', [picture(seed, 64) for seed in range(11)])
    sources = [str(tmp_path / 'photos'), str(tmp_path / 'films')]
    assert tool.main([*sources, str(tmp_path / 'out'), *fake, '--frames', '3']) == 0
    assert [record.file for record in records(tmp_path / 'out')] == [
        'images/photos/summer/sea/00.png',
        'images/photos/summer/sea/01.png',
        'images/films/A film_frame_0.png',
        'images/films/A film_frame_5.png',
        'images/films/A film_frame_10.png',
    ]


def test_an_output_inside_a_source_is_not_a_source(tool, tmp_path, fake, capsys):
    write_pictures(tmp_path, 2)
    arguments = [str(tmp_path), str(tmp_path / 'out'), *fake]
    assert tool.main(arguments) == 0
    assert tool.main(arguments) == 0
    assert 'complete already' in capsys.readouterr().out


@pytest.mark.parametrize('form', ['folders', 'archive'])
def test_shares_of_every_format(tool, tmp_path, fake, form, capsys):
    write_pictures(tmp_path / 'photos', 5)
    options = [*fake, '--format', form]
    assert tool.main([str(tmp_path / 'photos'), str(tmp_path / 'whole'), *options]) == 0
    for shard in ('1', '0', '0'):
        shared = [*options, '--num-shards', '2', '--shard', shard]
        assert tool.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), *shared]) == 0
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def command(tmp_path, out, *options):
    environment = {**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}'}
    arguments = [sys.executable, str(SCRIPT), str(tmp_path / 'photos'), str(out), *options]
    return arguments, environment


@pytest.mark.slow
@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tool, tmp_path, number, code):
    photos, out = tmp_path / 'photos', tmp_path / 'out'
    write_pictures(photos, 300)
    options = [*config_options(tmp_path, seconds=0.02), '--workers', '2']
    arguments, environment = command(tmp_path, out, *options)
    process = subprocess.Popen(
        arguments,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell that runs the tests in the background has it ignored, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (out / '.prepare' / 'plan.json').is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    # Ctrl-C reaches all processes, here while they still import; kill reaches the parent
    os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert 'The same command goes on where it stopped.' in said and 'Traceback' not in said
    assert tool.main([str(photos), str(out), *options]) == 0
    assert tool.main([str(photos), str(tmp_path / 'whole'), *options, '--workers', '0']) == 0
    assert tree(out) == tree(tmp_path / 'whole')


@pytest.mark.slow
def test_ranks_of_torchrun(tool, tmp_path):
    write_pictures(tmp_path / 'photos', 300)
    options = config_options(tmp_path)
    arguments, environment = command(tmp_path, tmp_path / 'out', *options)
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    done = subprocess.run(
        [*launcher, *arguments[1:]], env=environment, capture_output=True, text=True, check=True
    )
    assert '300 sources -> 300 faces' in done.stdout
    assert tool.main([str(tmp_path / 'photos'), str(tmp_path / 'whole'), *options]) == 0
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


class BrightnessRule(torch.nn.Module):
    """A stand-in for a parser's network: darker pixels get higher labels; two outputs, as FaRL has."""

    def forward(self, images):
        grey = images.mean(1, keepdim=True)
        levels = torch.arange(11, device=images.device).view(1, 11, 1, 1) / 10
        return -((1 - grey - levels) ** 2), images


def farl_like(path):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch.jit is deprecated
        torch.jit.script(BrightnessRule()).save(str(path))
    return path


def train_as_printed(said, tmp_path):
    """Run the command that the preparation printed, on a shrunk model; returns the checkpoint's place."""
    line = next(line for line in said.splitlines() if line.startswith('next: '))
    train = shlex.split(line.removeprefix('next: fsfm-mm '))
    train[train.index('--work-dir') + 1] = str(tmp_path / 'work')
    small = {
        'model.pixel_decoder.depth': 1,
        'model.projector.hidden_dim': 32,
        'model.predictor.hidden_dim': 32,
        'model.backbone.arch': 'tiny',
        'train_dataloader.batch_size': 8,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'train_cfg.max_epochs': 1,
        'param_scheduler.total': 1,
        'param_scheduler.warmup': 0,
    }
    changes = [f'{key}={value}' for key, value in small.items()]
    assert commands.main([*train, '--cfg-options', *changes]) in (0, None)
    return Path('work/epoch_1.pth')


@pytest.mark.slow
@pytest.mark.faces
@pytest.mark.parametrize('models', ['yunet and template', 'retinaface and farl'])
def test_photos_to_a_trained_model(tool, faces, tmp_path, models, capsys):
    """The first command of the README with real detectors, and the one that it prints, on a shrunk model."""
    out = tmp_path / 'my_faces'
    approximate = models == 'yunet and template'
    if approximate:
        options = [
            '--parser',
            'template',
            '--detector-weights',
            faces / 'weights/face_detection_yunet_2023mar.onnx',
        ]
    else:  # both through facer's own classes, the second with a network that is made here
        options = [
            '--detector',
            'retinaface',
            '--parser',
            'farl',
            '--parser-weights',
            farl_like(tmp_path / 'net.pt'),
        ]
        options += ['--detector-weights', faces / 'weights/retinaface_mobilenet0.25_Final.pth']
    assert tool.main([*map(str, [faces / 'portraits', out, *options])]) == 0
    said = capsys.readouterr().out
    found = records(out)
    written = [record for record in found if record.status == 'ok']
    assert len({record.source for record in found}) == 60 and len(written) >= 58
    assert ('only roughly right' in said) == approximate
    assert json.loads((out / 'prepare.json').read_text())['approximate_maps'] is approximate
    image = cv2.imread(str(out / written[0].file))
    assert image.shape == (224, 224, 3)
    labels = np.load(out / written[0].map)
    if approximate:
        assert set(np.unique(labels)) >= {0, 1, 4, 5, 6}
        assert (tmp_path / train_as_printed(said, tmp_path)).is_file()
    else:  # darker pixels have higher labels
        grey = image.mean(2)
        means = [grey[labels[0] == label].mean() for label in range(11) if (labels[0] == label).sum() > 50]
        assert len(means) > 5 and means == sorted(means, reverse=True)
