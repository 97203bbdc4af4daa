"""A model used on pictures and videos: as its card says, every face and person, the numbers of `test`."""

import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image
from squares import SIDE, WhiteSquares, save_model, scene

import fsfm_mm
from fsfm_mm.apis.testing import score_set
from fsfm_mm.datasets.transforms import ResizeFace
from fsfm_mm.preparation.cutting.squares import crop_square, cut_out
from fsfm_mm.preparation.detectors.base import Face


@pytest.fixture
def model(tmp_path):
    path = tmp_path / 'model.pth'
    save_model(path, threshold=0.5)
    return path


def expected_score(path, picture, left, top):
    """By hand: the square about the box, brought to the model's size."""
    net, card = fsfm_mm.load(path, device='cpu')
    square = crop_square((left, top, left + SIDE, top + SIDE), picture.shape[1], picture.shape[0], 1.25)
    face = ResizeFace(32)({'img': cut_out(picture, square)})['img']
    with torch.inference_mode():
        data = net.data_preprocessor({'inputs': torch.from_numpy(face).permute(2, 0, 1)[None]})
        (found,) = net(**data, mode='predict')
    return float(found.pred_score[card.classes.index('real')])


def test_every_face_of_a_picture(model, tmp_path):
    picture = scene((10, 10, 1), (90, 80, 2))
    cv2.imwrite(str(tmp_path / 'two.png'), picture)
    detector = fsfm_mm.Detector(model, device='cpu')
    found = detector(tmp_path / 'two.png')
    assert (found.kind, found.status, len(found.faces), len(found.persons)) == ('picture', 'scored', 2, 2)
    by_box = {face.box[:2]: face for face in found.faces}
    for left, top in ((10, 10), (90, 80)):
        face = by_box[left, top]
        assert face.box == (left, top, left + SIDE, top + SIDE) and face.detection == 0.75
        assert face.score == pytest.approx(expected_score(model, picture, left, top), abs=1e-5)
        assert found.persons[face.person].score == face.score
    assert len({face.score for face in found.faces}) == 2
    assert found.score == min(face.score for face in found.faces)
    assert found.verdict == ('real' if found.score >= 0.5 else 'fake')
    # the same as an array, and as a picture of PIL
    for same in (picture, Image.fromarray(picture[..., ::-1].copy())):
        again = detector(same)
        assert [face.score for face in again.faces] == pytest.approx(
            [face.score for face in found.faces], abs=1e-6
        )


def test_a_second_box_of_a_face_is_no_person(model, monkeypatch):
    """Detectors find one face twice now and then, and the lowest score would be that of the worse box."""
    picture = scene((10, 10, 1), (90, 80, 2))
    boxes = [[10, 10, 58, 58], [20, 14, 64, 56], [90, 80, 138, 128]]
    found = [Face(np.array(box, float), 0.9) for box in boxes]
    monkeypatch.setattr(WhiteSquares, 'detect', lambda self, pictures: [found for _ in pictures])
    prediction = fsfm_mm.Detector(model, device='cpu')(picture)
    assert sorted(face.box for face in prediction.faces) == [tuple(boxes[0]), tuple(boxes[2])]


def test_people_of_a_video(model, tmp_path):
    from engine_fakes import write_video

    # two people who walk; the second leaves
    frames = [scene((10 + 2 * i, 10, 1), *([(90, 90 - i, 2)] if i < 6 else []), size=160) for i in range(9)]
    write_video(tmp_path / 'v.mp4', frames, 160)
    found = fsfm_mm.Detector(model, device='cpu', frames=9, batch_size=4)(tmp_path / 'v.mp4')
    assert found.kind == 'video' and found.status == 'scored'
    assert sorted(person.num_frames for person in found.persons) == [6, 9]
    for person in found.persons:
        scores = [face.score for face in found.faces if face.person == person.person]
        assert person.score == pytest.approx(np.mean(scores))
        lefts = [face.box[0] for face in found.faces if face.person == person.person]
        assert max(lefts) < 60 or min(lefts) > 60  # nobody was taken for the other
    assert found.score == min(person.score for person in found.persons)


