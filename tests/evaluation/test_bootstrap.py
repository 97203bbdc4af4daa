"""Bootstrap intervals: which resamples are drawn, and that many at once equal one by one."""

import functools

import metric_oracles as oracles
import numpy as np
import pytest

from fsfm_mm import evaluation as ev
from fsfm_mm.evaluation.bootstrap import _CHUNK, draw_counts, resampled_values

#: Every metric of scores and labels that is one number.
WEIGHTED = [
    found
    for found in map(functools.partial(getattr, ev), ev.__all__)
    if getattr(found, '__annotations__', {}).get('return') == 'Values' and 'scores' in found.__annotations__
]
CASES = {name: oracles.CASES[name] for name in ('plain', 'ties', 'many ties', 'on the threshold', 'perfect')}


def videos_of(labels, frames=3):
    """Ids such that every video has frames of one class."""
    seen = {0: 0, 1: 0}
    ids = []
    for label in labels:
        ids.append(f'{label}/{seen[label] // frames}')
        seen[label] += 1
    return ids


def one_by_one(metric, scores, labels, videos, counts):
    """A resample written out: the frames of every drawn video, as often as it was drawn."""
    ids = sorted(set(videos))
    values = []
    for row in counts:
        index = [i for v, n in zip(ids, row) for _ in range(n) for i, w in enumerate(videos) if w == v]
        if set(labels[index]) == set(labels):
            values.append(metric(scores[index], labels[index]))
    return values


@pytest.mark.parametrize('scores, labels', CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize('metric', WEIGHTED, ids=lambda metric: metric.__name__)
def test_many_at_once_equal_one_by_one(metric, scores, labels):
    if metric is ev.hter:
        metric = functools.partial(ev.hter, threshold=0.4)
    videos = videos_of(labels)
    units = np.unique(videos, return_inverse=True)[1]
    counts = draw_counts(units.max() + 1, 40, seed=1)
    found = resampled_values(metric, scores, labels, units, counts)
    expected = one_by_one(metric, scores, labels, videos, counts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    'metric',
    [
        functools.partial(ev.accuracy, threshold=0.3),
        functools.partial(ev.balanced_accuracy, threshold=0.7),
        functools.partial(ev.tpr_at_fpr, max_fpr=0.2),
        lambda s, y: ev.hter_at_target_eer(s, y).hter,
        lambda s, y, weights=None: ev.hter_at_target_eer(s, y, weights).hter,
        lambda s, y: float(np.median(s)),
    ],
)
def test_options_and_functions_of_others(metric):
    scores, labels = oracles.random_case(3, size=50)
    units = np.arange(50)
    counts = draw_counts(50, 20, seed=2)
    found = resampled_values(metric, scores, labels, units, counts)
    expected = one_by_one(metric, scores, labels, [f'{i:02d}' for i in range(50)], counts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_chunks_change_nothing(monkeypatch):
    scores, labels = oracles.random_case(3, size=50)
    whole = ev.bootstrap_interval(ev.auc, scores, labels, num_resamples=101)
    monkeypatch.setattr('fsfm_mm.evaluation.bootstrap._CHUNK', 350)  # 7 resamples at a time
    assert ev.bootstrap_interval(ev.auc, scores, labels, num_resamples=101) == whole
    assert _CHUNK > 350


def test_interval_is_the_percentiles():
    scores, labels = oracles.random_case(4, size=80)
    found = ev.bootstrap_interval(ev.auc, scores, labels, num_resamples=200, confidence=0.8, seed=5)
    values = resampled_values(ev.auc, scores, labels, np.arange(80), draw_counts(80, 200, 5))
    assert found == (ev.auc(scores, labels), *np.quantile(values, [0.1, 0.9]), 200)
    assert found.low < found.value < found.high


def test_seed_decides():
    scores, labels = oracles.random_case(4, size=80)
    first = ev.bootstrap_interval(ev.eer, scores, labels, seed=1, num_resamples=50)
    assert first == ev.bootstrap_interval(ev.eer, scores, labels, seed=1, num_resamples=50)
    assert first != ev.bootstrap_interval(ev.eer, scores, labels, seed=2, num_resamples=50)


def test_width_of_a_proportion_is_the_normal_one():
    labels = np.ones(400, int)
    scores = np.r_[np.full(100, 0.9), np.full(300, 0.1)]
    found = ev.bootstrap_interval(ev.accuracy, scores, labels, num_resamples=4000)
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert found.value == 0.25
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.006)


def test_frames_of_a_video_are_drawn_together():
    """Copies of every frame say nothing new: the interval stays that of the videos."""
    scores, labels = oracles.random_case(6, size=60)
    names = [f'v{i:03d}' for i in range(60)]
    alone = ev.bootstrap_interval(ev.auc, scores, labels, names, num_resamples=300)
    copied = ev.bootstrap_interval(
        ev.auc, np.repeat(scores, 8), np.repeat(labels, 8), np.repeat(names, 8), num_resamples=300
    )
    assert copied == pytest.approx(alone, abs=1e-12)
    as_if_independent = ev.bootstrap_interval(
        ev.auc, np.repeat(scores, 8), np.repeat(labels, 8), num_resamples=300
    )
    assert as_if_independent.high - as_if_independent.low < 0.6 * (alone.high - alone.low)


def test_draws_are_uniform_and_complete():
    counts = draw_counts(7, 20000, seed=0)
    assert (counts.sum(axis=1) == 7).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)


def test_resamples_without_a_class_do_not_count():
    scores, labels = np.array([0.1, 0.2, 0.3, 0.9]), np.array([0, 0, 0, 1])
    found = ev.bootstrap_interval(ev.auc, scores, labels, num_resamples=500)
    complete = (draw_counts(4, 500, 0)[:, 3] > 0) & (draw_counts(4, 500, 0)[:, :3].sum(axis=1) > 0)
    assert found == (1.0, 1.0, 1.0, complete.sum())
    assert complete.sum() < 500


@pytest.mark.parametrize(
    'scores, labels, options, message',
    [
        ([0.1, 0.2], [0, 0], {}, 'both classes'),
        ([0.1, 0.2], [0, 1], dict(videos=['a']), 'found 1 ids and 2 scores'),
        ([0.1, 0.2], [0, 1], dict(num_resamples=0), 'num_resamples > 0'),
        ([0.1, 0.2], [0, 1], dict(confidence=1.0), 'confidence < 1'),
    ],
)
def test_wrong_input(scores, labels, options, message):
    with pytest.raises(ValueError, match=message):
        ev.bootstrap_interval(ev.auc, scores, labels, **options)


def test_too_few_videos():
    with pytest.raises(ValueError, match='none of 1 resamples of 2 videos has every class'):
        for seed in range(50):
            ev.bootstrap_interval(ev.auc, [0.1, 0.9], [0, 1], num_resamples=1, seed=seed)
