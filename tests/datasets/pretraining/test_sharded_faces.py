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
from face_files import label_map
from packed_files import COUNT, SIZE, face, picture, pipeline, write, written
from torch.utils.data import DataLoader

from fsfm_mm.datasets import BrokenSampleError, FaceParsingDataset, ShardedFaces, dense_collate
from fsfm_mm.datasets.transforms import RandomFaceCrop
from fsfm_mm.preparation.writers.shards import ShardsWriter


def batch_of(dataset, indices):
    np.random.seed(3)
    return dense_collate(dataset.__getitems__(indices))


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def test_samples_hold_what_was_written(tmp_path):
    dataset = ShardedFaces(written('png shards', tmp_path), pipeline=())
    assert len(dataset) == COUNT
    for i in range(COUNT):
        sample = dataset[i]
        np.testing.assert_array_equal(sample['img'], picture(i))
        np.testing.assert_array_equal(sample['parsing_map'], label_map(i))
        assert sample['sample_idx'] == i
    assert dataset[6]['img_path'] == f'{tmp_path}/shards/faces-000002.tar#1'
    assert dataset[-1]['img_path'] == f'{tmp_path}/shards/faces-000004.tar#2'
    jpeg = ShardedFaces(written('jpeg shards', tmp_path / 'j'), pipeline=())[3]
    assert 0 < np.abs(jpeg['img'].astype(int) - picture(3)).mean() < 5
    np.testing.assert_array_equal(jpeg['parsing_map'], label_map(3))


@pytest.mark.parametrize('before', [[], [RandomFaceCrop(SIZE)]])
def test_batches_equal_those_of_the_folders_under_the_same_seed(tmp_path, before):
    steps = pipeline(before=before)
    folders = FaceParsingDataset(written('folders', tmp_path / 'f'), pipeline=steps)
    shards = ShardedFaces(written('png shards', tmp_path / 's'), pipeline=steps)
    indices = [3, 0, 15, 8, 9, 10]
    assert_equal(batch_of(shards, indices), batch_of(folders, indices))


def test_without_maps(tmp_path):
    root = written('png shards', tmp_path, with_map=False)
    with pytest.raises(ValueError, match='was written without maps'):
        ShardedFaces(root)
    batch = batch_of(ShardedFaces(root, need_maps=False, pipeline=pipeline()), [0, 1])
    assert batch['mask'].sum(1).tolist() == [12, 12] and not batch['region_mask'].any()


