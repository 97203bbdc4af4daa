from dataclasses import fields

import cv2
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from fsfm_mm.datasets import check_splits, entries_of
from fsfm_mm.drawn import GeneratedForgeries
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.drawn.forgeries import DOMAINS, capture_image, draw_frame, frame_params
from fsfm_mm.drawn.forging import DEEPFAKES, FORGERIES, SPOOFS, inner_face, soft_mask
from fsfm_mm.drawn.params import sample_params

SIZE = 96


def detail(image):
    """Energy of the finest detail: standard deviation of the Laplacian."""
    return float(cv2.Laplacian(image.astype(np.float32).mean(-1), cv2.CV_32F).std())


def forged(kind, number=0, size=SIZE):
    image, labels = draw_face(number, size)
    return image, FORGERIES[kind](image, labels, np.random.default_rng(number)), labels


# ------------------------------------------------------------------------------------------ pure functions


@pytest.mark.parametrize('kind', FORGERIES)
def test_forgeries_are_determined_by_their_generator_and_leave_their_input_alone(kind):
    image, labels = draw_face(3, SIZE)
    before = image.copy(), labels.copy()
    first, same, other = (FORGERIES[kind](image, labels, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])
    assert first.dtype == np.uint8 and first.shape == image.shape


@pytest.mark.parametrize('kind', FORGERIES)
def test_forgeries_are_visible_and_not_broken(kind):
    """The picture stays recognisable: correlated with the genuine one, neither black nor saturated."""
    for number in range(8):
        image, fake, _ = forged(kind, number)
        difference = np.abs(image.astype(float) - fake).mean()
        assert 0.3 < difference < 50
        assert np.corrcoef(image.ravel(), fake.ravel())[0, 1] > 0.6
        assert (fake == 255).mean() < (image == 255).mean() + 0.1


