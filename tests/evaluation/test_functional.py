"""Frame- and video-level metrics against the reference's values and slow plain oracles."""

import json
import logging
from pathlib import Path

import metric_oracles as oracles
import numpy as np
import pytest
from mmengine.logging import MMLogger
from sklearn import metrics as sklearn_metrics

from fsfm_mm import evaluation as ev
from fsfm_mm.evaluation.summaries import warn_once

GOLDEN = json.loads((Path(__file__).parents[1] / 'data' / 'metrics.json').read_text())['cases']
cases = pytest.mark.parametrize('scores, labels', oracles.CASES.values(), ids=oracles.CASES.keys())


@pytest.fixture
def warnings_logged(monkeypatch):
    """Texts that are logged as warnings, from a fresh start."""
    warn_once.cache_clear()
    texts = []
    monkeypatch.setattr(
        'fsfm_mm.evaluation.summaries.print_log',
        lambda text, logger, level: texts.append(text) if level == logging.WARNING else None,
    )
    yield texts
    warn_once.cache_clear()


@pytest.mark.parametrize('case', GOLDEN)
def test_golden_frames_and_videos(case):
    frames = ev.forgery_metrics(np.array(case['scores']), np.array(case['labels']))
    videos = ev.video_scores(case['scores'], case['labels'], case['video'])
    for found, expected in [
        (frames, case['frame']),
        (ev.forgery_metrics(videos.scores, videos.labels), case['video_level']),
    ]:
        assert found['AUC'] == pytest.approx(expected['auc'], abs=1e-9)
        assert found['EER'] == pytest.approx(expected['eer'], abs=1e-9)
        assert found['ACC'] == pytest.approx(expected['acc'], abs=1e-12)
        assert found['BACC'] == pytest.approx(expected['bacc'], abs=1e-12)


@cases
def test_ranking_metrics_are_their_definitions(scores, labels):
    assert ev.auc(scores, labels) == pytest.approx(oracles.pairwise_auc(scores, labels), abs=1e-12)
    assert ev.average_precision(scores, labels) == pytest.approx(oracles.step_ap(scores, labels), abs=1e-12)
    curve = ev.roc_curve(scores, labels)
    np.testing.assert_allclose(np.c_[curve.fpr, curve.tpr], oracles.points(scores, labels), atol=1e-12)


@cases
def test_eer_is_the_root(scores, labels):
    assert ev.eer(scores, labels) == pytest.approx(oracles.root_eer(scores, labels), abs=1e-9)


@cases
@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.5, 1.0])
def test_accuracies_at_a_threshold(scores, labels, threshold):
    far, frr = oracles.rates(scores, labels, threshold)
    right = sum((s >= threshold) == (y == 1) for s, y in zip(scores, labels))
    assert ev.accuracy(scores, labels, threshold) == pytest.approx(right / len(labels), abs=1e-12)
    assert ev.balanced_accuracy(scores, labels, threshold) == pytest.approx(1 - (far + frr) / 2, abs=1e-12)
    assert ev.fpr_on_reals(scores, labels, threshold) == pytest.approx(frr, abs=1e-12)
    assert ev.fnr_on_fakes(scores, labels, threshold) == pytest.approx(far, abs=1e-12)


def test_accuracies_agree_with_scikit_learn():
    scores, labels = oracles.random_case(7, size=300)
    predicted = scores >= 0.5
    assert ev.accuracy(scores, labels) == pytest.approx(sklearn_metrics.accuracy_score(labels, predicted))
    assert ev.balanced_accuracy(scores, labels) == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(labels, predicted)
    )


@pytest.mark.parametrize(
    'name, auc, eer', [('all equal', 0.5, 0.5), ('perfect', 1, 0), ('inverted', 0, 1), ('one of each', 1, 0)]
)
def test_values_known_by_heart(name, auc, eer):
    scores, labels = oracles.CASES[name]
    assert (ev.auc(scores, labels), ev.eer(scores, labels)) == pytest.approx((auc, eer), abs=1e-12)


def test_auc_counts_which_class_is_positive():
    scores, labels = oracles.random_case(8)
    assert ev.auc(1 - scores, 1 - labels) == pytest.approx(ev.auc(scores, labels), abs=1e-12)
    assert ev.auc(scores, 1 - labels) == pytest.approx(1 - ev.auc(scores, labels), abs=1e-12)


def test_video_scores_are_means_by_id():
    scores = np.array([0.2, 0.9, 0.4, 0.7, 0.6])
    videos = ev.video_scores(scores, [0, 1, 0, 1, 0], ['fake/b', 'real/a', 'fake/b', 'real/a', 'fake/b'])
    assert videos.ids.tolist() == ['fake/b', 'real/a']
    assert videos.scores == pytest.approx([0.4, 0.8])
    assert videos.labels.tolist() == [0, 1]
    assert videos.num_frames.tolist() == [3, 2]


