"""MMEngine metrics: names, values, class order, tables, padding, bad input."""

import csv
import logging

import metric_oracles as oracles
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample

from fsfm_mm import evaluation as ev
from fsfm_mm.evaluation.summaries import warn_once

META = dict(classes=('fake', 'real'), positive_class='real')


def predictions(scores, labels, videos=None, domain='set', swap=False, **more):
    """Data samples as a classifier returns them; ``swap`` puts the real class first."""
    samples = []
    for i, (score, label) in enumerate(zip(scores, labels)):
        pair = [score, 1 - score] if swap else [1 - score, score]
        sample = DataSample().set_pred_score(torch.tensor(pair)).set_gt_label(int(label != swap))
        meta = dict(img_path=f'{domain}/{i}.png', domain=domain, sample_idx=i, **more)
        if videos is not None:
            meta['video_id'] = videos[i]
        sample.set_metainfo(meta)
        samples.append(sample)
    return samples


def case(seed=0, size=60, **options):
    scores, labels = oracles.random_case(seed, size=size)
    scores = scores.astype(np.float32).astype(float)  # as a network gives them
    count = {0: 0, 1: 0}
    videos = []
    for label in labels:
        videos.append(f'{"real" if label else "fake"}/{count[label] // 4:03d}')
        count[label] += 1
    return scores, labels, videos, predictions(scores, labels, videos, **options)


def evaluate(metric, samples, meta=META, size=None):
    evaluator = Evaluator([METRICS.build(metric) if isinstance(metric, dict) else metric])
    evaluator.dataset_meta = meta
    for start in range(0, len(samples), 7):
        evaluator.process(samples[start : start + 7])
    return evaluator.evaluate(len(samples) if size is None else size)


def test_forgery_metric_is_the_functions():
    scores, labels, videos, samples = case()
    found = evaluate(dict(type='ForgeryMetric'), samples)
    by_video = ev.video_scores(scores, labels, videos)
    expected = {f'frame/{k}': v for k, v in ev.forgery_metrics(scores, labels).items()}
    expected |= {f'video/{k}': v for k, v in ev.forgery_metrics(by_video.scores, by_video.labels).items()}
    expected['loss'] = np.mean([-np.log(s if y else 1 - s) for s, y in zip(scores, labels)])
    assert found == pytest.approx(expected, abs=1e-6)
    assert {'frame/AUC', 'video/AUC', 'video/EER', 'video/AP', 'video/ACC', 'video/BACC'} < set(found)


def test_antispoof_metric_is_the_functions():
    scores, labels, videos, samples = case()
    found = evaluate(dict(type='AntiSpoofMetric', source_threshold=0.3, threshold=0.6), samples)
    by_video = ev.video_scores(scores, labels, videos)
    expected = ev.antispoof_metrics(by_video.scores, by_video.labels, 0.6, 0.3)
    loss = found.pop('loss')
    assert found == pytest.approx(expected, abs=1e-6)
    assert loss == pytest.approx(
        np.mean([-np.log(s if y else 1 - s) for s, y in zip(scores, labels)]), abs=1e-6
    )
    frames = evaluate(dict(type='AntiSpoofMetric', level='frame'), samples)
    assert frames['HTER@target-EER'] == pytest.approx(oracles.grid_hter(scores, labels)[0], abs=1e-9)
    assert 'HTER@source' not in frames


def test_source_threshold_is_of_the_highest_level():
    *_, samples = case()
    both = evaluate(dict(type='ForgeryMetric', source_threshold=0.4), samples)
    assert 'video/ACC@source' in both and 'frame/ACC@source' not in both
    assert 'frame/ACC@source' in evaluate(
        dict(type='ForgeryMetric', level='frame', source_threshold=0.4), samples
    )


def test_class_order_cannot_swap_the_score():
    *_, samples = case()
    *_, swapped = case(swap=True)
    found = evaluate(dict(type='ForgeryMetric'), swapped, dict(classes=('real', 'fake')))
    assert found == pytest.approx(evaluate(dict(type='ForgeryMetric'), samples), abs=1e-6)


def test_more_than_two_classes():
    sample = DataSample().set_pred_score(torch.tensor([0.2, 0.5, 0.3])).set_gt_label(2)
    sample.set_metainfo(dict(sample_idx=0))
    metric = METRICS.build(dict(type='ForgeryMetric', level='frame', positive_class='live'))
    found = evaluate(metric, [sample], dict(classes=('print', 'live', 'replay')))
    assert metric.table.scores.tolist() == [0.5] and metric.table.labels.tolist() == [0]
    assert found['loss'] == pytest.approx(-np.log(0.3), abs=1e-6)


