import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsfm_mm.commands import pack as command
from fsfm_mm.datasets import ArchivedFaces, FaceParsingDataset, dense_collate
from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, LoadFace, PackFaces, ResizeFace
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.chunks import Workshop
from fsfm_mm.preparation.manifest import FaceRecord

ROOT = Path(__file__).resolve().parents[2]
SIZE, PATCH = 32, 8


def make(root, count=11, size=SIZE, images=True):
    """A data set in the published layout, nested, with a dot in a name."""
    rng = np.random.default_rng(0)
    for i in range(count):
        name = f'{"ab"[i % 2]}/f{i:02d}' if i else 'a/dot.ted'
        for folder in ('images', 'parsing_maps'):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        (root / 'images' / f'{name}.png').write_bytes(cv2.imencode('.png', image)[1].tobytes())
        labels = np.kron(rng.integers(0, 11, (size // 8, size // 8)), np.ones((8, 8)))
        np.save(root / 'parsing_maps' / f'{name}.npy', labels.astype(np.int8)[None])
    return root


def run(*arguments, check=None, env=None):
    command = [sys.executable, str(ROOT / 'tools/data/pack.py'), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert check is None or done.returncode == check, done.stderr
    return done


@pytest.fixture
def pack():
    """The command, in this process."""
    return lambda *arguments: command.main([*map(str, arguments), '--workers', '0'])


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def manifest(out):
    return [FaceRecord.from_json(line, 'x') for line in (out / 'manifest.jsonl').read_text().splitlines()]


def batch_of(kind, root, size=SIZE):
    steps = [LoadFace(), ResizeFace(size), BuildPatchLabels(PATCH), CRFRPMask(), PackFaces()]
    np.random.seed(1)
    return dense_collate(kind(str(root), pipeline=steps).__getitems__(list(range(11))))


@pytest.mark.parametrize('kind', ['raw', 'png'])
@pytest.mark.parametrize('size', [32, 48])
def test_exact_formats_train_on_the_same_batches(tmp_path, pack, capsys, kind, size):
    make(tmp_path / 'data')
    options = ['--image-format', kind, '--patch-size', PATCH, '--chunk-size', 4, '--size', size]
    assert pack(tmp_path / 'data', tmp_path / 'out', *options) == 0
    assert '11 sources -> 11 faces' in capsys.readouterr().out
    expected, found = (
        batch_of(FaceParsingDataset, tmp_path / 'data', size),
        batch_of(ArchivedFaces, tmp_path / 'out', size),
    )
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
    records = manifest(tmp_path / 'out')
    assert [r.file for r in records] == sorted(
        ['a/dot.ted', *(f'{"ab"[i % 2]}/f{i:02d}' for i in range(1, 11))]
    )
    assert records[0].source == 'a/dot.ted.png' and abs(sum(records[0].labels.values()) - 1) < 1e-4
    stats = json.loads((tmp_path / 'out/mean_std.json').read_text())
    np.testing.assert_allclose(stats['mean'], expected['inputs'].numpy().mean((0, 2, 3)) / 255, rtol=1e-12)


def test_jpeg_is_the_default(tmp_path, pack):
    make(tmp_path / 'data', size=224, count=2)
    assert pack(tmp_path / 'data', tmp_path / 'out') == 0
    dataset = ArchivedFaces(str(tmp_path / 'out'), pipeline=())
    header = json.loads((tmp_path / 'out/archive/archive.json').read_text())
    assert (header['encoding'], header['size'], header['patch_size']) == ('jpeg', [224, 224], 16)
    labels = np.load(tmp_path / 'data/parsing_maps/b/f01.npy')[0]
    np.testing.assert_array_equal(dataset[1]['patch_labels'], patch_labels(labels.astype(np.uint8), 16))


@pytest.mark.slow
def test_workers_and_interruptions_change_nothing(tmp_path, pack):
    make(tmp_path / 'data')
    options = ['--chunk-size', 2, '--size', 96]
    assert pack(tmp_path / 'data', tmp_path / 'a', *options) == 0
    run(tmp_path / 'data', tmp_path / 'b', *options, '--workers', 2, check=0)
    assert files(tmp_path / 'a') == files(tmp_path / 'b')
    before = {p: os.stat(tmp_path / 'b' / p).st_mtime_ns for p in files(tmp_path / 'b')}
    assert pack(tmp_path / 'data', tmp_path / 'b', *options) == 0  # complete already
    assert before == {p: os.stat(tmp_path / 'b' / p).st_mtime_ns for p in files(tmp_path / 'b')}


def test_an_interrupted_run_keeps_what_it_has(tmp_path, pack, capsys, monkeypatch):
    make(tmp_path / 'data')
    options = ['--chunk-size', 2, '--size', 32]
    assert pack(tmp_path / 'data', tmp_path / 'whole', *options) == 0
    real, chunks = Workshop.prepare_chunk, []

    def interrupted(shop, chunk, attempt):
        chunks.append(chunk.number)
        if len(chunks) == 4:
            raise KeyboardInterrupt
        return real(shop, chunk, attempt)

    monkeypatch.setattr(Workshop, 'prepare_chunk', interrupted)
    assert pack(tmp_path / 'data', tmp_path / 'out', *options) == 130
    assert 'goes on where it stopped' in capsys.readouterr().err
    with pytest.raises(ValueError, match='an archive has it once its run is complete'):
        ArchivedFaces(str(tmp_path / 'out'))
    assert pack(tmp_path / 'data', tmp_path / 'out', *options) == 0
    assert chunks == [0, 1, 2, 3, 3, 4, 5] and files(tmp_path / 'out') == files(tmp_path / 'whole')


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    make(tmp_path / 'data', count=60)
    options = ['--chunk-size', 3, '--size', 224, '--image-format', 'raw', '--workers', 1]
    run(tmp_path / 'data', tmp_path / 'whole', *options, check=0)
    out, kills, seen = tmp_path / 'killed', 0, []
    for wanted in (1, 9):
        command = [
            sys.executable,
            str(ROOT / 'tools/data/pack.py'),
            str(tmp_path / 'data'),
            str(out),
            *map(str, options),
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and len(list(out.glob('.prepare/chunks/*.jsonl'))) < wanted:
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        seen.append(len(list(out.glob('.prepare/chunks/*.jsonl'))))
    assert kills and seen == sorted(seen)
    run(tmp_path / 'data', out, *options, check=0)
    assert files(out) == files(tmp_path / 'whole')


#: In every process: OpenCV dies of pictures that say so.
DEADLY = """
import os
import cv2
decode = cv2.imdecode
def imdecode(data, flags):
    if b'deAdly' in data.tobytes():
        os.kill(os.getpid(), 9)
    return decode(data, flags)
cv2.imdecode = imdecode
"""


@pytest.mark.slow
def test_a_picture_that_kills_its_process_is_named(tmp_path):
    data = make(tmp_path / 'data', count=20)
    deadly = data / 'images/b/f07.png'
    whole, part = (
        deadly.read_bytes(),
        b'deAdly',
    )  # a part of its own, which decoders pass over, before the last one
    part = len(part).to_bytes(4, 'big') + b'deAd' + part + zlib.crc32(b'deAd' + part).to_bytes(4, 'big')
    deadly.write_bytes(whole[:-12] + part + whole[-12:])
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site' / 'sitecustomize.py').write_text(DEADLY)
    path = os.pathsep.join([str(tmp_path / 'site'), *filter(None, [os.environ.get('PYTHONPATH')])])
    for workers in (1, 2):
        done = run(
            *(
                data,
                tmp_path / f'{workers}',
                '--chunk-size',
                4,
                '--image-format',
                'raw',
                '--workers',
                workers,
            ),
            env={**os.environ, 'PYTHONPATH': path},
        )
        assert done.returncode == 2 and 'Traceback' not in done.stderr
        assert 'b/f07.png' in done.stdout + done.stderr and 'died (SIGKILL' in done.stdout + done.stderr
    assert files(tmp_path / '1') == files(tmp_path / '2')
    packed = ArchivedFaces(str(tmp_path / '1'), pipeline=[])
    assert len(packed) == 19
    (lost,) = [record for record in manifest(tmp_path / '1') if record.status != 'ok']
    assert (lost.source, lost.status, lost.file) == ('b/f07.png', 'crashed', None)


def session_of(leader):
    """Processes of a session, by its leader's id."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
        except OSError:  # gone in the meantime
            continue
        if int(fields[3]) == leader and fields[0] != 'Z':
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize('number, code', [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_nothing_outlives_the_command(tmp_path, number, code):
    make(tmp_path / 'data', count=60)
    options = ['--chunk-size', '1', '--size', '1024', '--image-format', 'raw', '--workers', '2']
    script = str(ROOT / 'tools/data/pack.py')
    command = [sys.executable, script, str(tmp_path / 'data'), str(tmp_path / 'out'), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not list(tmp_path.glob('out/.prepare/chunks/*.jsonl')):
        time.sleep(0.002)
    assert len(session_of(process.pid)) > 1
    process.send_signal(number)
    assert process.wait() == code
    deadline = time.monotonic() + 20
    while session_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = session_of(process.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
    said = process.stderr.read()
    process.stderr.close()
    assert 'Traceback' not in said and ('goes on where it stopped' in said) == (code == 143)


def test_pictures_keep_their_own_size(tmp_path, pack, capsys):
    data = make(tmp_path / 'data', size=112)
    assert pack(data, tmp_path / 'out', '--image-format', 'raw') == 0
    first = cv2.imread(str(data / 'images/a/dot.ted.png'))
    np.testing.assert_array_equal(ArchivedFaces(str(tmp_path / 'out'), pipeline=())[0]['img'], first)
    other = data / 'images/b/f05.png'
    for shape, start in (
        ((112, 96), 'b/f05.png is 96x112 pixels, but the first'),
        ((32, 32), 'b/f05.png is'),
    ):
        other.write_bytes(cv2.imencode('.png', np.zeros((*shape, 3), np.uint8))[1].tobytes())
        np.save(data / 'parsing_maps/b/f05.npy', np.zeros(shape, np.int8))
        assert pack(data, tmp_path / f'mixed{shape[1]}') == 1
        error = capsys.readouterr().err
        assert start in error and 'the first picture 112x112: --size resizes them' in error
    assert pack(data, tmp_path / 'resized', '--size', 112) == 0
    capsys.readouterr()
    (data / 'images/a/dot.ted.png').write_bytes(
        cv2.imencode('.png', np.zeros((8, 9, 3), np.uint8))[1].tobytes()
    )
    assert pack(data, tmp_path / 'oblong') == 1
    assert 'dot.ted.png is 9x8 pixels, no square: --size resizes it.' in capsys.readouterr().err


@pytest.mark.parametrize('approximate', [True, False])
def test_approximate_maps_stay_approximate(tmp_path, pack, approximate):
    data = make(tmp_path / 'data')
    (data / 'prepare.json').write_text(json.dumps({'approximate_maps': approximate}))
    assert pack(data, tmp_path / 'out', '--size', SIZE) == 0
    assert json.loads((tmp_path / 'out/prepare.json').read_text())['approximate_maps'] is approximate
    assert pack(data, tmp_path / 'bare', '--size', SIZE, '--no-maps') == 0
    assert json.loads((tmp_path / 'bare/prepare.json').read_text())['approximate_maps'] is False


@pytest.mark.parametrize('text', ['{', '[]'])
def test_a_broken_summary_is_told(tmp_path, pack, text, capsys):
    data = make(tmp_path / 'data')
    (data / 'prepare.json').write_text(text)
    assert pack(data, tmp_path / 'out') == 1
    assert 'prepare.json: ' in capsys.readouterr().err


def test_unreadable_images_cost_themselves_only(tmp_path, pack, capsys):
    data = make(tmp_path / 'data')
    (data / 'images/a/f02.png').write_bytes(b'no image')
    np.save(data / 'parsing_maps/a/f04.npy', np.full((32, 32), 99))
    assert pack(data, tmp_path / 'out', '--size', 32) == 2
    assert '9 faces' in capsys.readouterr().out
    bad = {r.source: r.message for r in manifest(tmp_path / 'out') if r.status == 'unreadable'}
    assert set(bad) == {'a/f02.png', 'a/f04.png'} and 'cannot be decoded' in bad['a/f02.png']
    assert 'labels must lie in 0..10' in bad['a/f04.png'] and len(ArchivedFaces(str(tmp_path / 'out'))) == 9


def test_wrong_inputs_are_told_in_one_sentence(tmp_path, pack, capsys):
    data = make(tmp_path / 'data')
    (tmp_path / 'empty/images').mkdir(parents=True)
    (tmp_path / 'taken').mkdir()
    (tmp_path / 'taken/x').write_text('')
    for arguments, message in [
        ((tmp_path / 'nowhere', tmp_path / 'o'), 'nowhere/images: no such folder'),
        ((tmp_path / 'empty', tmp_path / 'o'), 'empty/images: no images found'),
        (
            (data, tmp_path / 'o', '--size', 100, '--patch-size', 16),
            '100 pixels cannot be cut into patches of 16',
        ),
        ((data, tmp_path / 'o', '--size', 0), '--size must be 8 or more, found 0'),
        ((data, tmp_path / 'o', '--chunk-size', 0), '--chunk-size must be 1 or more'),
        ((data, tmp_path / 'o', '--quality', 0), 'quality must lie within 1 and 100'),
        ((data, tmp_path / 'taken'), 'taken holds files of something else'),
        ((data, tmp_path / 'taken/x/o'), 'taken/x is a file: name a folder'),
    ]:
        assert pack(*arguments) == 1
        error = capsys.readouterr().err
        assert message in error and error.count('\n') == 1
    (data / 'parsing_maps/b/f03.npy').unlink()
    assert pack(data, tmp_path / 'o') == 1
    assert '1 of 11 images have no parsing map' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()
    assert pack(data, tmp_path / 'skip', '--missing-maps', 'skip') == 0
    assert pack(data, tmp_path / 'none', '--no-maps') == 0
    assert '11 sources -> 11 faces' in capsys.readouterr().out
    assert not ArchivedFaces(str(tmp_path / 'none'), need_maps=False).archives[0].header.maps
    assert pack(data, tmp_path / 'skip', '--no-maps') == 1
    assert 'was begun with' in capsys.readouterr().err


def test_help_says_how(pack, capsys):
    with pytest.raises(SystemExit) as info:
        pack('--help')
    text = capsys.readouterr().out
    assert info.value.code == 0 and 'ArchivedFaces' in text and 'goes on where it stopped' in text