def test_video_scores_do_not_depend_on_the_order_of_frames():
    rng = np.random.default_rng(0)
    scores, labels = oracles.random_case(9, size=200)
    videos = np.array([f'{y}/{i}' for y, i in zip(labels, rng.integers(0, 12, 200))])
    expected = {v: np.mean([s for s, w in zip(scores, videos) if w == v]) for v in set(videos)}
    order = rng.permutation(200)
    found = ev.video_scores(scores[order], labels[order], videos[order])
    assert dict(zip(found.ids.tolist(), found.scores)) == pytest.approx(expected, abs=1e-12)


def test_one_id_for_two_labels_is_named():
    with pytest.raises(ValueError, match=r"video 'x/003' has 1 real and 2 fake frames \(1 such videos\)"):
        ev.video_scores([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], ['x/003', 'x/003', 'x/003', 'y'])


def test_one_video_only(warnings_logged):
    videos = ev.video_scores([0.2, 0.9], [1, 1], ['a', 'a'])
    found = ev.forgery_metrics(videos.scores, videos.labels)
    assert found == pytest.approx({'ACC': 1.0, 'FPR-on-reals': 0.0})


def test_single_class_gives_what_exists_and_one_warning(warnings_logged):
    both = ev.forgery_metrics(np.array([0.2, 0.7]), np.array([0, 1]))
    others = [name for name in both if name not in ('ACC', 'FNR-on-fakes')]
    for _ in range(3):
        found = ev.forgery_metrics(np.array([0.2, 0.7]), np.array([0, 0]), name='set A: frames')
        assert found == {'ACC': 0.5, 'FNR-on-fakes': 0.5}
    assert warnings_logged == [
        f'set A: frames: all 2 are fake, so {", ".join(others)} are undefined and left out'
    ]
    assert ev.forgery_metrics(np.array([0.2, 0.7]), np.array([1, 1]), name='B') == {
        'ACC': 0.5,
        'FPR-on-reals': 0.5,
    }
    assert len(warnings_logged) == 2 and 'all 2 are real' in warnings_logged[1]


def test_warnings_reach_the_current_logger():
    """What ``warn_once`` calls is MMEngine's logger, not a name that nobody reads."""
    warn_once.cache_clear()
    logger = MMLogger.get_instance('test_warn_once')
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    warn_once('only once')
    warn_once('only once')
    logger.removeHandler(handler)
    assert lines == ['only once']


def test_source_threshold_adds_its_own_metrics():
    scores, labels = np.array([0.1, 0.55, 0.6, 0.9]), np.array([0, 0, 1, 1])
    found = ev.forgery_metrics(scores, labels, source_threshold=0.7)
    assert (found['ACC'], found['BACC'], found['FPR-on-reals']) == (0.75, 0.75, 0.0)
    assert (found['ACC@source'], found['BACC@source'], found['FPR-on-reals@source']) == (0.75, 0.75, 0.5)
    assert not [key for key in ev.forgery_metrics(scores, labels) if '@' in key]


def test_cross_entropy():
    assert ev.cross_entropy([0.5, 0.25]) == pytest.approx(1.5 * np.log(2))
    assert ev.cross_entropy([1.0, 1.0]) == 0
    assert ev.cross_entropy([0.0]) == pytest.approx(87.3365, abs=1e-3)


@pytest.mark.parametrize('values', [[], [1.5], [-0.1, 0.5], [np.nan]])
def test_cross_entropy_of_what_is_no_probability(values):
    with pytest.raises(ValueError, match='probabilities within 0'):
        ev.cross_entropy(values)


@pytest.mark.parametrize('metric', [ev.auc, ev.eer, ev.average_precision, ev.balanced_accuracy, ev.roc_curve])
def test_two_classes_are_needed(metric):
    with pytest.raises(ValueError, match=r'needs both classes, found 0 positive \(real\) and 2 negative'):
        metric([0.1, 0.2], [0, 0])


@pytest.mark.parametrize(
    'scores, labels, message',
    [
        ([], [], 'n > 0'),
        ([0.1, 0.2], [0], r'shapes \(2,\) and \(1,\)'),
        ([[0.1, 0.2]], [[0, 1]], r'\(1, 2\)'),
        ([0.1, np.nan, np.inf], [0, 1, 1], r'found nan at index 1 \(2 such'),
        ([0.1, 0.2], [0, 2], r'0 or 1, found \[0, 2\]'),
        ([0.1, 0.2], [0.0, 0.5], 'labels must be 0 or 1'),
    ],
)
def test_wrong_input_is_named(scores, labels, message):
    for function in (ev.auc, ev.accuracy, ev.fpr_on_reals, ev.forgery_metrics, ev.apcer, ev.select_threshold):
        with pytest.raises(ValueError, match=message):
            function(scores, labels)


