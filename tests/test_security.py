"""Files that a user may get from elsewhere run nothing, overwrite nothing and are refused in one sentence."""

import functools
import hashlib
import http.server
import os
import pickle
import struct
import threading
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import PretrainedInit
from mmengine.runner import CheckpointLoader

from fsfm_mm.apis.loading import load
from fsfm_mm.checkpoints import load_checkpoint_file, save_checkpoint_file
from fsfm_mm.datasets import AntiSpoofDataset, FaceListDataset, FaceParsingDataset
from fsfm_mm.datasets.transforms import LoadFace
from fsfm_mm.engine.third_party import load_safely, refuse_remote_checkpoints
from fsfm_mm.files.pictures import read_parsing_map
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation.sources.spoofs import protocol_listing
from fsfm_mm.statistics import load_mean_std


class Program:
    """A pickle that writes a file when it is read."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return exec, (f'open({self.target!r}, "w").close()',)


@pytest.fixture
def data(tmp_path):
    """A data set of three faces with maps in a folder with other things beside it."""
    root = tmp_path / 'data'
    for name in ('images', 'parsing_maps', 'txt', 'frame'):
        (root / name).mkdir(parents=True)
    for i in range(3):
        picture = np.full((32, 32, 3), 80 * i, np.uint8)
        (root / f'images/{i}.png').write_bytes(cv2.imencode('.png', picture)[1].tobytes())
        np.save(root / f'parsing_maps/{i}.npy', np.ones((1, 32, 32), np.int8))
    np.save(root / 'table.npy', np.full((3, 4), 2, np.uint16))
    (tmp_path / 'private.txt').write_text('private')
    return root


@pytest.fixture(autouse=True)
def nothing_happens(tmp_path, request):
    """No file appears, changes or goes because a bad one was read."""
    state = {}
    request.node.bad_file_written = lambda: state.update(_digests(tmp_path))
    yield
    assert state, 'the test calls read_badly()'
    assert _digests(tmp_path) == state


def _digests(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob('*') if path.is_file()
    }


@pytest.fixture
def read_badly(request):
    """Call a function that must refuse a file in one sentence that names it."""

    def run(function, *words):
        request.node.bad_file_written()
        with pytest.raises(ValueError) as caught:
            function()
        message = str(caught.value)
        assert all(word in message for word in words), message
        assert '\n' not in message and len(message) < 400, message

    return run


def npy_promising(shape, dtype='|i1'):
    """A .npy file whose header speaks of an array that is not there."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + '\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode()


def bomb(path, name='arr_0.npy', size=1 << 26):
    """An archive of a few hundred kilobytes that unpacks to far more."""
    with (
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, 'w', force_zip64=True) as file,
    ):
        file.write(npy_promising((size,)))
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


def load_face(root):
    return LoadFace().transform(
        {'img_path': str(root / 'images/0.png'), 'map_path': str(root / 'parsing_maps/0.npy')}
    )


def with_table(root):
    return FaceParsingDataset(str(root), label_table=str(root / 'table.npy'))


def test_malicious_pickles(data, tmp_path, read_badly):
    target = tmp_path / 'was_here'
    array = np.empty(1, object)
    array[0] = Program(target)
    np.save(data / 'parsing_maps/0.npy', array, allow_pickle=True)
    read_badly(lambda: load_face(data), 'parsing_maps/0.npy', 'allow_pickle=False')


@pytest.mark.parametrize('kind', ['npy', 'pickle'])
def test_malicious_tables(data, tmp_path, read_badly, kind):
    array = np.empty(3, object)
    array[:] = Program(tmp_path / 'was_here')
    if kind == 'npy':
        np.save(data / 'table.npy', array, allow_pickle=True)
    else:
        (data / 'table.npy').write_bytes(pickle.dumps(array))
    read_badly(lambda: with_table(data), 'table.npy', 'label_table')


@pytest.mark.parametrize('legacy', [False, True])
def test_malicious_checkpoints(tmp_path, read_badly, legacy):
    path = tmp_path / 'x.pth'
    torch.save(
        {'state_dict': Program(tmp_path / 'was_here')}, path, _use_new_zipfile_serialization=not legacy
    )
    read_badly(lambda: load_checkpoint_file(path), 'x.pth', 'was not loaded', 'exec')


