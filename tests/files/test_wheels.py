"""Files out of a wheel: of the given one, of the cache, of pip; checked, and clear when there is none."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from fsfm_mm.files.wheels import Wheel

CONTENT = {'kit/nets/one.tflite': b'one' * 100, 'kit/nets/two.tflite': b'two' * 100}
WHEEL = Wheel(
    'kit', '1.2', '3.11', 'any', {path: hashlib.sha256(data).hexdigest() for path, data in CONTENT.items()}
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('FSFM_MM_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'weights'


def wheel_file(folder, content=CONTENT):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'kit-1.2-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def pip(monkeypatch):
    """Commands that were called; a wheel for each, unless the second list has a reason why not."""
    calls, refusals = [], []

    def run(command, **options):
        calls.append(command)
        if not refusals:
            wheel_file(Path(command[command.index('-d') + 1]))
        return subprocess.CompletedProcess(command, len(refusals), '', '\n'.join(refusals))

    monkeypatch.setattr(subprocess, 'run', run)
    return calls, refusals


def test_a_given_wheel_is_read_and_checked(tmp_path, pip, cache):
    path = wheel_file(tmp_path / 'mine')
    assert WHEEL.read('two.tflite', path, '--parser-weights') == CONTENT['kit/nets/two.tflite']
    assert pip[0] == [] and not cache.exists()
    other = wheel_file(tmp_path / 'other', {**CONTENT, 'kit/nets/two.tflite': CONTENT['kit/nets/one.tflite']})
    with pytest.raises(ValueError, match=r'two.tflite is not the expected file .* name one of kit 1\.2'):
        WHEEL.read('two.tflite', other, '--parser-weights')
    with pytest.raises(ValueError, match=r'is no wheel of kit 1\.2: it holds no two'):
        WHEEL.read('two.tflite', wheel_file(tmp_path / 'third', {'a': b''}), '--parser-weights')
    with pytest.raises(ValueError, match='does not exist'):
        WHEEL.read('two.tflite', tmp_path / 'none.whl', '--parser-weights')
    (tmp_path / 'no.whl').write_bytes(b'no archive')
    with pytest.raises(ValueError, match='is no wheel of kit'):
        WHEEL.read('two.tflite', tmp_path / 'no.whl', '--parser-weights')


def test_pip_fetches_once_for_all_files(pip, cache):
    for name in ('one.tflite', 'two.tflite', 'one.tflite'):
        assert WHEEL.read(name, None, '--parser-weights') == CONTENT[f'kit/nets/{name}']
    assert len(pip[0]) == 1 and {'download', '--no-deps', 'kit==1.2'} <= set(pip[0][0])
    assert sorted(path.name for path in cache.iterdir()) == ['kit-1.2.lock', 'one.tflite', 'two.tflite']


def test_a_spoilt_cache_is_refused(pip, cache):
    WHEEL.read('one.tflite', None, '--parser-weights')
    (cache / 'one.tflite').write_bytes(b'spoilt')
    with pytest.raises(ValueError, match='delete it, and it is fetched again'):
        WHEEL.read('one.tflite', None, '--parser-weights')


def test_without_an_index_the_message_says_what_to_do(pip, cache):
    pip[1].append('ERROR: No matching distribution found for kit==1.2')
    with pytest.raises(
        ConnectionError, match=r'No matching .*name the file \(--parser-weights WHEEL\)'
    ) as caught:
        WHEEL.read('one.tflite', None, '--parser-weights')
    assert len(str(caught.value)) <= 300
    assert [path.name for path in cache.iterdir()] == ['kit-1.2.lock']
