import hashlib
import json
import os
import shutil
import tarfile
import zlib

import cv2
import numpy as np
import pytest
from face_writing import face, files, write

from fsfm_mm.datasets.pretraining.archive_format import ROW, member_name
from fsfm_mm.datasets.pretraining.archive_store import crc32_of
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.settings import build_writer
from fsfm_mm.preparation.writers.archive import ArchiveWriter

ENDINGS = {'png': '.png', 'jpeg': '.jpg', 'raw': '.raw'}


@pytest.mark.parametrize('image_format', ENDINGS)
def test_members_and_index(tmp_path, image_format):
    records = write(ArchiveWriter(image_format, quality=90, patch_size=8), tmp_path)
    folder, ending = tmp_path / 'archive', ENDINGS[image_format]
    names = [f'faces-00000{i}.{kind}' for i in range(3) for kind in ('npy', 'tar')]
    assert sorted(files(folder)) == sorted([*names, 'index.npy', 'keys.txt', 'labels.npy', 'archive.json'])
    index = np.load(folder / 'index.npy', allow_pickle=False)
    assert index.dtype == ROW and index['shard'].tolist() == [0, 0, 0, 2]
    assert set(index['height']) == set(index['width']) == {32}
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
            one, place = face(row), index[row]
            places = [place[name] for name in ('image', 'image_bytes', 'map', 'map_bytes')]
            assert places == [v for m in members[3 * i : 3 * i + 2] for v in (m.offset_data, m.size)]
            image, labels = (data[a : a + n] for a, n in (places[:2], places[2:]))
            assert (zlib.crc32(image), zlib.crc32(labels)) == (place['image_crc32'], place['map_crc32'])
            decoded = cv2.imdecode(np.frombuffer(labels, np.uint8), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(decoded, one.labels)
            if image_format == 'png':
                np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(image, np.uint8), 1), one.image)
            elif image_format == 'raw':
                planes = np.frombuffer(image, np.uint8).reshape(3, 32, 32)
                np.testing.assert_array_equal(planes, one.image[..., ::-1].transpose(2, 0, 1))  # RGB planes
            else:
                chroma = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
                options = [cv2.IMWRITE_JPEG_QUALITY, 90, *chroma]
                assert image == cv2.imencode('.jpg', one.image, options)[1].tobytes()
            json_file = members[3 * i + 2]
            record = json.loads(data[json_file.offset_data : json_file.offset_data + json_file.size])
            assert record['file'] == f'f{row}' and record['sha256'] == hashlib.sha256(image).hexdigest()
            row += 1
    labels = np.load(folder / 'labels.npy', allow_pickle=False)
    assert labels.dtype == np.uint16 and labels.shape == (4, 16)
    for i in range(4):
        np.testing.assert_array_equal(labels[i].reshape(4, 4), patch_labels(face(i).labels, 8))
    assert (folder / 'keys.txt').read_text() == 'f0\nf1\nf2\nf3\n'
    assert json.loads((folder / 'archive.json').read_text()) == dict(
        encoding=image_format,
        faces=4,
        size=[32, 32],
        maps=True,
        patch_size=8,
        shards=[[n, (folder / f'faces-00000{i}.tar').stat().st_size] for i, n in enumerate((3, 0, 1))],
        crc32={name: crc32_of(folder / name) for name in ('index.npy', 'keys.txt', 'labels.npy')},
        format='fsfm_mm face archive',
        version=1,
    )
    assert [r.file for r in records] == ['f0', 'f1', 'f2', None, None, 'f3', None]
    assert records[1].map == 'f1.map.png'


@pytest.mark.parametrize('image_format', ['raw', 'jpeg'])
def test_the_same_bytes_twice_in_any_order(tmp_path, image_format):
    writer = ArchiveWriter(image_format, patch_size=8)
    write(writer, tmp_path / 'a')
    before = files(tmp_path / 'a/archive')
    write(writer, tmp_path / 'a')  # over what is there
    assert files(tmp_path / 'a/archive') == before
    records = {}
    for number, chunk in ((2, (3,)), (0, (0, 1, 2)), (1, ())):
        faces = [face(i) for i in chunk]
        writer.write_chunk(tmp_path / 'b', number, faces)
        records[number] = [one.record for one in faces]
    writer.finish(tmp_path / 'b', 3, records[0] + records[1] + records[2])
    assert files(tmp_path / 'b/archive') == before


