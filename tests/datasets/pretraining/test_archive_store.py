import functools
import http.server
import json
import multiprocessing
import os
import pickle
import threading

import cv2
import fsspec
import numpy as np
import pytest
import torch
from archive_files import COUNT, SIZE, face, picture, pipeline, written
from face_files import label_map
from torch.utils.data import DataLoader

from fsfm_mm.datasets import ArchivedFaces, BrokenSampleError, dense_collate
from fsfm_mm.preparation.writers.archive import ArchiveWriter


def batch_of(dataset, indices):
    np.random.seed(3)
    return dense_collate(dataset.__getitems__(indices))


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def test_archives_without_a_table_give_maps(tmp_path):
    dataset = ArchivedFaces(written('png maps', tmp_path), pipeline=())
    for i in range(COUNT):
        np.testing.assert_array_equal(dataset[i]['img'], picture(i))
        np.testing.assert_array_equal(dataset[i]['parsing_map'], label_map(i))
    assert dataset[6]['img_path'] == f'{tmp_path}/archive/faces-000002.tar#f006'
    assert dataset[-1]['sample_idx'] == COUNT - 1


@pytest.mark.parametrize('image_format, ending', [('png', 'png'), ('jpeg', 'jpg'), ('raw', 'raw')])
def test_webdataset_reads_the_shards(tmp_path, image_format, ending):
    wds = pytest.importorskip('webdataset')
    keys = ['plain', 'sub/photo', 'a.b/c.v2', 'Zoë 1', '100%.x', 'k' * 150]
    faces = [face(i, key) for i, key in enumerate(keys)]
    writer = ArchiveWriter(image_format)
    writer.write_chunk(tmp_path, 0, faces)
    writer.finish(tmp_path, 1, [one.record for one in faces])
    samples = list(wds.WebDataset(str(tmp_path / 'archive/faces-000000.tar'), shardshuffle=False))
    expected = ['plain', 'sub/photo', 'a%2Eb/c%2Ev2', 'Zoë 1', '100%25%2Ex', 'k' * 150]
    assert [sample['__key__'] for sample in samples] == expected
    ours = ArchivedFaces(str(tmp_path), pipeline=())
    for i, sample in enumerate(samples):
        data = np.frombuffer(sample[ending], np.uint8)
        if ending == 'raw':
            image = data.reshape(3, SIZE, SIZE)[::-1].transpose(1, 2, 0)
        else:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        labels = cv2.imdecode(np.frombuffer(sample['map.png'], np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, ours[i]['img'])
        np.testing.assert_array_equal(labels, label_map(i))
        record = json.loads(sample['json'])
        assert (
            record['file'] == keys[i] and record['source'] == f'{keys[i]}.jpg' and len(record['sha256']) == 64
        )
        assert record['map'] == f'{expected[i]}.map.png'


def overwrite(path, offset, data):
    with open(path, 'r+b') as file:
        file.seek(offset)
        file.write(data)


def test_broken_samples_are_named(tmp_path):
    root, folder = written('png maps', tmp_path), tmp_path / 'archive'
    index = np.load(folder / 'index.npy')
    dataset = ArchivedFaces(root, pipeline=pipeline())
    dataset.full_init()  # what follows happens in mid-run
    overwrite(folder / 'faces-000000.tar', index['image'][1] - 512, b'damaged')  # header of an image
    overwrite(folder / 'faces-000000.tar', index['map'][2] - 512, b'\0' * 512)  # header of a map
    overwrite(folder / 'faces-000000.tar', index['image'][3] + 30, b'\0' * 200)  # an image
    overwrite(folder / 'faces-000000.tar', index['map'][4] + 2, b'x')  # a map
    os.truncate(folder / 'faces-000002.tar', index['image'][7] + 10)
    (folder / 'faces-000003.tar').unlink()
    with open(folder / 'faces-000004.tar', 'rb') as file:  # header of another face at that place
        file.seek(index['image'][14] - 512)
        header = file.read(512)
    overwrite(folder / 'faces-000004.tar', index['image'][13] - 512, header)
    where = r'faces-00000%d\.tar#f0%02d'
    for i, shard, reason in [
        (1, 0, r': damaged tar header \(bad checksum\)'),
        (2, 0, r': damaged tar header \(end of file header\)'),
        (3, 0, r'\.png: cannot be decoded as an image'),
        (4, 0, r'\.map\.png: cannot be decoded as a PNG'),
        (7, 2, r': the shard is cut off, \d+ of \d+ bytes are left'),
        (11, 2, r': the shard is cut off, 0 of \d+ bytes'),
        (12, 3, r': cannot be read \(.*No such file'),
        (13, 4, r": the shard has 'f014\.png' of \d+ bytes where the index has 'f013\.png' of \d+"),
    ]:
        with pytest.raises(BrokenSampleError, match=where % (shard, i) + reason):
            dataset.__getitems__([0, i])
    assert len(dataset.__getitems__([0, 5, 6])) == 3


def test_a_damaged_shard_does_not_stop_a_run(tmp_path, warnings_of):
    root = written('png maps', tmp_path, chunks=(3, 40, 2))
    os.truncate(tmp_path / 'archive/faces-000001.tar', 700)
    dataset = ArchivedFaces(root, on_broken='skip', pipeline=())
    loader = DataLoader(dataset, batch_size=9, num_workers=2, collate_fn=list)
    seen = [sample['sample_idx'] for batch in loader for sample in batch]
    # the next shard's first sample, or sample 43 itself after 42
    assert seen == [0, 1, 2, *[43] * 40, 43, 44]
    names = dataset.broken_files()
    assert names == [f'{tmp_path}/archive/faces-000001.tar#f{i:03d}' for i in range(3, 43)]
    (tmp_path / 'archive/faces-000002.tar').unlink()
    assert dataset[44]['sample_idx'] == 0
    (tmp_path / 'archive/faces-000000.tar').unlink()
    fresh = ArchivedFaces(root, on_broken='skip', pipeline=())
    with pytest.raises(
        ValueError, match=r'4 samples in a row are broken.*the first one: .*faces-000002\.tar#f043: cannot'
    ):
        fresh[43]


def test_several_roots_and_subsets(tmp_path):
    roots = [written('png maps', tmp_path / 'a'), written('jpeg maps', tmp_path / 'b', chunks=(2, 4))]
    dataset = ArchivedFaces(roots, pipeline=())
    assert dataset.shard_numbers().tolist() == [0] * 5 + [2] * 7 + [3] + [4] * 3 + [5] * 2 + [6] * 4
    subset = dataset.get_subset([20, 1])
    assert [sample['img_path'] for sample in subset] == [
        f'{tmp_path}/b/archive/faces-000001.tar#f004',
        f'{tmp_path}/a/archive/faces-000000.tar#f001',
    ]
    assert subset.shard_numbers().tolist() == [6, 0]


def test_pickling_copies_no_data(tmp_path):
    dataset = ArchivedFaces(written('png maps', tmp_path), pipeline=pipeline())
    expected = batch_of(dataset, [4, 11])
    data = pickle.dumps(dataset)
    assert len(data) < 4000
    assert_equal(batch_of(pickle.loads(data), [4, 11]), expected)


def remote(folder):
    """The shards in fsspec's memory file system; its address."""
    memory = fsspec.filesystem('memory')
    if memory.exists('/bucket'):
        memory.rm('/bucket', recursive=True)
    for path in folder.iterdir():
        memory.pipe(f'/bucket/faces/{path.name}', path.read_bytes())
    return 'memory://bucket/faces'


@pytest.mark.parametrize('cached', [False, True])
def test_an_object_store(tmp_path, cached):
    local = ArchivedFaces(written('png maps', tmp_path / 'a'), pipeline=pipeline())
    options = dict(cache_dir=str(tmp_path / 'cache')) if cached else {}
    dataset = ArchivedFaces(remote(tmp_path / 'a/archive'), pipeline=pipeline(), **options)
    indices = [3, 0, 15, 8, 9, 10]
    assert_equal(batch_of(dataset, indices), batch_of(local, indices))
    assert dataset.data_path(6) == 'memory://bucket/faces/faces-000002.tar#f006'
    fs = fsspec.filesystem('memory')
    fs.rm('/bucket/faces/faces-000002.tar')
    if cached:  # shards are there as a whole
        assert_equal(batch_of(dataset, [5, 11]), batch_of(local, [5, 11]))
        names = sorted(p.name for p in (tmp_path / 'cache').glob('*/*.tar'))
        assert names == ['faces-000000.tar', 'faces-000002.tar', 'faces-000004.tar']
    else:
        with pytest.raises(BrokenSampleError, match=r'faces-000002\.tar#f005: cannot be read'):
            dataset[5]
    fs.pipe('/bucket/faces/faces-000003.tar', b'short')
    with pytest.raises(
        BrokenSampleError, match=r'faces-000003\.tar#f012: (cannot be read \(5 of|the shard is cut off)'
    ):
        dataset[12]


def test_the_cache_is_bounded(tmp_path):
    written('png maps', tmp_path / 'a', chunks=(3, 3, 3, 3))
    size = max(p.stat().st_size for p in (tmp_path / 'a/archive').glob('*.tar'))
    dataset = ArchivedFaces(
        remote(tmp_path / 'a/archive'),
        cache_dir=str(tmp_path / 'c'),
        cache_gib=2.5 * size / 2**30,
        pipeline=(),
    )
    held = lambda: sorted(p.name[-5:-4] for p in (tmp_path / 'c').glob('*/*.tar'))  # noqa: E731
    for i, expected in [(0, '0'), (3, '01'), (6, '12'), (1, '02'), (11, '03')]:
        np.testing.assert_array_equal(dataset[i]['img'], picture(i))
        assert ''.join(held()) == expected
        os.utime(
            next((tmp_path / 'c').glob(f'*/faces-00000{i // 3}.tar')),
            ns=(0, (i + 100) * 10**9 if i != 1 else 10**12),
        )
    np.testing.assert_array_equal(dataset[2]['img'], picture(2))


def test_addresses_that_cannot_be_opened(tmp_path):
    with pytest.raises(
        ValueError, match=r'nosuch://x: cannot be opened by fsspec \(Protocol not known: nosuch'
    ):
        ArchivedFaces('nosuch://x')
    with pytest.raises(ValueError, match=r'memory://nothing/archive\.json: cannot be fetched'):
        ArchivedFaces('memory://nothing')


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers ranges, as object stores do."""

    def do_GET(self):
        path, wanted = self.translate_path(self.path), self.headers.get('Range')
        if not os.path.isfile(path):
            self.send_error(404)
            return
        data = open(path, 'rb').read()  # noqa: SIM115
        total = len(data)
        if wanted:
            first, last = (int(v) for v in wanted.removeprefix('bytes=').split('-'))
            data = data[first : last + 1]
        self.send_response(206 if wanted else 200)
        self.send_header('Content-Length', str(len(data)))
        if wanted:
            self.send_header('Content-Range', f'bytes {first}-{first + len(data) - 1}/{total}')
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize('start', ['fork', pytest.param('spawn', marks=pytest.mark.slow)])
def test_http_from_workers(tmp_path, start):
    pytest.importorskip('aiohttp')
    local = ArchivedFaces(written('png maps', tmp_path), pipeline=pipeline())
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dataset = ArchivedFaces(f'http://127.0.0.1:{server.server_port}/archive', pipeline=pipeline())
        assert_equal(batch_of(dataset, [1, 6]), batch_of(local, [1, 6]))  # opens a connection before the fork
        context = multiprocessing.get_context(start)
        loader = DataLoader(
            dataset,
            batch_size=5,
            num_workers=2,
            collate_fn=dense_collate,
            multiprocessing_context=context,
            timeout=60,
        )
        inputs = torch.cat([batch['inputs'] for batch in loader])
        server.shutdown()
    torch.testing.assert_close(inputs, batch_of(local, list(range(COUNT)))['inputs'], rtol=0, atol=0)