def test_prefix_and_no_warning_about_its_absence(caplog):
    *_, samples = case()
    with caplog.at_level(logging.WARNING):
        found = evaluate(dict(type='AntiSpoofMetric', prefix='MSU'), samples)
        evaluate(dict(type='ForgeryMetric'), samples)
    assert all(key.startswith('MSU/') for key in found) and 'MSU/HTER@target-EER' in found
    assert not caplog.records


@pytest.mark.parametrize(
    'options, meta, message',
    [
        ({}, None, r"'real' once among the dataset's classes, found \(\)"),
        ({}, dict(classes=('fake', 'live')), r"found \('fake', 'live'\)"),
        ({}, dict(classes=('real', 'real')), 'once among'),
        ({}, dict(classes=('fake', 'real'), positive_class='fake'), "but the dataset says 'fake'"),
        (dict(positive_class='live'), META, "positive class 'live'"),
    ],
)
def test_contradicting_class_names(options, meta, message):
    *_, samples = case()
    with pytest.raises(ValueError, match=message):
        evaluate(dict(type='ForgeryMetric', **options), samples, meta)


def test_class_name_against_label():
    samples = predictions([0.3], [0], ['a'], class_name='real')
    with pytest.raises(ValueError, match=r"sample 0 \('set/0.png'\): class 'real' has label 0.*'fake'"):
        evaluate(dict(type='ForgeryMetric'), samples)


@pytest.mark.parametrize(
    'scores, message',
    [
        ([0.2, 0.3, 0.5], r'found \(3,\)'),
        ([float('nan'), 0.5], 'expected probabilities .*nan'),
        ([-3.0, 4.0], 'after softmax'),
        ([0.9, 0.9], 'expected probabilities'),
    ],
)
def test_scores_that_are_no_probabilities(scores, message):
    sample = DataSample().set_pred_score(torch.tensor(scores)).set_gt_label(0)
    sample.set_metainfo(dict(sample_idx=3, img_path='x/y.png'))
    with pytest.raises(ValueError, match=r'x/y\.png.*' + message):
        evaluate(dict(type='ForgeryMetric', level='frame'), [sample])


@pytest.mark.parametrize('key', ['pred_score', 'gt_label', 'sample_idx'])
def test_missing_fields(key):
    sample = predictions([0.3], [0])[0].to_dict()
    del sample[key]
    with pytest.raises(ValueError, match=f'no {key}'):
        evaluate(dict(type='ForgeryMetric'), [sample])


def test_video_level_needs_ids_and_frame_level_does_not():
    scores, labels, *_ = case()
    samples = predictions(scores, labels)
    with pytest.raises(ValueError, match=r"has no video_id.*PackInputs' meta_keys"):
        evaluate(dict(type='ForgeryMetric'), samples)
    found = evaluate(dict(type='ForgeryMetric', level='frame'), samples)
    assert found['frame/AUC'] == pytest.approx(ev.auc(scores, labels), abs=1e-6)


def test_one_id_in_two_domains_is_two_videos():
    samples = predictions([0.2, 0.4], [0, 0], ['a', 'a'], domain='one')
    samples += predictions([0.8, 0.9], [1, 1], ['a', 'a'], domain='two')
    metric = METRICS.build(dict(type='ForgeryMetric'))
    assert evaluate(metric, samples)['video/AUC'] == 1
    assert metric.table.videos().ids.tolist() == ['one:a', 'two:a']
    with pytest.raises(ValueError, match="video 'one:a' has 1 real and 1 fake"):
        evaluate(metric, predictions([0.2, 0.4], [0, 1], ['a', 'a'], domain='one'))


def test_repeated_samples_count_once_in_any_order():
    *_, samples = case()
    expected = evaluate(dict(type='ForgeryMetric'), samples)
    order = np.random.default_rng(0).permutation(60)
    shuffled = [samples[i] for i in order] + samples[3:9]
    metric = METRICS.build(dict(type='ForgeryMetric'))
    assert evaluate(metric, shuffled, size=60) == expected
    assert [row.sample_idx for row in metric.table.samples] == list(range(60))


def test_parts_of_a_concatenated_set_share_indices():
    first = predictions([0.2, 0.9], [0, 1], ['a', 'b'], domain='one')
    second = predictions([0.7, 0.6], [0, 1], ['a', 'b'], domain='two')
    assert evaluate(dict(type='ForgeryMetric'), first + second)['frame/AUC'] == 0.75