def test_no_face_at_all(tmp_path):
    write(ArchiveWriter(), tmp_path, ((), ()))
    assert np.load(tmp_path / 'archive/index.npy').shape == (0,)
    ArchiveWriter().finish(tmp_path / 'none', 0, [])
    assert json.loads((tmp_path / 'none/archive/archive.json').read_text())['faces'] == 0


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    writer = ArchiveWriter('raw', patch_size=8)
    writer.write_chunk(tmp_path, 0, [face(0)])
    before = files(tmp_path / 'archive')

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(OSError, match='No space left'):
        writer.write_chunk(tmp_path, 0, [face(1)])
    assert files(tmp_path / 'archive') == before


def test_chunks_of_different_runs_are_not_joined(tmp_path):
    small, large = ArchiveWriter('raw', patch_size=8), ArchiveWriter('raw', patch_size=16)
    faces = [face(0), face(1)]
    small.write_chunk(tmp_path, 0, faces[:1])
    large.write_chunk(tmp_path, 1, faces[1:])
    with pytest.raises(
        ValueError,
        match=r'hold 2 faces \(patches \[\(2, 2\), \(4, 4\)\], .* the manifest 2 faces: these are chunks',
    ):
        small.finish(tmp_path, 2, [one.record for one in faces])
    shutil.rmtree(tmp_path / 'archive')
    write(small, tmp_path)
    with pytest.raises(ValueError, match=r'hold 4 faces .* the manifest 1 faces'):
        small.finish(tmp_path, 3, [FaceRecord(source='x', file='x')])
    small.write_chunk(tmp_path, 2, [face(3, with_map=False)])
    with pytest.raises(ValueError, match=r'hold 4 faces .* 2 kinds of maps'):
        small.finish(tmp_path, 3, [face(i).record for i in range(4)])


def test_faces_with_and_without_maps_do_not_go_together(tmp_path):
    with pytest.raises(ValueError, match='f1 and the first face of its chunk: only one of the two has a map'):
        ArchiveWriter().write_chunk(tmp_path, 0, [face(0), face(1, with_map=False)])


def test_sizes_that_patches_do_not_divide_have_no_table(tmp_path):
    for sizes in ((28,), (32, 64)):
        faces = [face(i, size) for i, size in enumerate(sizes)]
        for chunks in ([faces], [[one] for one in faces]):
            out = tmp_path / f'{sizes}{len(chunks)}'
            writer = ArchiveWriter(patch_size=8)
            for number, chunk in enumerate(chunks):
                writer.write_chunk(out, number, chunk)
            writer.finish(out, len(chunks), [one.record for one in faces])
            header = json.loads((out / 'archive/archive.json').read_text())
            assert header['patch_size'] is None and header['size'] == ([28, 28] if len(sizes) == 1 else None)
            assert not (out / 'archive/labels.npy').exists()


def test_faces_without_maps_and_strange_names(tmp_path):
    names = ['a.b', 'x/../y', 'half \udcff', 'line\nend', 'ü' * 80]
    lines = ['a.b', 'x/../y', 'half \\udcff', 'line\\nend', 'ü' * 80]
    faces = [face(i, key=name, with_map=False) for i, name in enumerate(names)]
    writer = ArchiveWriter('png')
    writer.write_chunk(tmp_path, 0, faces)
    writer.finish(tmp_path, 1, [one.record for one in faces])
    with tarfile.open(tmp_path / 'archive/faces-000000.tar') as tar:
        members = tar.getmembers()
    assert [m.name for m in members[::2]] == [member_name(line, '.png') for line in lines]
    assert members[0].name == 'a%2Eb.png' and members[2].name == 'x/%2E%2E/y.png'
    index = np.load(tmp_path / 'archive/index.npy')
    assert index['image'].tolist() == [m.offset_data for m in members[::2]] and not index['map_bytes'].any()
    assert faces[0].record.map is None
    assert (tmp_path / 'archive/keys.txt').read_text(encoding='utf-8') == ''.join(
        f'{line}\n' for line in lines
    )


def test_arguments():
    assert build_writer(dict(type='archive', image_format='png', quality=90)).image_format == 'png'
    for arguments, message in [
        (dict(image_format='gif'), "image_format must be one of raw, png, jpeg, found 'gif'"),
        (dict(quality=0), 'quality must lie within 1 and 100, found 0'),
        (dict(patch_size=0), 'patch_size must be 1 or more, found 0'),
    ]:
        with pytest.raises(ValueError, match=message):
            ArchiveWriter(**arguments)