@pytest.mark.parametrize('image_format, ending', [('png', 'png'), ('jpeg', 'jpg')])
def test_webdataset_reads_the_shards(tmp_path, image_format, ending):
    wds = pytest.importorskip('webdataset')
    keys = ['plain', 'sub/photo', 'a.b/c.v2', 'Zoë 1', '100%.x', 'k' * 150]
    faces = [face(i, key) for i, key in enumerate(keys)]
    writer = ShardsWriter(image_format)
    writer.write_chunk(tmp_path, 0, faces)
    writer.finish(tmp_path, 1, [one.record for one in faces])
    samples = list(wds.WebDataset(str(tmp_path / 'shards/faces-000000.tar'), shardshuffle=False))
    expected = ['plain', 'sub/photo', 'a%2Eb/c%2Ev2', 'Zoë 1', '100%25%2Ex', 'k' * 150]
    assert [sample['__key__'] for sample in samples] == expected
    ours = ShardedFaces(str(tmp_path), pipeline=())
    for i, sample in enumerate(samples):
        image = cv2.imdecode(np.frombuffer(sample[ending], np.uint8), cv2.IMREAD_COLOR)
        labels = cv2.imdecode(np.frombuffer(sample['map.png'], np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, ours[i]['img'])
        np.testing.assert_array_equal(labels, label_map(i))
        record = json.loads(sample['json'])
        assert (
            record['file'] == keys[i] and record['source'] == f'{keys[i]}.jpg' and len(record['sha256']) == 64
        )
        assert record['map'] == f'{expected[i]}.map.png'


def spoil(path, change):
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def shard(name, faces=16, size=1 << 20):
    return {'shards': [{'name': name, 'faces': faces, 'bytes': size}]}


@pytest.mark.parametrize(
    'name',
    ['../x.tar', '/etc/passwd', 'pipe:touch x', 'a/b.tar', 's3://b/x.tar', '..', '.x', 'a\nb', '', 7, None],
)
def test_shards_have_plain_names(tmp_path, name):
    root = written('png shards', tmp_path)
    spoil(tmp_path / 'shards/shards.json', shard(name))
    with pytest.raises(ValueError, match=r'shards\.json: a shard needs a plain file name'):
        ShardedFaces(root)
    assert not list(tmp_path.glob('x'))


@pytest.mark.parametrize(
    'damage, message',
    [
        (
            lambda p: (p / 'shards.json').unlink(),
            r'shards\.json: cannot be read \(No such file .* once its run is complete',
        ),
        (lambda p: (p / 'shards.json').write_text('{'), r'shards\.json: cannot be read as JSON'),
        (lambda p: (p / 'shards.json').write_bytes(b'\xff'), r'shards\.json: cannot be read as JSON'),
        (
            lambda p: spoil(p / 'shards.json', {'version': 9}),
            "expected 'fsfm_mm face shards' version 1, found fsfm_mm face shards version 9",
        ),
        (lambda p: spoil(p / 'shards.json', {'encoding': 'gif'}), r'expected an encoding \(png, jpeg\)'),
        (lambda p: spoil(p / 'shards.json', shard('a.tar', -1)), 'faces and bytes of a.tar must be numbers'),
        (
            lambda p: spoil(p / 'shards.json', shard('a.tar', 15)),
            r'index\.npy: expected int64 \(15, 5\), found int64 \(16, 5\)',
        ),
        (lambda p: spoil(p / 'shards.json', shard('a.tar')), r'index\.npy: row 5 is \[2, .* does not fit'),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy') - [[0, 600, 0, 0, 0]]),
            r'index\.npy: row 0 is .* does not fit',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy') + [[0, 0, 0, 0, 1 << 40]]),
            r'index\.npy: row 0 is .* does not fit',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.array([{}]), allow_pickle=True),
            r'index\.npy: cannot be opened as a \.npy',
        ),
    ],
)
def test_a_list_or_index_that_does_not_fit_is_refused_in_one_sentence(tmp_path, damage, message):
    root = written('png shards', tmp_path)
    damage(tmp_path / 'shards')
    with pytest.raises(ValueError, match=message) as info:
        ShardedFaces(root)
    assert '\n' not in str(info.value)


def overwrite(path, offset, data):
    with open(path, 'r+b') as file:
        file.seek(offset)
        file.write(data)


def test_broken_samples_are_named(tmp_path):
    root, folder = written('png shards', tmp_path), tmp_path / 'shards'
    index = np.load(folder / 'index.npy')
    overwrite(folder / 'faces-000000.tar', index[1, 1] - 512, b'damaged')  # header of an image
    overwrite(folder / 'faces-000000.tar', index[2, 3] - 512, b'\0' * 512)  # header of a map
    overwrite(folder / 'faces-000000.tar', index[3, 1] + 30, b'\0' * 200)  # an image
    overwrite(folder / 'faces-000000.tar', index[4, 3] + 2, b'x')  # a map
    os.truncate(folder / 'faces-000002.tar', index[7, 1] + 10)
    (folder / 'faces-000003.tar').unlink()
    np.save(folder / 'index.npy', index + [[0, 0, -1, 0, 0]] * (index[:, :1] == 4))  # of another version
    dataset = ShardedFaces(root, pipeline=pipeline())
    where = r'faces-00000%d\.tar#%d'
    for i, shard, number, reason in [
        (1, 0, 1, r': damaged tar header \(bad checksum\)'),
        (2, 0, 2, r': damaged tar header \(end of file header\)'),
        (3, 0, 3, r'\.png: cannot be decoded as an image'),
        (4, 0, 4, r'\.map\.png: cannot be decoded as a PNG'),
        (7, 2, 2, r': the shard is cut off, \d+ of \d+ bytes are left'),
        (11, 2, 6, r': the shard is cut off, 0 of \d+ bytes'),
        (12, 3, 0, r': cannot be read \(.*No such file'),
        (13, 4, 0, r": the shard has 'f013\.png' of \d+ bytes where the index has a \.png of \d+"),
    ]:
        with pytest.raises(BrokenSampleError, match=where % (shard, number) + reason):
            dataset.__getitems__([0, i])
    assert len(dataset.__getitems__([0, 5, 6])) == 3


