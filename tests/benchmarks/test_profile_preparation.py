"""benchmarks/profile_preparation.py on a photo: every stage is counted, and the page shows it."""

import json

import cv2
import page
import profile_preparation as tool
import pytest


def test_stages_and_page(tmp_path, monkeypatch, faces):
    monkeypatch.setattr(tool, 'VIDEO_FRAMES', 6)
    monkeypatch.setattr(tool, 'setups', lambda photos, folder: [
        ('photos', photos, dict(type='TemplateParser')),
        ('video', [tool.write_video(folder / 'v.mp4', photos[0])], dict(type='TemplateParser')),
    ])  # fmt: skip
    photos = tmp_path / 'photos'
    photos.mkdir()
    source = sorted((faces / 'portraits').glob('*.jpg'))[0]
    (photos / 'a.jpg').write_bytes(source.read_bytes())
    cv2.imwrite(str(photos / 'b.png'), cv2.imread(str(source))[:, ::-1])
    weights = str(faces / 'weights/face_detection_yunet_2023mar.onnx')
    out = tmp_path / 'preparation.json'
    tool.main([str(photos), '--detector-weights', weights, '--out', str(out)])
    found = json.loads(out.read_text())
    assert [setup['faces'] for setup in found['preparation']] == [2, 6]
    assert all(set(s['seconds']) == {'read', 'detect', 'cut', 'parse', 'write'} for s in found['preparation'])
    lines = page.preparation_section(found)
    assert lines[2].split(' | ')[1:4] == ['faces', 'ms a face', 'faces/s'] and len(lines) == 7
    shares = [int(cell.strip(' %|')) for cell in lines[4].split(' | ')[4:]]
    assert 97 <= sum(shares) <= 103


def test_no_photos(tmp_path):
    with pytest.raises(SystemExit, match='no photos there'):
        tool.main([str(tmp_path)])
