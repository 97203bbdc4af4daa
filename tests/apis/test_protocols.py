"""Which checkpoint and threshold each protocol takes, on scores written by hand."""

import numpy as np
import pytest

from fsfm_mm.apis.protocols import Evaluation, refuse_shared_pictures
from fsfm_mm.apis.testing import intervals, source_threshold
from fsfm_mm.evaluation import (
    SampleScore,
    ScoreTable,
    auc,
    bootstrap_interval,
    fpr_on_reals,
    select_threshold,
)
from fsfm_mm.registry import METRICS

FORGERY = dict(type='ForgeryMetric')
SPOOF = dict(type='AntiSpoofMetric')


def table_of(reals, fakes, folder):
    """Two frames a video around each score."""
    rows = []
    for label, scores in ((1, reals), (0, fakes)):
        for video, score in enumerate(scores):
            for shift in (-0.02, 0.02):
                p = score + shift
                name = ('fake', 'real')[label]
                right = p if label else 1 - p
                row = (len(rows), f'{folder}/{len(rows)}.png', 'd', f'{name}/{video}', name, label, p, right)
                rows.append(SampleScore(*row))
    return ScoreTable(tuple(rows))


#: Checkpoint 'a' is better on source, 'b' on the target.
TABLES = {
    ('a', 'source'): table_of([0.9, 0.8, 0.7], [0.1, 0.2, 0.3], 'source'),
    ('b', 'source'): table_of([0.9, 0.4, 0.7], [0.1, 0.6, 0.3], 'source'),
    ('a', 'target'): table_of([0.9, 0.3, 0.6], [0.1, 0.45, 0.7], 'target'),
    ('b', 'target'): table_of([0.9, 0.8, 0.6], [0.1, 0.2, 0.3], 'target'),
}


def evaluation(metric=FORGERY, checkpoints=('a', 'b'), source='source', **options):
    calls = []

    def score(checkpoint, name):
        calls.append((checkpoint, name))
        built = METRICS.build(metric)
        table = TABLES[checkpoint, name]
        loss = -np.log(table.true_class_probabilities).mean()
        return {**built.summarise(table), 'loss': float(loss)}, table

    made = Evaluation(list(checkpoints), ['target'], source, score, metric, num_resamples=0, **options)
    return made, calls


def test_honest_takes_checkpoint_and_threshold_from_source():
    made, calls = evaluation()
    result = made.run('honest')
    assert result.checkpoints == {'target': 'a'}
    videos = TABLES['a', 'source'].videos()
    threshold = select_threshold(videos.scores, videos.labels, 'eer')
    assert result.threshold == threshold == source_threshold(TABLES['a', 'source'], 'video')[0]
    target = TABLES['a', 'target'].videos()
    expected = fpr_on_reals(target.scores, target.labels, threshold)
    assert expected == pytest.approx(1 / 3)
    assert result.report.value('target', 'video/FPR-on-reals@source') == expected
    assert ('b', 'target') not in calls, 'the target is never scored with a checkpoint that was not chosen'


def test_a_threshold_for_a_rate_says_what_it_does():
    generator = np.random.default_rng(0)
    reals, fakes = (
        generator.normal(0.7, 0.1, 300).clip(0.03, 0.97),
        generator.normal(0.3, 0.1, 100).clip(0.03, 0.97),
    )
    table = table_of(reals, fakes, 'source')
    threshold, meaning = source_threshold(table, 'video', 0.02)
    assert (reals < threshold).sum() == 6
    missed = int((fakes >= threshold).sum())
    assert meaning.startswith(
        '0.02 of the reals flagged: flags 6 of 300 (2.0%, 95% interval 0.7-4.3%) reals, misses '
    )
    assert f'misses {missed} of 100 (' in meaning
    with pytest.raises(ValueError, match='needs 1000 real videos of held-out source data or more, found 300'):
        source_threshold(table, 'video', 0.001)


def test_the_honest_threshold_is_taken_in_the_view_of_the_tests(monkeypatch):
    """The published choice is made in the view of the validation, which may be another one."""
    monkeypatch.setitem(TABLES, ('a', 'source, as published'), TABLES['b', 'source'])
    monkeypatch.setitem(TABLES, ('b', 'source, as published'), TABLES['a', 'source'])
    made, _ = evaluation(published_source='source, as published')
    assert made.run('honest').checkpoints == {'target': 'a'}
    assert made.run('published').checkpoints == {'target': 'b'}