def test_crops_get_the_scores_of_the_test(model, tmp_path):
    """Folders of crops as data sets have them: what `fsfm-mm test` gives, to rounding."""
    for name in ('real', 'fake'):
        (tmp_path / 'set' / 'test' / name).mkdir(parents=True)
        for i in range(4):
            crop = scene((4, 4, i), size=60 + i, seed=i)
            cv2.imwrite(str(tmp_path / 'set' / 'test' / name / f'{name}{i}.png'), crop)
    pack = dict(type='PackInputs', meta_keys=('img_path', 'video_id', 'class_name', 'sample_idx'))
    pipeline = [dict(type='LoadFace'), dict(type='ResizeFace', size=32), pack]
    dataset = dict(type='LabelledFaces', data_root=str(tmp_path / 'set'), split='test', pipeline=pipeline)
    loader = dict(batch_size=3, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
    net, _ = fsfm_mm.load(model, device='cpu')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        _, table = score_set(net, dataset, loader, dict(type='ForgeryMetric'), 'set')
    expected = {os.path.basename(row.img_path): row.score for row in table.samples}
    found = fsfm_mm.Detector(model, device='cpu', face_detector='none')(tmp_path / 'set')
    assert len(found) == 8 and all(one.faces[0].box is None for one in found)
    assert {os.path.basename(one.input): one.score for one in found} == pytest.approx(expected, abs=1e-5)


def test_a_whole_photo_taken_as_a_crop_is_said(model):
    detector = fsfm_mm.Detector(model, device='cpu', face_detector='none')
    assert detector(scene((4, 4, 1), size=60)).message == ''
    found = detector(scene((4, 4, 1), size=60)[:50])
    assert found.status == 'scored' and '60x50 pixels, but the crops' in found.message


def test_swapped_classes_give_the_same_words(model, tmp_path):
    pictures = [scene((30, 30, number)) for number in range(6)]
    scores = sorted(one.score for one in fsfm_mm.Detector(model, device='cpu')(pictures))
    threshold = (scores[2] + scores[3]) / 2
    found = {}
    for swapped in (False, True):
        save_model(tmp_path / 'm.pth', swapped, threshold=threshold)
        found[swapped] = fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu')(pictures)
    words = [[one.verdict for one in ones] for ones in found.values()]
    assert words[0] == words[1] and sorted(words[0]) == ['fake'] * 3 + ['real'] * 3
    assert [one.score for one in found[0]] == pytest.approx([one.score for one in found[1]], abs=1e-6)


def test_without_a_threshold_there_is_no_word(tmp_path):
    save_model(tmp_path / 'm.pth')
    found = fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu')(scene((30, 30, 1)))
    assert found.score is not None and found.verdict is None and found.persons[0].verdict is None
    named = fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu', threshold=0.0)
    assert named(scene((30, 30, 1))).verdict == 'real' and named.facts['threshold_from'] == 'the user'


def test_what_is_no_face_or_no_picture(model, tmp_path):
    detector = fsfm_mm.Detector(model, device='cpu')
    (tmp_path / 'text.jpg').write_text('hello')
    os.mkfifo(tmp_path / 'pipe.jpg')
    cv2.imwrite(str(tmp_path / 'dark.png'), scene())
    cv2.imwrite(str(tmp_path / 'small.png'), scene((20, 20, 1), side=16))
    (tmp_path / 'empty').mkdir()
    names = ['text.jpg', 'pipe.jpg', 'gone.png', 'dark.png', 'small.png']
    found = detector([tmp_path / name for name in names])
    assert [one.status for one in found] == ['unreadable', 'unreadable', 'unreadable', 'no_face', 'small']
    assert all(one.score is None and one.verdict is None for one in found)
    assert all(name in one.message for name, one in zip(names[:3], found))
    with pytest.raises(ValueError, match='holds no pictures'):
        detector(tmp_path / 'empty')
    with pytest.raises(ValueError, match='blue first'):
        detector(np.zeros((8, 8), np.uint8))


def test_the_card_says_how_faces_are_cut(tmp_path):
    save_model(tmp_path / 'm.pth', detector=None, crop_margin=None)
    with pytest.raises(ValueError, match=r'does not say which face detector.*--face-detector none'):
        fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu')
    with pytest.raises(ValueError, match='does not say which margin'):
        fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu', face_detector='squares')
    typed = fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu', face_detector='squares', margin=1.25)
    save_model(tmp_path / 'known.pth')
    known = fsfm_mm.Detector(tmp_path / 'known.pth', device='cpu')
    picture = scene((30, 30, 1))
    assert typed(picture).score == known(picture).score
    with pytest.raises(ValueError, match=r'card says margin 1\.25, but 1\.5 was typed'):
        fsfm_mm.Detector(tmp_path / 'known.pth', device='cpu', margin=1.5)
    other = fsfm_mm.Detector(tmp_path / 'known.pth', device='cpu', margin=1.5, override_card=True)
    assert other(picture).score != known(picture).score and 'margin' in other.notes[0]
    save_model(tmp_path / 'foreign.pth', detector='somebody')
    with pytest.raises(ValueError, match="no face detector 'somebody' here"):
        fsfm_mm.Detector(tmp_path / 'foreign.pth', device='cpu')


def test_a_pretraining_or_nameless_classes_are_refused(tmp_path):
    save_model(tmp_path / 'm.pth', classes=None, positive_class=None)
    with pytest.raises(ValueError, match='does not say what its classes are'):
        fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu')


def test_any_number_of_pictures_is_scored_as_they_come(model):
    """Predictions come before the sources end, so nothing piles up; and in their order."""
    taken = []

    def sources():
        for number in range(20):
            taken.append(number)
            yield scene((30, 30, number % 5))

    detector = fsfm_mm.Detector(model, device='cpu', batch_size=4)
    scores = []
    for prediction in detector.stream(sources()):
        assert len(taken) - len(scores) <= 5
        scores.append(prediction.score)
    assert scores == pytest.approx((scores[:5]) * 4, abs=1e-6) and len(set(scores[:5])) == 5


def test_a_model_is_shown_what_its_tests_show(tmp_path):
    text = "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadFace'), dict(type='ResizeFace', size=32, "
    text += "interpolation='bilinear')]))"
    save_model(tmp_path / 'm.pth', config=text, view='centre')
    view = fsfm_mm.Detector(tmp_path / 'm.pth', device='cpu')._view
    assert (view.size, view.interpolation, view.view) == ((32, 32), 'bilinear', 'centre')