def test_metrics_without_reals_or_ids():
    with pytest.raises(ValueError, match='FPR on reals needs reals'):
        ev.fpr_on_reals([0.1], [0])
    with pytest.raises(ValueError, match='FNR on fakes needs fakes'):
        ev.fnr_on_fakes([0.1], [1])
    with pytest.raises(ValueError, match='found 1 ids and 2 frames'):
        ev.video_scores([0.1, 0.2], [0, 0], ['a'])


def weighted_case(seed, weightings=6):
    """Scores with ties, labels, and weights (R, n): whole numbers in the first half, with zeros among them."""
    scores, labels = oracles.random_case(seed, size=90, digits=1)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, (weightings, 90)).astype(float)
    weights[weightings // 2 :] *= rng.random((weightings - weightings // 2, 90))
    return scores, labels, weights


@pytest.mark.parametrize('seed', range(5))
def test_weights_agree_with_scikit_learn(seed):
    scores, labels, weights = weighted_case(seed)
    right = scores >= 0.5
    for metric, theirs, predicted in [
        (ev.auc, sklearn_metrics.roc_auc_score, scores),
        (ev.average_precision, sklearn_metrics.average_precision_score, scores),
        (ev.accuracy, sklearn_metrics.accuracy_score, right),
        (ev.balanced_accuracy, sklearn_metrics.balanced_accuracy_score, right),
    ]:
        expected = [theirs(labels, predicted, sample_weight=row) for row in weights]
        np.testing.assert_allclose(metric(scores, labels, weights=weights), expected, rtol=0, atol=1e-12)
    for row in (None, weights[0]):  # of fractions scikit-learn's rates are rounded otherwise
        theirs = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False, sample_weight=row)
        for ours, expected in zip(ev.roc_curve(scores, labels, row), theirs):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    'metric',
    [
        ev.eer,
        ev.tpr_at_fpr,
        ev.fpr_on_reals,
        ev.fnr_on_fakes,
        ev.apcer,
        ev.acer,
        ev.roc_curve,
        ev.hter_at_target_eer,
    ],
)
def test_weights_are_repetitions(metric):
    scores, labels, weights = weighted_case(3)
    for row in weights[:3].astype(int):
        assert np.all(weights[:3].min(axis=1) == 0)
        expected = metric(np.repeat(scores, row), np.repeat(labels, row))
        found = metric(scores, labels, weights=row)
        np.testing.assert_array_equal(found, expected)
        assert type(found) is type(expected)


@pytest.mark.parametrize('metric', [ev.auc, ev.eer, ev.tpr_at_fpr, ev.acer, ev.hter_at_target_eer])
def test_many_weightings_are_each_alone(metric):
    scores, labels, weights = weighted_case(4)
    found = np.asarray(metric(scores, labels, weights=weights))
    alone = [metric(scores, labels, weights=row) for row in weights]
    np.testing.assert_allclose(found.T, alone, rtol=0, atol=1e-15)


def test_weighted_cross_entropy():
    p, weights = np.array([0.5, 0.25, 0.9]), np.array([[1, 2, 0], [0, 0, 1]])
    expected = [ev.cross_entropy([0.5, 0.25, 0.25]), ev.cross_entropy([0.9])]
    assert ev.cross_entropy(p, weights) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    'weights, message',
    [
        ([1, 1], r'n = 3 samples, found \(2,\)'),
        (np.ones((0, 3)), 'R > 0'),
        (np.ones((1, 1, 3)), r'found \(1, 1, 3\)'),
        ([1, -1, 1], 'not negative'),
        ([1, np.nan, 1], 'finite'),
        ([1, np.inf, 1], 'finite'),
        ([[1, 1, 1], [0, 0, 0]], 'some of each weighting positive'),
    ],
)
def test_wrong_weights_are_named(weights, message):
    for metric in (ev.auc, ev.average_precision, ev.accuracy, ev.bpcer):
        with pytest.raises(ValueError, match=message):
            metric([0.1, 0.2, 0.3], [0, 1, 1], weights=weights)


def test_a_class_that_a_weighting_leaves_out():
    weights = np.array([[1, 1, 1], [0, 2, 1], [1, 0, 0]])
    for metric in (ev.auc, ev.average_precision, ev.balanced_accuracy, ev.hter_at_target_eer):
        with pytest.raises(ValueError, match=r'found 3 positive \(real\) and 0 negative'):
            metric([0.1, 0.2, 0.3], [0, 1, 1], weights=weights)
    with pytest.raises(ValueError, match='APCER needs spoofs'):
        ev.apcer([0.1, 0.2, 0.3], [0, 1, 1], weights=weights)
    with pytest.raises(ValueError, match='BPCER needs reals'):
        ev.bpcer([0.1, 0.2, 0.3], [0, 1, 1], weights=weights)
    assert ev.accuracy([0.1, 0.2, 0.7], [0, 1, 1], weights=weights) == pytest.approx([2 / 3, 1 / 3, 1])