@pytest.mark.parametrize('part', ['model', 'model.backbone', 'model.data_preprocessor'])
def test_a_card_does_not_choose_what_is_imported(tmp_path, read_badly, monkeypatch, part):
    """mmengine imports and calls what a type with dots leads to."""
    (tmp_path / 'evil.py').write_text(
        f'open({str(tmp_path / "was_here")!r}, "w").close()\n\ndef Evil(**_): pass\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    backbone = dict(type='FusedAttentionViT', arch='tiny', img_size=32, patch_size=8)
    model = dict(
        type='ImageClassifier', backbone=backbone, data_preprocessor=dict(type='ClsDataPreprocessor')
    )
    (model if part == 'model' else model[part.partition('.')[2]])['type'] = 'evil.Evil'
    save_checkpoint_file({'state_dict': {}, 'card': dict(model=model)}, tmp_path / 'x.pth')
    read_badly(lambda: load(tmp_path / 'x.pth'), 'x.pth', 'evil.Evil', 'no registered class')


@pytest.fixture
def server(tmp_path):
    """Address of a folder that is served on this machine."""
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
        thread.join()


@pytest.mark.parametrize('way', ['load_from', 'Pretrained'])
def test_checkpoints_at_an_address(tmp_path, server, request, monkeypatch, way):
    folder, address = server
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    torch.save({'state_dict': Program(tmp_path / 'was_here')}, folder / 'x.pth')
    request.node.bad_file_written()
    refuse_remote_checkpoints()
    with pytest.raises(StoppedError, match='download it first, then name the file') as caught:
        if way == 'load_from':
            CheckpointLoader.load_checkpoint(f'{address}/x.pth')
        else:
            PretrainedInit(f'{address}/x.pth')(torch.nn.Linear(1, 1))
    assert f'{address}/x.pth' in str(caught.value)


@pytest.mark.parametrize('path', ['s3://a/b', 'x:s3://a/b', 'petrel://a', 'https://a/b', 'torchvision://a'])
def test_no_address_is_fetched(tmp_path, request, monkeypatch, path):
    (tmp_path / 'anything').touch()
    request.node.bad_file_written()
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    load_safely()
    with pytest.raises(StoppedError, match='download it first'):
        CheckpointLoader.load_checkpoint(path)


def test_archives_that_unpack_to_far_more(data, tmp_path, read_badly):
    bomb(data / 'parsing_maps/0.npy')
    bomb(data / 'table.npy')
    assert (data / 'table.npy').stat().st_size < 1 << 17
    read_badly(lambda: load_face(data), 'parsing_maps/0.npy', 'is not a readable .npy array')
    read_badly(lambda: with_table(data), 'table.npy', 'cannot be opened as a .npy file')
    bomb(tmp_path / 'x.pth', 'archive/data.pkl')
    read_badly(lambda: load_checkpoint_file(tmp_path / 'x.pth'), 'x.pth', 'is compressed')


def test_headers_that_promise_too_much(data, read_badly):
    (data / 'parsing_maps/0.npy').write_bytes(npy_promising((1, 1 << 20, 1 << 24)))
    read_badly(lambda: load_face(data), 'parsing_maps/0.npy', 'too few for int8 (1, 1048576, 16777216)')
    (data / 'table.npy').write_bytes(npy_promising((3, 1 << 40), '<u2'))
    read_badly(lambda: with_table(data), 'table.npy')


@pytest.mark.parametrize('rows', [2, 4])
def test_tables_of_another_length(data, read_badly, rows):
    np.save(data / 'table.npy', np.full((rows, 4), 2, np.uint16))
    read_badly(lambda: with_table(data), 'table.npy', f'has {rows} rows, but there are 3 images')


@pytest.mark.parametrize(
    'path', ['../private.txt', '/etc/passwd', 'images/../../private.txt', '..\\private.txt']
)
def test_lists_that_lead_out(data, read_badly, path):
    (data / 'list.txt').write_text(f'images/0.png real\n{path} fake\n')
    read_badly(lambda: FaceListDataset('list.txt', str(data)), 'list.txt:2', 'leads out')


@pytest.mark.parametrize('path', ['../b_frame0.png', 'own/../../b_frame0.png'])
def test_protocol_lists_that_lead_out(data, read_badly, path):
    (data / 'txt/own_real_train.txt').write_text('a_frame0.png\n')
    (data / 'txt/own_fake_train.txt').write_text(path + '\n')
    (data / 'frame/a_frame0.png').touch()
    where = ('own_fake_train.txt:1', 'leads out')
    read_badly(lambda: AntiSpoofDataset(str(data), 'own', 'train', protocol='MCIO'), *where)
    read_badly(lambda: protocol_listing(str(data / 'frame'), str(data / 'txt'), 'own'), *where)


@pytest.mark.parametrize('content', ['{"mean": [1e999, 0, 0], "std": [1, 1, 1]}', '[' * 100_000, 'x' * 100])
def test_statistics(tmp_path, read_badly, content):
    path = tmp_path / 'mean_std.json'
    path.write_text(content)
    read_badly(lambda: load_mean_std(path), 'mean_std.json')


def test_a_picture_is_not_decoded_beyond_a_limit(data, read_badly):
    # a PNG header of 60000 x 60000 pixels with no data to speak of
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)
    (data / 'images/0.png').write_bytes(
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'') + chunk(b'IEND', b'')
    )
    read_badly(lambda: load_face(data), 'images/0.png')


@pytest.mark.parametrize(
    'name', ['images/0.png', 'parsing_maps/0.npy', 'table.npy', 'x.pth', 'mean.json', 'list.txt']
)
def test_pipes_are_not_waited_at(data, read_badly, name):
    (data / name).unlink(missing_ok=True)
    os.mkfifo(data / name)
    read = {
        'table.npy': lambda: with_table(data),
        'x.pth': lambda: load_checkpoint_file(data / 'x.pth'),
        'mean.json': lambda: load_mean_std(data / 'mean.json'),
        'list.txt': lambda: FaceListDataset(str(data / 'list.txt'), str(data)),
    }.get(name, lambda: load_face(data))
    read_badly(read, f'{name}: is not a file')


def test_headers_that_do_not_end(data, read_badly):
    # numpy hands them to a parser of Python, whose own errors come out
    for name in ('table.npy', 'parsing_maps/0.npy'):
        (data / name).write_bytes((data / name).read_bytes().replace(b'}', b' ', 1))
    read_badly(lambda: with_table(data), 'table.npy', 'label_table cannot be opened as a .npy file')
    read_badly(lambda: load_face(data), 'parsing_maps/0.npy', 'is not a readable .npy array')


def test_a_png_with_a_short_header(tmp_path, read_badly):
    png = cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes()
    header = b'IHDR' + png[16:24]  # 8 of 13 bytes, with a right checksum
    chunk = struct.pack('>I', 8) + header + struct.pack('>I', zlib.crc32(header))
    (tmp_path / 'map.png').write_bytes(png[:8] + chunk + png[33:])
    read_badly(lambda: read_parsing_map(str(tmp_path / 'map.png')), 'map.png', 'cannot be decoded as a PNG')
