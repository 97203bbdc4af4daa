"""Face detectors: what they find in real portraits, and in pictures that try them."""

import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from fsfm_mm.preparation import detectors
from fsfm_mm.preparation.cutting.cutter import crop_square
from fsfm_mm.preparation.cutting.reading import read_picture
from fsfm_mm.preparation.detectors.base import shrunk
from fsfm_mm.registry import FACE_DETECTORS

NAMES = detectors.__all__


@pytest.fixture(scope='module')
def portraits(faces):
    """60 photos of 335x410 pixels with one face each."""
    return [read_picture(path) for path in sorted((faces / 'portraits').glob('*.jpg'))]


@pytest.fixture(scope='module')
def yunet(faces):
    return FACE_DETECTORS.build(
        dict(type='YuNet', weights=faces / 'weights' / 'face_detection_yunet_2023mar.onnx')
    )


@pytest.fixture(scope='module')
def retinaface(faces):
    weights = faces / 'weights' / 'retinaface_mobilenet0.25_Final.pth'
    return FACE_DETECTORS.build(dict(type='FacerRetinaFace', weights=weights, device='cpu'))


@pytest.fixture(scope='module')
def by_yunet(yunet, portraits):
    return yunet.detect(portraits)


def iou(a, b):
    inner = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner)


def same_faces(first, second):
    """Bit by bit."""
    return len(first) == len(second) and all(
        np.array_equal(a.box, b.box) and a.score == b.score and np.array_equal(a.landmarks, b.landmarks)
        for a, b in zip(first, second)
    )


def check_face(face, width=335, height=410):
    left, top, right, bottom = face.box
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert 100 < right - left < 220 and 0.6 <= face.score <= 1
    points = face.landmarks
    assert points.shape == (5, 2) and (points > face.box[:2]).all() and (points < face.box[2:]).all()
    right_eye, left_eye, nose, right_mouth, left_mouth = points
    assert right_eye[0] < nose[0] < left_eye[0] and right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_yunet_finds_the_one_face_of_each_portrait(by_yunet):
    assert [len(found) for found in by_yunet] == [1] * 60
    for (face,) in by_yunet:
        check_face(face)


def test_retinaface_agrees_with_yunet(retinaface, portraits, by_yunet):
    found = retinaface.detect(portraits)
    assert [len(faces) for faces in found] == [1] * 60
    for (face,), (other,) in zip(found, by_yunet):
        check_face(face)
        assert iou(face.box, other.box) > 0.8
        eyes = np.linalg.norm(other.landmarks[0] - other.landmarks[1])
        assert np.linalg.norm(face.landmarks - other.landmarks, axis=1).mean() < 0.2 * eyes


@pytest.mark.parametrize('name', ['yunet', 'retinaface'])
def test_the_same_picture_gives_the_same_faces_whatever_its_company(name, portraits, request):
    detector = request.getfixturevalue(name)
    pictures = [portraits[0], portraits[1][:200], portraits[2]]
    together = detector.detect(pictures)
    for picture, faces in zip(reversed(pictures), reversed(together)):
        assert same_faces(detector.detect([picture])[0], faces)
    assert detector.detect([]) == []


@pytest.mark.parametrize('name', ['yunet', 'retinaface'])
def test_large_pictures_are_shrunk_and_the_faces_scaled_back(name, portraits, by_yunet, request):
    detector = request.getfixturevalue(name)
    # a large photo with unequal factors: 10 times as wide, 8 times as high
    picture = portraits[3].repeat(10, axis=1).repeat(8, axis=0)
    ((face,),) = detector.detect([picture])
    scaled = face.box / [10, 8, 10, 8]
    assert iou(scaled, by_yunet[3][0].box) > 0.75
    assert np.abs(face.landmarks / [10, 8] - by_yunet[3][0].landmarks).max() < 20


@pytest.mark.parametrize('name', ['yunet', 'retinaface'])
@pytest.mark.parametrize('size', [(1, 1), (1, 2), (2, 1), (7, 5), (31, 33), (1, 5000), (5000, 1)])
def test_pictures_of_any_size_are_borne(name, size, request):
    detector = request.getfixturevalue(name)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert detector.detect([noise, np.zeros_like(noise)]) == [[], []]


