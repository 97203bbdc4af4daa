"""Anti-spoofing metrics and source thresholds against the reference's values and slow plain oracles."""

import json
from pathlib import Path

import metric_oracles as oracles
import numpy as np
import pytest

from fsfm_mm import evaluation as ev
from fsfm_mm.evaluation.thresholds import candidate_thresholds

GOLDEN = json.loads((Path(__file__).parents[1] / 'data' / 'metrics.json').read_text())['cases']
cases = pytest.mark.parametrize('scores, labels', oracles.CASES.values(), ids=oracles.CASES.keys())


@pytest.mark.parametrize('case', GOLDEN)
def test_golden(case):
    videos = ev.video_scores(case['scores'], case['labels'], case['video'])
    found, expected = ev.antispoof_metrics(videos.scores, videos.labels), case['fas_video']
    for name, key in [
        ('AUC', 'auc'),
        ('HTER@target-EER', 'hter'),
        ('HTER@target-EER', 'eer_grid10000'),
        ('threshold@target-EER', 'thr'),
        ('TPR@FPR=1%', 'tpr_at_fpr1'),
        ('APCER', 'apcer_at_0_5'),
        ('BPCER', 'bpcer_at_0_5'),
        ('ACER', 'acer_at_0_5'),
    ]:
        assert found[name] == pytest.approx(expected[key], abs=1e-9), name
    assert ev.accuracy(videos.scores, videos.labels) == pytest.approx(expected['acc_at_0_5'], abs=1e-12)


@cases
def test_published_hter_is_the_grid_search(scores, labels):
    assert ev.hter_at_target_eer(scores, labels) == oracles.grid_hter(scores, labels)


def test_the_last_of_tied_thresholds():
    scores, labels = oracles.CASES['perfect']  # every threshold within (.3, .7] separates
    assert ev.hter_at_target_eer(scores, labels) == (0.0, 0.7)


@cases
@pytest.mark.parametrize('max_fpr', [0.0, 0.01, 0.5, 1.0])
def test_tpr_at_fpr(scores, labels, max_fpr):
    expected = oracles.last_tpr(scores, labels, max_fpr)
    assert ev.tpr_at_fpr(scores, labels, max_fpr) == pytest.approx(expected, abs=1e-12)


def test_tpr_at_one_spoof_of_a_hundred_counts_as_one_percent():
    scores = np.r_[np.linspace(0, 0.5, 99), 0.95, 0.9, 0.96, 0.99, 0.55]
    labels = np.r_[np.zeros(100, int), 1, 1, 1, 1]
    assert ev.tpr_at_fpr(scores, labels) == 1.0
    assert ev.tpr_at_fpr(np.r_[scores, 0.94], np.r_[labels, 0]) == 0.5


@cases
@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.5, 1.0])
def test_errors_at_a_threshold(scores, labels, threshold):
    far, frr = oracles.rates(scores, labels, threshold)
    found = [f(scores, labels, threshold) for f in (ev.apcer, ev.bpcer, ev.acer, ev.hter)]
    assert found == pytest.approx([far, frr, (far + frr) / 2, (far + frr) / 2], abs=1e-12)


def test_honest_hter_is_worse_where_the_threshold_does_not_transfer():
    source, labels = oracles.random_case(0, size=200)
    target = source**3  # same order of samples, other scale
    threshold = ev.select_threshold(source, labels)
    found = ev.antispoof_metrics(target, labels, source_threshold=threshold)
    far, frr = oracles.rates(target, labels, threshold)
    assert found['HTER@source'] == pytest.approx((far + frr) / 2, abs=1e-12)
    assert (found['APCER@source'], found['BPCER@source']) == pytest.approx((far, frr), abs=1e-12)
    assert found['HTER@source'] > found['HTER@target-EER'] + 0.05
    assert 'HTER@source' not in ev.antispoof_metrics(target, labels)


def test_single_class():
    spoofs = ev.antispoof_metrics([0.2, 0.8], [0, 0], source_threshold=0.9, name='only spoofs')
    assert spoofs == {'APCER': 0.5, 'APCER@source': 0.0}
    reals = ev.antispoof_metrics([0.2, 0.8], [1, 1], source_threshold=0.9, name='only reals')
    assert reals == {'BPCER': 0.5, 'BPCER@source': 1.0}