@pytest.mark.parametrize('kind', DEEPFAKES)
def test_deepfakes_change_the_face_only(kind):
    for number in range(8):
        image, fake, labels = forged(kind, number)
        changed = np.abs(image.astype(int) - fake).max(-1)
        reach = cv2.dilate(inner_face(labels).astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
        assert changed[~reach].max() <= 1
        assert changed[inner_face(labels)].mean() > 2


@pytest.mark.parametrize('kind', SPOOFS)
def test_spoofs_change_the_whole_picture(kind):
    for number in range(4):
        image, fake, _ = forged(kind, number)
        assert (np.abs(image.astype(int) - fake).max(-1) > 1).mean() > 0.6


def test_a_resynthesised_face_has_less_detail_and_a_print_has_dots():
    for number in range(6):
        image, fake, labels = forged('resynthesis', number)
        y, x = np.nonzero(inner_face(labels))
        box = np.s_[y.min() : y.max(), x.min() : x.max()]
        assert detail(fake[box]) < 0.85 * detail(image[box])
        flat = np.full((SIZE, SIZE, 3), 128, np.uint8)
        assert detail(FORGERIES['print'](flat, labels, np.random.default_rng(number))) > 8


def test_a_print_has_a_narrow_gamut():
    for number in range(4):
        image, fake, _ = forged('print', number)
        ranges = [np.percentile(cv2.GaussianBlur(x, (0, 0), 2).max(-1), [1, 99]) for x in (image, fake)]
        assert np.ptp(ranges[1]) < np.ptp(ranges[0])


def test_moire_is_periodic():
    """On a grey picture the interference is all there is: one frequency holds most of its energy."""
    grey = np.full((128, 128, 3), 128, np.uint8)
    shares = []
    for seed in range(6):
        stripes = SPOOFS['moire'](grey, np.zeros((128, 128), np.uint8), np.random.default_rng(seed))
        power = np.abs(np.fft.rfft2(stripes.mean(-1) - stripes.mean())) ** 2
        power[0, :4] = power[:4, 0] = 0  # slow drifts
        shares.append(np.sort(power.ravel())[-40:].sum() / power.sum())
    assert np.mean(shares) > 0.6


def test_inner_face_is_between_the_features_and_the_skin():
    for number in range(6):
        _, labels = draw_face(number, SIZE)
        mask = inner_face(labels)
        features = (labels >= 2) & (labels <= 9)
        assert mask[features].all() and not mask[(labels == 0) | (labels == 10)].any()
        assert features.sum() < mask.sum() <= ((labels >= 1) & (labels <= 9)).sum()
    only_skin = np.zeros((32, 32), np.uint8)
    only_skin[8:20, 8:20] = 1
    np.testing.assert_array_equal(inner_face(only_skin), only_skin == 1)
    assert not inner_face(np.zeros((32, 32), np.uint8)).any()


def test_soft_mask_is_one_inside_zero_far_away_and_smooth():
    mask = np.zeros((96, 96), bool)
    mask[24:72, 24:72] = True
    weight = soft_mask(mask, np.random.default_rng(0))[..., 0]
    assert weight.min() >= 0 and weight.max() <= 1 and weight[40:56, 40:56].min() > 0.8
    assert weight[:6].max() < 0.01
    assert np.abs(np.diff(weight, axis=0)).max() < 0.45


def test_forging_a_picture_without_a_face():
    empty = np.zeros((48, 64, 3), np.uint8)
    for forge in FORGERIES.values():
        assert forge(empty, np.zeros((48, 64), np.uint8), np.random.default_rng(0)).shape == (48, 64, 3)


# ------------------------------------------------------------------------------------------------ data set


def test_classes_are_balanced_and_labels_go_by_name():
    data = GeneratedForgeries(24, 32, kinds=('moire', 'print', 'replay'), frames_per_video=2)
    entries = list(entries_of(data))
    assert [e['class_name'] for e in entries].count('fake') == 12
    assert {(e['gt_label'], e['class_name']) for e in entries} == {(0, 'fake'), (1, 'real')}
    assert [e['kind'] for e in entries[::4]] == ['moire', 'print', 'replay'] * 2
    assert {e['kind'] for e in entries if e['class_name'] == 'real'} == {'real'}
    assert [e['video_id'] for e in entries[:5]] == ['fake/000000'] * 2 + ['real/000001'] * 2 + ['fake/000002']
    assert len({e['img_path'] for e in entries}) == 24
    assert data.metainfo['classes'] == ('fake', 'real') and data.metainfo['positive_class'] == 'real'
    swapped = GeneratedForgeries(8, 32, classes=('real', 'fake'))
    assert {(e['gt_label'], e['class_name']) for e in entries_of(swapped)} == {(0, 'real'), (1, 'fake')}


def test_samples_are_determined_by_their_video_and_frame():
    data = GeneratedForgeries(16, 48, frames_per_video=4, seed=2)
    later = GeneratedForgeries(8, 48, frames_per_video=4, seed=2, start_video=2, cache=True)
    for i in range(8):
        np.testing.assert_array_equal(data[8 + i]['img'], later[i]['img'])
        assert data[8 + i]['video_id'] == later[i]['video_id']
    np.testing.assert_array_equal(data.get_subset([5])[0]['img'], data[5]['img'])
    assert (data[0]['img'] != GeneratedForgeries(16, 48, frames_per_video=4, seed=3)[0]['img']).any()


def test_frames_of_a_video_show_one_person_in_slightly_different_pictures():
    person = sample_params(4)
    other = frame_params(person, DOMAINS['b'], np.random.default_rng(0))
    changed = {f.name for f in fields(person) if getattr(person, f.name) != getattr(other, f.name)}
    moving = {'yaw', 'pitch', 'roll', 'shift_x', 'shift_y', 'smile', 'gaze'}
    light_and_camera = {'azimuth', 'key', 'ambient', 'warmth', 'noise'}
    assert {'yaw', 'azimuth', 'warmth'} <= changed <= moving | light_and_camera
    same, different = [], []
    for video in range(1, 13, 2):
        a, b, c = (draw_frame(v, f, 'real', 'a', 48, 0) for v, f in ((video, 0), (video, 1), (video + 2, 0)))
        assert (a != b).any()
        same.append(np.abs(a.astype(int) - b).mean())
        different.append(np.abs(a.astype(int) - c).mean())
    assert np.mean(same) < 0.4 * np.mean(different)


def test_domains_differ_in_tone_detail_and_people():
    means = {}
    for domain in 'abc':
        data = GeneratedForgeries(24, 48, domain=domain, frames_per_video=1)
        images = np.stack([data.get_data_info(i)['img'] for i in range(24)]).astype(float)
        means[domain] = images.mean((0, 1, 2))
    warmth = {domain: mean[2] - mean[0] for domain, mean in means.items()}
    assert warmth['c'] < warmth['a'] < warmth['b']
    image = draw_frame(1, 0, 'real', 'a', 48, 0)
    assert not np.array_equal(image, draw_frame(1, 0, 'real', 'b', 48, 0))
    flat = np.full((48, 48, 3), 128, np.uint8)
    noise = {d: capture_image(flat, DOMAINS[d], np.random.default_rng(0)).std() for d in 'abc'}
    assert noise['a'] < noise['b'] and noise['a'] < noise['c']


def test_disjoint_videos_are_disjoint_splits():
    sets = [GeneratedForgeries(videos=4, frames_per_video=2, img_size=32, start_video=s) for s in (0, 4, 2)]
    assert [len(data) for data in sets] == [8, 8, 8]
    check_splits({'train': sets[0], 'test': sets[1]})
    with pytest.raises(ValueError, match=r"share 2 videos or files \('a: fake/000002', 'a: real/000003'\)"):
        check_splits({'train': sets[0], 'test': sets[2]})


def test_a_loader_gives_the_contracts_batch():
    keys = ('img_path', 'video_id', 'domain', 'class_name', 'sample_idx')
    data = GeneratedForgeries(
        8, 32, pipeline=[dict(type='PackInputs', meta_keys=keys)], max_frames_per_video=2
    )
    assert [data.entry(i)['frame'] for i in range(len(data))] == [0, 3, 0, 3]
    batch = next(iter(DataLoader(data, batch_size=4, collate_fn=pseudo_collate)))
    assert [int(s.gt_label) for s in batch['data_samples']] == [0, 0, 1, 1]
    assert batch['data_samples'][3].domain == 'a' and batch['data_samples'][3].class_name == 'real'
    np.testing.assert_array_equal(batch['inputs'][3].numpy().transpose(1, 2, 0), data.get_data_info(3)['img'])


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'domain': 'd'}, "domain must be one of 'a', 'b', 'c', but is 'd'"),
        ({'kinds': ('swap', 'mask')}, "kinds must be one of 'swap', .* but is 'mask'"),
        ({'kinds': ()}, 'one kind at least'),
        ({'img_size': 16}, 'img_size >= 32'),
        ({'length': 4}, 'two videos at least'),
        ({'frames_per_video': 0}, 'frames_per_video >= 1'),
        ({'start_video': 3}, 'start_video even'),
        ({'seed': -1}, 'seed must be >= 0'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GeneratedForgeries(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize('kinds', [tuple(DEEPFAKES), tuple(SPOOFS)], ids=['deepfakes', 'spoofs'])
def test_the_classes_can_be_told_apart_but_not_by_mean_colour(kinds):
    """A linear probe on local statistics learns the task within a domain; on the mean colour it learns little."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def features(data):
        images = [data.get_data_info(i)['img'].astype(np.float32) for i in range(len(data))]
        blurs = [[x - cv2.GaussianBlur(x, (0, 0), s) for s in (0.7, 1.5, 3.0)] for x in images]
        cells = [
            [
                np.log(cv2.resize(np.abs(b).mean(-1), (6, 6), interpolation=cv2.INTER_AREA) + 0.1).ravel()
                for b in bs
            ]
            for bs in blurs
        ]
        return np.array(cells).reshape(len(images), -1), np.stack([x.mean((0, 1)) for x in images])

    train, test = (GeneratedForgeries(600, 64, kinds, frames_per_video=1, start_video=s) for s in (0, 600))
    y = [[e['gt_label'] for e in entries_of(data)] for data in (train, test)]
    (local, colour), (test_local, test_colour) = features(train), features(test)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    by_local = roc_auc_score(y[1], model.fit(local, y[0]).decision_function(test_local))
    by_colour = roc_auc_score(y[1], model.fit(colour, y[0]).decision_function(test_colour))
    assert by_local > 0.85
    assert by_colour < 0.75
