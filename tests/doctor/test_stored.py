"""The doctor on archives."""

import re

import cv2
import numpy as np
import pytest
from checked_sets import drawn

from fsfm_mm.datasets.pretraining import archive_store
from fsfm_mm.doctor.listing import kind_of
from fsfm_mm.doctor.pretraining import check_pretraining
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.archive import ArchiveWriter
from fsfm_mm.preparation.writers.base import PreparedFace
from fsfm_mm.preparation.writers.folders import encode_map


def write(root, writer, maps=True, count=5, manifest=5):
    records = [FaceRecord(f'f{i}.jpg') for i in range(count)]
    faces = [
        PreparedFace(f'f{i}', drawn(i)[0].copy(), drawn(i)[1].copy() if maps else None, record)
        for i, record in enumerate(records)
    ]
    root.mkdir()
    writer.write_chunk(root, 0, faces)
    writer.finish(root, 1, records)
    (root / 'manifest.jsonl').write_text(''.join(r.to_json() + '\n' for r in records[:manifest]))
    (root / 'mean_std.json').write_text('{}')
    return root


def check(root):
    return check_pretraining(str(root), progress=False)[0]


def found(report):
    return {(f.level, f.check) for f in report.findings if f.check != 'absent labels'}


@pytest.mark.parametrize('writer', [ArchiveWriter(), ArchiveWriter('raw'), ArchiveWriter(patch_size=None)])
def test_clean_sets_pass(tmp_path, writer):
    root = write(tmp_path / 'set', writer)
    assert kind_of(str(root)) == 'pretrain'
    report = check(root)
    assert found(report) == set()
    assert report.facts == ['read from archive/', '5 pictures, 5 with a usable map']
    assert report.shares['nose'] > 0


def test_a_manifest_of_another_length_and_sets_without_maps(tmp_path):
    writer = ArchiveWriter
    assert found(check(write(tmp_path / 'short', writer(), manifest=4))) == {('error', 'lost picture')}
    report = check(write(tmp_path / 'plain', writer(), maps=False))
    assert found(report) == set() and report.shares == {}
    assert report.facts[1] == '5 pictures, 0 with a usable map'


@pytest.mark.parametrize('writer', [ArchiveWriter(image) for image in ('jpeg', 'raw', 'png')])
def test_faces_are_compared_with_their_checksums(tmp_path, writer):
    root = write(tmp_path / 'set', writer)
    assert found(check(root)) == set()
    lines = (root / 'manifest.jsonl').read_text().splitlines(keepends=True)
    records = [FaceRecord.from_json(line, 'x') for line in lines]
    records[1].sha256, records[3].sha256 = records[3].sha256, records[1].sha256
    (root / 'manifest.jsonl').write_text(''.join(record.to_json() + '\n' for record in records))
    report = check(root)
    assert found(report) == {('error', 'changed file')}
    ((_, files),) = [(f.check, f.files) for f in report.findings if f.check == 'changed file']
    assert [re.search(r'#f?(\d):', file)[1] for file in files] == ['1', '3']


def test_damaged_and_changed_faces_are_found(tmp_path):
    root = write(tmp_path / 'set', ArchiveWriter('png'))
    (tar,) = (root / 'archive').glob('*.tar')
    whole = tar.read_bytes()
    data = bytearray(whole)
    place = data.index(b'IDAT') + 20
    data[place : place + 400] = bytes(400)
    tar.write_bytes(bytes(data))
    report = check(root)
    assert found(report) == {('error', 'unreadable face')} and len(report.broken) == 1
    tar.write_bytes(whole[: len(whole) // 2])
    assert found(check(root)) == {('error', 'unreadable face')}


@pytest.mark.parametrize('what', ['image', 'map'])
def test_a_bit_that_no_decoder_misses_is_found(tmp_path, what):
    root = write(tmp_path / 'set', ArchiveWriter('raw'))
    (root / 'manifest.jsonl').unlink()
    index = np.load(root / 'archive/index.npy')
    (tar,) = (root / 'archive').glob('*.tar')
    data = bytearray(tar.read_bytes())
    if what == 'image':
        data[int(index['image'][2]) + 7] ^= 1
    else:  # another map of the same length
        start, count = int(index['map'][2]), int(index['map_bytes'][2])
        labels = cv2.imdecode(np.frombuffer(data[start : start + count], np.uint8), cv2.IMREAD_UNCHANGED)
        data[start : start + count] = encode_map(labels[:, ::-1].copy(), 'png')[:count].ljust(count, b'\0')
    tar.write_bytes(bytes(data))
    assert found(check(root)) & {('error', 'changed file'), ('error', 'unreadable face')}


def test_a_table_that_has_changed_is_found(tmp_path, monkeypatch):
    root = write(tmp_path / 'set', ArchiveWriter('raw'))
    np.save(root / 'archive/labels.npy', np.load(root / 'archive/labels.npy')[::-1])
    monkeypatch.setattr(archive_store, 'SMALL', 0)
    with pytest.raises(ValueError, match=r'labels\.npy: its content has changed'):
        check(root)