@pytest.mark.parametrize('metric', [ev.hter_at_target_eer, ev.tpr_at_fpr])
def test_two_classes_are_needed(metric):
    with pytest.raises(ValueError, match='needs both classes'):
        metric([0.1, 0.2], [1, 1])


def test_what_each_error_needs():
    with pytest.raises(ValueError, match='APCER needs spoofs'):
        ev.apcer([0.1], [1])
    with pytest.raises(ValueError, match='BPCER needs reals'):
        ev.bpcer([0.1], [0])
    with pytest.raises(ValueError, match=r'within 0..1, found -1..0.5'):
        ev.hter_at_target_eer([-1, 0.5], [0, 1])


# source thresholds


def separations(scores):
    """Every distinct threshold of a plain search: at each score, and above all."""
    return [*sorted(set(scores)), max(scores) + 1]


@cases
def test_eer_threshold(scores, labels):
    far, frr = oracles.rates(scores, labels, ev.select_threshold(scores, labels))
    best = [oracles.rates(scores, labels, t) for t in separations(scores)]
    assert abs(frr - far) == pytest.approx(min(abs(b - a) for a, b in best), abs=1e-12)
    tied = [a + b for a, b in best if abs(abs(b - a) - abs(frr - far)) < 1e-9]
    assert far + frr == pytest.approx(min(tied), abs=1e-12)


def test_eer_threshold_of_two_as_near_has_the_fewer_errors():
    scores, labels = [0.1, 0.2, 0.3, 0.6, 0.5, 0.9], [0, 0, 0, 0, 1, 1]
    # within (.3, .5]: FAR 1/4, FRR 0; within (.5, .6]: FAR 1/4, FRR 1/2; both 1/4 apart
    assert ev.select_threshold(scores, labels) == pytest.approx(0.4)


@cases
@pytest.mark.parametrize('rate', [0.0, 0.01, 0.2, 1.0])
def test_fixed_rate_thresholds(scores, labels, rate):
    best = [oracles.rates(scores, labels, t) for t in separations(scores)]
    far, frr = oracles.rates(scores, labels, ev.select_threshold(scores, labels, 'fpr', rate))
    assert far <= rate and frr == min(b for a, b in best if a <= rate)
    far, frr = oracles.rates(scores, labels, ev.select_threshold(scores, labels, 'fpr_on_reals', rate))
    assert frr <= rate and far == min(a for a, b in best if b <= rate)


def test_rates_are_compared_as_shares():
    """29 of 100 is 29%, although .29 * 100 is 28.999... in floating point."""
    scores, labels = np.arange(101) / 101, np.r_[np.ones(100, int), 0]
    threshold = ev.select_threshold(scores, labels, 'fpr_on_reals', 0.29)
    assert (scores[:100] < threshold).sum() == 29


def test_thresholds_lie_in_the_middle_of_gaps():
    assert ev.select_threshold([0.1, 0.3, 0.7, 0.8], [0, 0, 1, 1]) == pytest.approx(0.5)
    scores = np.array([1 - 2e-7, 1 - 1e-7])  # finer than the published grid
    assert ev.accuracy(scores, [0, 1], ev.select_threshold(scores, [0, 1])) == 1.0
    neighbours = np.array([0.5, np.nextafter(0.5, 1)])
    assert candidate_thresholds(neighbours)[1] == neighbours[1]


def test_fixed_rates_need_one_class_only():
    assert ev.select_threshold([0.1, 0.3], [0, 0], 'fpr', 0.5) == pytest.approx(0.2)
    assert ev.select_threshold([0.1, 0.3], [1, 1], 'fpr_on_reals', 0.5) == pytest.approx(0.2)
    for criterion, labels in [('fpr', [1, 1]), ('fpr_on_reals', [0, 0]), ('eer', [1, 1])]:
        with pytest.raises(ValueError, match='needs'):
            ev.select_threshold([0.1, 0.3], labels, criterion)


@pytest.mark.parametrize('options', [dict(criterion='f1'), dict(rate=1.5), dict(rate=-0.1)])
def test_unknown_criteria(options):
    with pytest.raises(ValueError, match='must be'):
        ev.select_threshold([0.1, 0.3], [0, 1], **options)
