import hashlib
import json
import tarfile

import cv2
import numpy as np
import pytest
from face_writing import face, files, write

from fsfm_mm.datasets.shard_format import shard_key
from fsfm_mm.preparation.settings import build_writer
from fsfm_mm.preparation.writers.shards import ShardsWriter


@pytest.mark.parametrize('image_format, ending', [('png', '.png'), ('jpeg', '.jpg')])
def test_members_and_index(tmp_path, image_format, ending):
    records = write(ShardsWriter(image_format), tmp_path)
    folder = tmp_path / 'shards'
    index = np.load(folder / 'index.npy', allow_pickle=False)
    assert index.dtype == np.int64 and index[:, 0].tolist() == [0, 0, 0, 2]
    row = 0
    for chunk, count in enumerate((3, 0, 1)):
        path = folder / f'faces-{chunk:06d}.tar'
        with tarfile.open(path) as tar:
            members = tar.getmembers()
        assert [m.name for m in members] == [
            f'f{row + i}{e}' for i in range(count) for e in (ending, '.map.png', '.json')
        ]
        assert all((m.mtime, m.uid, m.gid, m.uname, m.mode) == (0, 0, 0, '', 0o644) for m in members)
        data = path.read_bytes()
        for i in range(count):
            one, (_, *places) = face(row), index[row].tolist()
            assert places == [v for m in members[3 * i : 3 * i + 2] for v in (m.offset_data, m.size)]
            image = data[places[0] : places[0] + places[1]]
            labels = np.frombuffer(data[places[2] : places[2] + places[3]], np.uint8)
            np.testing.assert_array_equal(cv2.imdecode(labels, cv2.IMREAD_UNCHANGED), one.labels)
            if image_format == 'png':
                np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(image, np.uint8), 1), one.image)
            json_file = members[3 * i + 2]
            record = json.loads(data[json_file.offset_data : json_file.offset_data + json_file.size])
            assert record['file'] == f'f{row}' and record['sha256'] == hashlib.sha256(image).hexdigest()
            row += 1
    assert [r.file for r in records if r.status == 'ok'] == ['f0', 'f1', 'f2', 'f3']
    header = json.loads((folder / 'shards.json').read_text())
    assert header['encoding'] == image_format and header['version'] == 1
    assert header['shards'][2] == dict(
        name='faces-000002.tar', faces=1, bytes=(folder / 'faces-000002.tar').stat().st_size
    )


def test_the_same_bytes_twice(tmp_path):
    write(ShardsWriter(), tmp_path / 'a')
    before = files(tmp_path / 'a/shards')
    write(ShardsWriter(), tmp_path / 'a')
    write(ShardsWriter(), tmp_path / 'b')
    assert files(tmp_path / 'a/shards') == files(tmp_path / 'b/shards') == before


def test_faces_without_maps_and_strange_names(tmp_path):
    names = ['a.b', 'x/../y', 'half \udcff', 'line\nend', 'ü' * 80]
    faces = [face(i, key=name, with_map=False) for i, name in enumerate(names)]
    ShardsWriter('png').write_chunk(tmp_path, 0, faces)
    with tarfile.open(tmp_path / 'shards/faces-000000.tar') as tar:
        members = tar.getmembers()
    assert [m.name for m in members[::2]] == [f'{shard_key(name)}.png' for name in names]
    assert members[0].name == 'a%2Eb.png' and members[2].name == 'x/%2E%2E/y.png'
    rows = np.load(tmp_path / 'shards/faces-000000.npy')
    assert rows[:, 0].tolist() == [m.offset_data for m in members[::2]] and not rows[:, 2:].any()
    assert faces[0].record.map is None


def test_numbers_must_fit_the_manifest(tmp_path):
    records = write(ShardsWriter(), tmp_path)
    with pytest.raises(ValueError, match='the shards hold 4 faces, the manifest 3'):
        ShardsWriter().finish(tmp_path, 3, records[1:])
    ShardsWriter().finish(tmp_path / 'none', 0, [])
    assert np.load(tmp_path / 'none/shards/index.npy').shape == (0, 5)


def test_arguments():
    assert build_writer(dict(type='shards', image_format='png', quality=90)).image_format == 'png'
    for arguments, message in [
        (dict(image_format='raw'), "image_format must be one of png, jpeg, found 'raw'"),
        (dict(quality=101), 'quality must lie within 1 and 100, found 101'),
    ]:
        with pytest.raises(ValueError, match=message):
            ShardsWriter(**arguments)