def test_published_chooses_on_source_where_the_paper_did():
    result = evaluation()[0].run('published')
    assert result.checkpoints == {'target': 'a'}
    assert not any(result.report.is_marked(column) for column in result.report.columns)


def test_published_choice_on_the_target_is_marked():
    made, _ = evaluation(SPOOF, target_criterion='HTER@target-EER')
    result = made.run('published')
    assert result.checkpoints == {'target': 'b'}
    assert all(result.report.is_marked(column) for column in result.report.columns)
    assert 'chosen by HTER@target-EER on target, target data' in result.report.to_text()


def test_a_threshold_of_the_test_sets_own_pictures_is_not_honest(tmp_path):
    """Under another name of the same folder, too; pictures without a file are of generated sets."""
    held_out, table = TABLES['a', 'source'], TABLES['a', 'target']
    (tmp_path / 'link').symlink_to(tmp_path)
    there = ScoreTable(tuple(row._replace(img_path=f'{tmp_path}/{row.img_path}') for row in held_out.samples))
    here = ScoreTable(
        tuple(row._replace(img_path=f'{tmp_path}/link/{row.img_path}') for row in held_out.samples[:3])
    )
    with pytest.raises(
        ValueError, match="3 pictures of the test set 'target' are also in the held-out source"
    ):
        refuse_shared_pictures('held-out source', there, {'target': here})
    refuse_shared_pictures('held-out source', there, {'target': table})
    drawn = ScoreTable(tuple(row._replace(img_path='') for row in table.samples))
    refuse_shared_pictures('held-out source', drawn, {'target': drawn})


def test_published_choice_among_equals(monkeypatch):
    """The published anti-spoofing runs kept the last checkpoint of equal HTER."""
    monkeypatch.setitem(TABLES, ('c', 'target'), TABLES['b', 'target'])
    options = dict(checkpoints=['a', 'b', 'c'], target_criterion='HTER@target-EER')
    assert evaluation(SPOOF, **options)[0].run('published').checkpoints == {'target': 'b'}
    last = evaluation(SPOOF, **options, target_ties='last')[0]
    assert last.run('published').checkpoints == {'target': 'c'}


def test_published_choice_on_another_part_of_the_target(monkeypatch):
    monkeypatch.setitem(TABLES, ('a', 'target val'), TABLES['b', 'target'])
    monkeypatch.setitem(TABLES, ('b', 'target val'), TABLES['a', 'target'])
    made, _ = evaluation(target_criterion='loss', chosen_on={'target': 'target val'})
    assert made.run('published').checkpoints == {'target': 'a'}
    made, _ = evaluation(target_criterion='loss')
    assert made.run('published').checkpoints == {'target': 'b'}


def test_honest_antispoofing_has_no_target_column():
    result = evaluation(SPOOF)[0].run('honest')
    assert 'HTER@source' in result.report.columns
    assert not any('@target' in column for column in result.report.columns)


def test_scores_are_computed_once():
    made, calls = evaluation(SPOOF, target_criterion='loss')
    made.run('honest')
    made.run('published')
    assert len(calls) == len(set(calls)) == 4


def test_without_a_source_set():
    made, _ = evaluation(checkpoints=['b'], source=None)
    assert made.run('published').checkpoints == {'target': 'b'}
    with pytest.raises(ValueError, match='honest protocol needs a held-out source set'):
        made.run('honest')
    with pytest.raises(ValueError, match='several checkpoints need a source set'):
        evaluation(source=None)[0].run('published')
    with pytest.raises(ValueError, match="'published', 'honest'"):
        made.run('lenient')


def test_intervals_are_over_videos():
    table = TABLES['a', 'target']
    metrics = METRICS.build(FORGERY).summarise(table)
    found = intervals(metrics, table, ('frame', 'video'), 200)
    assert set(found) == {'frame/AUC', 'frame/EER', 'frame/AP', 'video/AUC', 'video/EER', 'video/AP'}
    frames = bootstrap_interval(auc, table.scores, table.labels, table.video_keys, num_resamples=200)
    assert found['frame/AUC'] == (frames.low, frames.high)
    videos = table.videos()
    whole = bootstrap_interval(auc, videos.scores, videos.labels, num_resamples=200)
    assert found['video/AUC'] == (whole.low, whole.high)
    assert intervals(metrics, table, ('frame', 'video'), 0) == {}