def test_a_damaged_shard_does_not_stop_a_run(tmp_path, warnings_of):
    root = written('png shards', tmp_path, chunks=(3, 40, 2))
    os.truncate(tmp_path / 'shards/faces-000001.tar', 700)
    dataset = ShardedFaces(root, on_broken='skip', pipeline=())
    loader = DataLoader(dataset, batch_size=9, num_workers=2, collate_fn=list)
    seen = [sample['sample_idx'] for batch in loader for sample in batch]
    # the next shard's first sample, or sample 43 itself after 42
    assert seen == [0, 1, 2, *[43] * 40, 43, 44]
    names = dataset.broken_files()
    assert names == [f'{tmp_path}/shards/faces-000001.tar#{i}' for i in range(40)]
    (tmp_path / 'shards/faces-000002.tar').unlink()
    assert dataset[44]['sample_idx'] == 0
    (tmp_path / 'shards/faces-000000.tar').unlink()
    fresh = ShardedFaces(root, on_broken='skip', pipeline=())
    with pytest.raises(
        ValueError, match=r'4 samples in a row are broken.*the first one: .*faces-000002\.tar#0: cannot'
    ):
        fresh[43]


def test_several_roots_and_subsets(tmp_path):
    roots = [written('png shards', tmp_path / 'a'), written('jpeg shards', tmp_path / 'b', chunks=(2, 4))]
    dataset = ShardedFaces(roots, pipeline=())
    assert dataset.shard_numbers().tolist() == [0] * 5 + [2] * 7 + [3] + [4] * 3 + [5] * 2 + [6] * 4
    subset = dataset.get_subset([20, 1])
    assert [sample['img_path'] for sample in subset] == [
        f'{tmp_path}/b/shards/faces-000001.tar#2',
        f'{tmp_path}/a/shards/faces-000000.tar#1',
    ]
    assert subset.shard_numbers().tolist() == [6, 0]


def test_pickling_copies_no_data(tmp_path):
    dataset = ShardedFaces(written('png shards', tmp_path), pipeline=pipeline())
    expected = batch_of(dataset, [4, 11])
    data = pickle.dumps(dataset)
    assert len(data) < 3000
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
    local = ShardedFaces(written('png shards', tmp_path / 'a'), pipeline=pipeline())
    options = dict(cache_dir=str(tmp_path / 'cache')) if cached else {}
    dataset = ShardedFaces(remote(tmp_path / 'a/shards'), pipeline=pipeline(), **options)
    indices = [3, 0, 15, 8, 9, 10]
    assert_equal(batch_of(dataset, indices), batch_of(local, indices))
    assert dataset.data_path(6) == 'memory://bucket/faces/faces-000002.tar#1'
    fs = fsspec.filesystem('memory')
    fs.rm('/bucket/faces/faces-000002.tar')
    if cached:  # shards are there as a whole
        assert_equal(batch_of(dataset, [5, 11]), batch_of(local, [5, 11]))
        names = sorted(p.name for p in (tmp_path / 'cache').glob('*/*.tar'))
        assert names == ['faces-000000.tar', 'faces-000002.tar', 'faces-000004.tar']
    else:
        with pytest.raises(BrokenSampleError, match=r'faces-000002\.tar#0: cannot be read'):
            dataset[5]
    fs.pipe('/bucket/faces/faces-000003.tar', b'short')
    with pytest.raises(
        BrokenSampleError, match=r'faces-000003\.tar#0: (cannot be read \(5 of|the shard is cut off)'
    ):
        dataset[12]


def test_the_cache_is_bounded(tmp_path):
    written('png shards', tmp_path / 'a', chunks=(3, 3, 3, 3))
    size = max(p.stat().st_size for p in (tmp_path / 'a/shards').glob('*.tar'))
    dataset = ShardedFaces(
        remote(tmp_path / 'a/shards'),
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
        ShardedFaces('nosuch://x')
    with pytest.raises(ValueError, match=r'memory://nothing/shards\.json: cannot be fetched'):
        ShardedFaces('memory://nothing')


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
    local = ShardedFaces(written('png shards', tmp_path), pipeline=pipeline())
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dataset = ShardedFaces(f'http://127.0.0.1:{server.server_port}/shards', pipeline=pipeline())
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


def test_the_same_bytes_twice(tmp_path):
    for name in 'ab':
        write(ShardsWriter('jpeg'), tmp_path / name)
    for path in (tmp_path / 'a/shards').iterdir():
        assert path.read_bytes() == (tmp_path / 'b/shards' / path.name).read_bytes()