def test_missing_samples_give_no_result():
    *_, samples = case()
    with pytest.raises(ValueError, match=r'expected scores of all 61 samples.*found 60 distinct'):
        evaluate(dict(type='ForgeryMetric'), samples, size=61)
    with pytest.raises(ValueError, match=r'expected scores of all 60.*found 59 distinct ones among 60'):
        evaluate(dict(type='ForgeryMetric'), samples[:59] + samples[:1])
    with pytest.raises(ValueError, match='no samples'):
        evaluate(dict(type='ForgeryMetric'), [], size=0)


def test_a_metric_is_used_again_after_each_epoch():
    *_, first = case(0)
    *_, second = case(1)
    metric = METRICS.build(dict(type='ForgeryMetric'))
    for samples in (first, second, first):
        assert evaluate(metric, samples) == evaluate(dict(type='ForgeryMetric'), samples)


def test_single_class_set_has_no_nan():
    warn_once.cache_clear()
    samples = predictions([0.2, 0.9], [0, 0], ['a', 'b'])
    found = evaluate(dict(type='ForgeryMetric'), samples)
    of_fakes = {f'{level}/{name}' for level in ('frame', 'video') for name in ('ACC', 'FNR-on-fakes')}
    assert set(found) == {*of_fakes, 'loss'} and found['video/ACC'] == found['video/FNR-on-fakes'] == 0.5
    assert set(evaluate(dict(type='AntiSpoofMetric'), samples)) == {'APCER', 'loss'}


@pytest.mark.parametrize('level', ['clip', [], ['frame', 'x']])
def test_unknown_level(level):
    with pytest.raises(ValueError, match='level must be one'):
        METRICS.build(dict(type='ForgeryMetric', level=level))
    with pytest.raises(ValueError, match='level must be one'):
        METRICS.build(dict(type='AntiSpoofMetric', level=str(level)))


def test_tables(tmp_path):
    scores, labels, videos, samples = case()
    metric = METRICS.build(dict(type='ForgeryMetric', out_file=str(tmp_path / 'new' / 'scores.csv')))
    evaluate(metric, samples)
    again = ev.ScoreTable.read(tmp_path / 'new' / 'scores.csv')
    assert again == metric.table
    np.testing.assert_array_equal(again.scores, scores)
    assert again.samples[5].img_path == 'set/5.png' and again.samples[5].video_id == videos[5]
    with open(tmp_path / 'new' / 'scores_videos.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    by_video = ev.video_scores(scores, labels, [f'set:{v}' for v in videos])
    assert [row['video'] for row in rows] == by_video.ids.tolist()
    assert [float(row['score']) for row in rows] == by_video.scores.tolist()
    assert [int(row['label']) for row in rows] == by_video.labels.tolist()
    assert [int(row['num_frames']) for row in rows] == by_video.num_frames.tolist()
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['scores.csv', 'scores_videos.csv']


def test_frame_level_writes_no_table_of_videos(tmp_path):
    scores, labels, *_ = case()
    metric = dict(type='ForgeryMetric', level='frame', out_file=tmp_path / 'a.csv')
    evaluate(metric, predictions(scores, labels))
    assert [path.name for path in tmp_path.iterdir()] == ['a.csv']


def test_broken_tables_are_named(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('a,b\n1,2\n')
    with pytest.raises(ValueError, match=r'a\.csv: expected the columns'):
        ev.ScoreTable.read(path)
    good = 'sample_idx,img_path,domain,video_id,class_name,label,score,true_class_probability\n'
    path.write_text(good + '0,a,b,c,real,1,0.5,0.5\n1,a,b,c,real,1,0.5\n')
    with pytest.raises(ValueError, match=r'a\.csv, line 3'):
        ev.ScoreTable.read(path)


def test_one_sample_with_two_labels():
    rows = [ev.SampleScore(0, 'x', '', 'v', 'real', label, 0.5, 0.5) for label in (0, 1)]
    with pytest.raises(ValueError, match='two labels'):
        ev.ScoreTable.collect(rows)


def test_scores_of_any_precision():
    samples = [
        DataSample().set_pred_score(torch.tensor([0.25, 0.75], dtype=kind)).set_gt_label(1)
        for kind in (torch.float64, torch.bfloat16, torch.float16)
    ]
    for i, sample in enumerate(samples):
        sample.set_metainfo(dict(sample_idx=i))
    metric = METRICS.build(dict(type='ForgeryMetric', level='frame'))
    evaluate(metric, samples)
    assert metric.table.scores.tolist() == [0.75] * 3