def test_two_people_in_one_picture(yunet, retinaface, portraits, by_yunet):
    both = np.concatenate(portraits[4:6], axis=1)
    for detector in (yunet, retinaface):
        (found,) = detector.detect([both])
        left, right = sorted(found, key=lambda face: face.box[0])
        assert iou(left.box, by_yunet[4][0].box) > 0.7
        assert iou(right.box - [335, 0, 335, 0], by_yunet[5][0].box) > 0.7


def test_faces_below_the_score_are_left_out(faces, portraits, by_yunet):
    weights = faces / 'weights' / 'face_detection_yunet_2023mar.onnx'
    strict = detectors.YuNet(weights=weights, min_score=0.94).detect(portraits)
    kept = [len(found) for found in strict]
    assert kept == [int(face.score > 0.94) for (face,) in by_yunet] and 5 < sum(kept) < 55


def test_shrunk():
    picture = np.zeros((100, 400, 3), np.uint8)
    assert shrunk(picture, 400)[0] is picture
    small, scale = shrunk(picture, 150)
    assert small.shape == (38, 150, 3)
    np.testing.assert_allclose(scale * [150, 38], [400, 100])
    assert shrunk(np.zeros((1, 999, 3), np.uint8), 100)[0].shape == (1, 100, 3)


@pytest.mark.parametrize('size', [(60, 60), (60, 101), (101, 60), (1, 1)])
def test_no_detector_takes_the_centred_square(size):
    detector = FACE_DETECTORS.build(dict(type='NoDetector'))
    assert detector.crops_already and not detectors.YuNet.crops_already
    ((face,),) = detector.detect([np.zeros((*size, 3), np.uint8)])
    height, width = size
    side = min(size)
    assert face.landmarks is None and face.score == 1
    left, top, right, bottom = crop_square(face.box, width, height, margin=1.0)
    assert right - left == bottom - top == side
    assert (left, top) == ((width - side) // 2, (height - side) // 2)


class StandInBox:
    def left(self):
        return 10

    def top(self):
        return 20

    def right(self):
        return 89

    def bottom(self):
        return 99


def test_dlib_through_a_stand_in(monkeypatch):
    """Where dlib is not installed: what is asked of it, and what is made of its answer."""
    asked = []

    class StandIn:
        def run(self, picture, upsample, threshold):
            asked.append((picture[0, 0].tolist(), upsample, threshold))
            return [StandInBox(), StandInBox()], [0.0, 2.0], [0, 0]

    module = types.SimpleNamespace(get_frontal_face_detector=StandIn)
    monkeypatch.setitem(sys.modules, 'dlib', module)
    picture = np.full((100, 100, 3), (1, 2, 3), np.uint8)
    ((weak, strong),) = FACE_DETECTORS.build(dict(type='DlibFrontal')).detect([picture])
    assert asked == [([3, 2, 1], 1, 0.0)]
    assert weak.score == 0.5 and strong.score == pytest.approx(0.8808, abs=1e-4)
    assert strong.box.tolist() == [10, 20, 89, 99] and strong.landmarks is None
    ((only,),) = detectors.DlibFrontal(min_score=0.6).detect([picture])
    assert only.score == strong.score


def test_dlib_on_portraits(portraits, by_yunet):
    pytest.importorskip('dlib', reason='dlib is optional')
    detector = detectors.DlibFrontal()
    for picture, (other,) in zip(portraits[:10], by_yunet):
        ((face,),) = detector.detect([picture])
        assert iou(face.box, other.box) > 0.5 and face.score > 0.5
    assert detector.detect([picture[:1, :1]]) == [[]]


def test_dlib_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'dlib', None)
    with pytest.raises(ValueError, match=r'needs dlib: `pip install dlib-bin` .* or take the detector YuNet'):
        detectors.DlibFrontal().prepare()


