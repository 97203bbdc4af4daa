"""Every pair of detector and parser gives faces: landmarks that a detector does not give are looked for in crops."""

import json
import re

import numpy as np
import pytest
from engine_fakes import write_pictures

from fsfm_mm.commands import prepare as command
from fsfm_mm.commands import preparing
from fsfm_mm.datasets.labelled.crops import crop_facts_of_root
from fsfm_mm.preparation.detectors.base import Face
from fsfm_mm.preparation.detectors.blazeface import BlazeFace
from fsfm_mm.preparation.detectors.dlib_frontal import DlibFrontal
from fsfm_mm.preparation.detectors.retinaface import FacerRetinaFace
from fsfm_mm.preparation.detectors.yunet import YuNet
from fsfm_mm.preparation.manifest import manifest_records
from fsfm_mm.preparation.parsers.base import usable_points
from fsfm_mm.preparation.parsers.farl import FaRLParser
from fsfm_mm.preparation.parsers.mesh import MeshParser
from fsfm_mm.preparation.run import prepare
from fsfm_mm.preparation.settings import Execution, Settings, presets
from fsfm_mm.registry import FACE_DETECTORS, FACE_PARSERS

POINTS = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
DETECTORS = tuple(presets(FACE_DETECTORS))
PARSERS = (*presets(FACE_PARSERS), 'none')


@pytest.fixture(autouse=True)
def stubs(monkeypatch):
    """The networks see one face that fills the picture; FaRL labels what has landmarks, the mesh all, as in truth."""
    seen = []

    def detect(self, pictures):
        seen.append(type(self).__name__)
        faces = []
        for picture in pictures:
            height, width = picture.shape[:2]
            points = POINTS * (width, height) if self.gives_landmarks else None
            faces.append([Face(np.array([0.0, 0.0, width, height]), 0.9, points)])
        return faces

    for kind in (YuNet, BlazeFace, FacerRetinaFace, DlibFrontal):
        monkeypatch.setattr(kind, 'detect', detect)
        monkeypatch.setattr(kind, 'prepare', lambda self: None)
    for kind in (FaRLParser, MeshParser):
        monkeypatch.setattr(kind, 'prepare', lambda self: None)
        monkeypatch.setattr(
            kind,
            'parse',
            lambda self, crops, landmarks: [
                None
                if self.needs_landmarks and usable_points(five) is None
                else np.ones(crop.shape[:2], np.uint8)
                for crop, five in zip(crops, landmarks)
            ],
        )
    return seen


@pytest.mark.parametrize('parser', PARSERS)
@pytest.mark.parametrize('detector', DETECTORS)
def test_every_pair_gives_all_faces(tmp_path, stubs, detector, parser):
    write_pictures(tmp_path / 'photos', 3)
    out = tmp_path / 'out'
    options = ['--detector', detector, '--parser', parser, '--min-face', '8', '--workers', '0']
    assert command.main([str(tmp_path / 'photos'), str(out), *options]) == 0
    assert [record.status for record in manifest_records(out / 'manifest.jsonl')] == ['ok'] * 3
    inside = detector in ('dlib', 'none') and parser not in ('none', 'mesh')
    assert json.loads((out / 'prepare.json').read_text())['landmarks'] == (
        dict(type='YuNet') if inside else None
    )
    assert ('YuNet' in stubs) == (inside or detector == 'yunet')


@pytest.mark.parametrize('dlib', [True, False])
def test_published_crops_of_ones_own_photos(tmp_path, stubs, monkeypatch, dlib):
    monkeypatch.setattr(preparing, 'has_dlib', lambda: dlib)
    write_pictures(tmp_path / 'photos', 2)
    out = tmp_path / 'out'
    options = ['--crops', 'published', '--parser', 'template', '--min-face', '8', '--workers', '0']
    assert command.main([str(tmp_path / 'photos'), str(out), *options]) == 0
    about = json.loads((out / 'prepare.json').read_text())
    found = [about[name] for name in ('crops', 'detector_name', 'margin', 'choice', 'follow')]
    assert found == ['published', *(('dlib', 1.3, 'best') if dlib else ('yunet', 1.02, 'largest')), False]
    assert crop_facts_of_root(str(out)) == {'detector': found[1], 'crop_margin': found[2]}


@pytest.mark.parametrize(
    'options, message',
    [
        (['--margin', '1.2'], r'has the margin 1\.02 with yunet, not 1\.2: take --crops ours'),
        (['--faces', 'all'], 'takes the largest face, not all: take --crops ours'),
        (['--detector', 'retinaface'], 'knows the margins of dlib and yunet, not of retinaface'),
    ],
)
def test_what_contradicts_published_crops(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.setattr(preparing, 'has_dlib', lambda: False)
    write_pictures(tmp_path / 'photos', 1)
    assert (
        command.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), '--crops', 'published', *options]) == 1
    )
    assert re.search(message, capsys.readouterr().err)


def test_a_crop_without_a_face_inside_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(YuNet, 'detect', lambda self, pictures: [[] for _ in pictures])
    write_pictures(tmp_path / 'photos', 1)
    options = ['--detector', 'none', '--parser', 'template', '--min-face', '8', '--workers', '0']
    command.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), *options])
    (record,) = manifest_records(tmp_path / 'out' / 'manifest.jsonl')
    assert (record.status, record.message) == (
        'unparsed',
        'the parser needs landmarks, and no face was found inside the crop',
    )


def test_what_cannot_work_is_refused_before_any_work(tmp_path):
    items = write_pictures(tmp_path / 'photos', 1)
    settings = Settings(dict(type='NoDetector'), dict(type='TemplateParser'))
    with pytest.raises(ValueError, match='TemplateParser needs landmarks, which NoDetector does not give'):
        prepare(items, tmp_path / 'out', settings, Execution(workers=0))
    assert not (tmp_path / 'out').exists()


def test_the_weights_are_those_of_who_has_any(tmp_path):
    args = command.parse_args(['a', 'b', '--detector', 'dlib', '--detector-weights', 'yunet.onnx'])
    detector, _, _, inside = command.components(args)
    assert (detector, inside) == (dict(type='DlibFrontal'), dict(type='YuNet', weights='yunet.onnx'))
