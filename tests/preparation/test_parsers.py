"""What all parsers share: the registry, landmarks that can be used, devices, TorchScript files."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import fsfm_mm.preparation.parsers as parsers
from fsfm_mm.preparation.parsers.base import FaceParser, usable_points
from fsfm_mm.preparation.parsers.neural import as_planes, pick_device
from fsfm_mm.registry import FACE_PARSERS

FACE = np.array([[30.0, 40], [70, 40], [50, 60], [34, 78], [66, 78]])


@pytest.mark.parametrize('name', parsers.__all__)
def test_registered_under_its_name(name):
    parser = FACE_PARSERS.get(name)
    assert parser is getattr(parsers, name)
    assert issubclass(parser, FaceParser)


def test_rough_maps_say_what_they_are_good_for():
    rough = (parsers.TemplateParser, parsers.MeshParser)
    assert all('not for measuring' in parser.limits for parser in rough)
    assert not any(
        getattr(parsers, name).limits for name in parsers.__all__ if getattr(parsers, name) not in rough
    )


def test_names_tell_the_model():
    assert FACE_PARSERS.build(dict(type='FaRLParser')).name == 'farl/lapa/448'
    assert FACE_PARSERS.build(dict(type='FaRLParser', model='celebm/448')).name == 'farl/celebm/448'
    segmenter = dict(type='SegmenterParser', weights='some/net.onnx', label_map='lapa')
    assert FACE_PARSERS.build(segmenter).name == 'segmenter/net.onnx'


@pytest.mark.slow
def test_importing_the_parsers_does_not_import_facer():
    program = (
        'import fsfm_mm.preparation.parsers, sys; sys.exit(bool({"facer", "onnxruntime"} & set(sys.modules)))'
    )
    assert subprocess.run([sys.executable, '-c', program], check=False).returncode == 0


@pytest.mark.parametrize('degrees', [0, 30, -45, 90, 180])
@pytest.mark.parametrize('squeeze', [1.0, 0.15])
def test_faces_at_any_angle_are_usable(degrees, squeeze):
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = ((FACE - 50) * (squeeze, 1)) @ rotation.T + 50  # narrow: a head in profile
    np.testing.assert_array_equal(usable_points(points), points)
    assert usable_points(points.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    'points',
    [
        None,
        np.zeros((5, 2)),
        np.full((5, 2), np.nan),
        FACE * 0.02,
        FACE[[1, 0, 2, 4, 3]],  # right and left exchanged
        FACE * (1, -1),  # a mirror
    ],
)
def test_points_that_place_no_face(points):
    assert usable_points(points) is None


def test_landmarks_of_another_shape_are_an_error():
    with pytest.raises(ValueError, match=r'an array \(5, 2\), found the shape \(68, 2\)'):
        usable_points(np.zeros((68, 2)))


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert pick_device('auto') == torch.device('cuda')
    assert pick_device('cuda:1') == torch.device('cuda:1')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert pick_device('auto') == pick_device('cpu') == torch.device('cpu')
    with pytest.raises(ValueError, match='torch finds no GPU'):
        pick_device('cuda')
    with pytest.raises(ValueError, match="but is 'gpu'"):
        pick_device('gpu')


def test_crops_become_rgb_planes():
    crop = np.zeros((2, 3, 3), np.uint8)
    crop[1, 2] = (51, 102, 255)
    planes = as_planes([crop, crop], torch.device('cpu'))
    assert planes.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(planes[1, :, 1, 2], [1.0, 0.4, 0.2], rtol=1e-6)
    assert planes[:, :, 0].sum() == 0