@pytest.mark.parametrize(
    'config, message',
    [
        (dict(type='YuNet', min_score=1.5), 'YuNet: min_score must lie within 0 and 1, but is 1.5'),
        (dict(type='YuNet', nms=-1), 'nms must lie within 0 and 1, but is -1'),
        (dict(type='YuNet', max_side=8), 'YuNet: max_side must be 32 or more, but is 8'),
        (dict(type='FacerRetinaFace', model='vgg'), "model must be one of mobilenet, resnet50, but is 'vgg'"),
        (dict(type='FacerRetinaFace', min_score=-0.1), 'min_score must lie within 0 and 1'),
        (dict(type='FacerRetinaFace', batch_size=0), 'batch_size must be 1 or more, but is 0'),
        (dict(type='FacerRetinaFace', max_side=1), 'max_side must be 32 or more'),
        (dict(type='DlibFrontal', upsample=-1), 'upsample must be 0 or more, but is -1'),
    ],
)
def test_wrong_arguments_are_told_when_it_is_built(config, message):
    with pytest.raises(ValueError, match=message):
        FACE_DETECTORS.build(config)


def test_wrong_weights(tmp_path, faces):
    path = tmp_path / 'net.onnx'
    path.write_bytes(b'no network')
    with pytest.raises(ValueError, match=r'net.onnx are not the expected ones: their SHA-256'):
        detectors.YuNet(weights=path).prepare()
    with pytest.raises(ValueError, match=r'net.onnx cannot be loaded as an ONNX network'):
        detectors.YuNet(weights=path, sha256=None).prepare()
    with pytest.raises(ValueError, match=r'gone.pth do not exist'):
        detectors.FacerRetinaFace(weights=tmp_path / 'gone.pth', device='cpu').prepare()
    with pytest.raises(ValueError, match=r'net.onnx does not hold the weights of retinaface/mobilenet'):
        detectors.FacerRetinaFace(weights=path, device='cpu').prepare()


def test_weights_with_missing_names_or_of_the_other_model(tmp_path, faces):
    """facer itself would load them and compute nonsense."""
    state = torch.load(faces / 'weights' / 'retinaface_mobilenet0.25_Final.pth', 'cpu', weights_only=True)
    del state[next(key for key in state if 'fpn' in key)]
    torch.save(state, tmp_path / 'part.pth')
    for model in ('mobilenet', 'resnet50'):
        detector = detectors.FacerRetinaFace(model, weights=tmp_path / 'part.pth', device='cpu')
        with pytest.raises(ValueError, match=rf'part.pth does not hold the weights of retinaface/{model}'):
            detector.prepare()


def test_retinaface_leaves_the_settings_of_torch_alone(faces):
    weights = faces / 'weights' / 'retinaface_mobilenet0.25_Final.pth'
    assert not torch.backends.cudnn.benchmark
    detectors.FacerRetinaFace(weights=weights, device='cpu').prepare()
    assert not torch.backends.cudnn.benchmark


def test_a_gpu_that_is_not_there(faces, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    weights = faces / 'weights' / 'retinaface_mobilenet0.25_Final.pth'
    with pytest.raises(ValueError, match='torch finds no GPU'):
        detectors.FacerRetinaFace(weights=weights, device='cuda:0').prepare()


@pytest.mark.slow
def test_importing_registers_and_imports_no_networks():
    """Own process: others of this one have imported everything."""
    code = (
        'import sys; from fsfm_mm.preparation import detectors; from fsfm_mm.registry import FACE_DETECTORS; '
        f'assert set({NAMES!r}) <= set(FACE_DETECTORS.module_dict); '
        'assert not {"facer", "dlib"} & set(sys.modules), "imported too early"'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


@pytest.mark.gpu
def test_batches_on_a_gpu_agree_with_the_cpu(faces, portraits, retinaface):
    weights = faces / 'weights' / 'retinaface_mobilenet0.25_Final.pth'
    on_gpu = detectors.FacerRetinaFace(weights=weights, device='cuda:0').detect(portraits[:20])
    for (face,), (other,) in zip(on_gpu, retinaface.detect(portraits[:20])):
        assert np.abs(face.box - other.box).max() < 0.5
