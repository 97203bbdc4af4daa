import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fsfm_mm.statistics import compute_statistics, resolve_stats

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'data' / 'compute_mean_std.py'


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('fsfm_mm.commands.stats')


def write_images(folder, count, size=16, seed=0):
    """Random pictures with a different range in each channel; returns them, uint8 (N, S, S, 3) RGB."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, [256, 100, 30], (count, size, size, 3)).astype(np.uint8)
    for i, image in enumerate(images):
        (folder / f'é {i:03d}.png').write_bytes(cv2.imencode('.png', image[..., ::-1])[1].tobytes())
    return images


def expected(images):
    pixels = images.reshape(-1, 3) / 255.0
    return pixels.mean(0), pixels.std(0)


@pytest.mark.parametrize('workers', [0, 2])
def test_values_are_those_of_all_pixels(tool, tmp_path, workers):
    first = write_images(tmp_path / 'set a' / 'images', 40)
    second = write_images(tmp_path / 'plain', 30, seed=1)
    out = tmp_path / 'out.json'
    roots = [str(tmp_path / 'set a'), str(tmp_path / 'plain')]
    tool.main([*roots, '--out', str(out), '--size', '16', '--workers', str(workers)])
    written = json.loads(out.read_text())
    mean, std = expected(np.concatenate([first, second]))
    np.testing.assert_allclose(written['mean'], mean, rtol=1e-12)
    np.testing.assert_allclose(written['std'], std, rtol=1e-12)
    assert written['num_images'] == 70 and written['size'] == 16 and written['broken_files'] == []
    assert resolve_stats(str(out)) == (written['mean'], written['std'])


def test_size_and_interpolation_are_those_of_training(tool, tmp_path):
    images = write_images(tmp_path / 'images', 2, size=16)
    stats = compute_statistics(tool.find_images([str(tmp_path)], None), 8, 'area', 0)
    halves = [cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA) for image in images]
    np.testing.assert_allclose(stats['std'], expected(np.stack(halves))[1], rtol=1e-12)


def test_broken_files_are_counted_and_named(tool, tmp_path, capsys):
    images = write_images(tmp_path / 'images', 3, size=32)
    (tmp_path / 'images' / 'bad ü.jpg').write_bytes(b'\xff\xd8 no picture')
    tool.main([str(tmp_path), '--size', '32', '--workers', '0'])
    written = json.loads((tmp_path / 'mean_std.json').read_text(encoding='utf-8'))
    np.testing.assert_allclose(written['mean'], expected(images)[0], rtol=1e-12)
    assert written['num_images'] == 3
    assert len(written['broken_files']) == 1 and 'bad ü.jpg: cannot be decoded' in written['broken_files'][0]
    captured = capsys.readouterr()
    assert 'left out: ' in captured.err and 'bad ü.jpg' in captured.err
    assert '3 images (1 broken)' in captured.out
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ['mean_std.json']


def test_splits_that_are_counted_together_are_named(tool, tmp_path, capsys):
    for split in ('train', 'test'):
        (tmp_path / split / 'real').mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / 'real' / '0.png'), np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    assert tool.main([str(tmp_path), '--workers', '0']) == 0
    assert f'over train and test of {tmp_path} together: name {tmp_path}/train' in capsys.readouterr().out
    assert tool.main([str(tmp_path / 'train'), '--workers', '0']) == 0
    assert 'together' not in capsys.readouterr().out


def test_black_pictures_have_no_statistics(tool, tmp_path):
    cv2.imwrite(str(tmp_path / '0.png'), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(SystemExit, match='has one value only, so its deviation is 0'):
        tool.main([str(tmp_path), '--workers', '0'])
    assert not (tmp_path / 'mean_std.json').exists()


def test_limit_is_spread_evenly(tool, tmp_path):
    write_images(tmp_path / 'images', 10)
    names = [os.path.basename(p) for p in tool.find_images([str(tmp_path)], 4)]
    assert names == ['é 000.png', 'é 002.png', 'é 005.png', 'é 007.png']
    assert len(tool.find_images([str(tmp_path)], 99)) == 10


def test_errors_name_the_path(tool, tmp_path):
    with pytest.raises(SystemExit, match=r'fsfm-mm stats: .*nowhere: no such folder'):
        tool.main([str(tmp_path / 'nowhere')])
    (tmp_path / 'images').mkdir()
    with pytest.raises(SystemExit, match=r'fsfm-mm stats: .*images: no images \(\.jpg'):
        tool.main([str(tmp_path)])
    (tmp_path / 'images' / 'a.png').write_bytes(b'x')
    with pytest.raises(SystemExit, match=r'fsfm-mm stats: None of 1 images is readable; the first: .*a\.png'):
        tool.main([str(tmp_path), '--workers', '0'])
    with pytest.raises(SystemExit, match='fsfm-mm stats: --limit must be positive, but is 0'):
        tool.main([str(tmp_path), '--limit', '0'])
    assert not (tmp_path / 'mean_std.json').exists()


def test_command_line(tmp_path):
    images = write_images(tmp_path / 'images', 2, size=8)
    command = [sys.executable, str(SCRIPT), str(tmp_path), '--size', '8', '--workers', '1']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert '2 images (0 broken)' in done.stdout
    written = json.loads((tmp_path / 'mean_std.json').read_text())
    np.testing.assert_allclose(written['mean'], expected(images)[0], rtol=1e-12)


@pytest.mark.faces
def test_real_faces(tool, faces):
    paths = tool.find_images([str(faces / 'pretrain')], 40)
    stats = compute_statistics(paths, 224, 'bicubic', 0)
    mean, std = expected(np.stack([np.asarray(Image.open(path).convert('RGB')) for path in paths]))
    np.testing.assert_allclose(stats['mean'], mean, rtol=1e-10)
    np.testing.assert_allclose(stats['std'], std, rtol=1e-10)
