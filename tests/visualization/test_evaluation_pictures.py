"""ROC curves and score histograms, read back from the pictures and from what matplotlib was asked to draw."""

import cv2
import matplotlib.figure
import numpy as np
import pytest

from fsfm_mm.evaluation import auc, roc_curve
from fsfm_mm.visualization import draw_roc_curves, draw_score_histogram

RNG = np.random.default_rng(0)
LABELS = np.r_[np.zeros(150, int), np.ones(50, int)]
SCORES = 1 / (1 + np.exp(-RNG.normal(LABELS * 2.0 - 1, 1.0)))


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is saved."""
    saved = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        'savefig',
        lambda self, *args, **kwargs: (saved.append(self), save(self, *args, **kwargs))[1],
    )
    return saved


@pytest.mark.parametrize('log_x', [False, True])
def test_roc_curves(tmp_path, figures, log_x):
    path = tmp_path / 'new' / 'roc.png'
    draw_roc_curves({'CDFv2': (SCORES, LABELS), 'coin': (SCORES[::-1], LABELS)}, path, log_x, 'two sets')
    picture = cv2.imread(str(path))
    assert picture.shape == (768, 768, 3)
    (axes,) = figures[0].axes
    first, second, chance = axes.get_lines()
    curve = roc_curve(SCORES, LABELS)
    np.testing.assert_array_equal(first.get_xydata(), np.c_[curve.fpr, curve.tpr])
    assert first.get_label() == f'CDFv2: AUC {auc(SCORES, LABELS):.4f}'
    assert second.get_label() == f'coin: AUC {auc(SCORES[::-1], LABELS):.4f}'
    np.testing.assert_array_equal(*chance.get_data())
    assert axes.get_xscale() == ('log' if log_x else 'linear')
    if log_x:
        assert axes.get_xlim() == pytest.approx((1 / 300, 1))
    blue = np.abs(picture.astype(int) - [180, 119, 31]).sum(axis=2) < 40  # the first curve's colour, in BGR
    assert blue.sum() > 300
    assert [file.name for file in path.parent.iterdir()] == ['roc.png']


def test_roc_marks_the_operating_point(tmp_path, figures):
    draw_roc_curves({'CDFv2': (SCORES, LABELS), 'b': (SCORES, LABELS)}, tmp_path / 'roc.png', threshold=0.4)
    (axes,) = figures[0].axes
    misses, reals = (np.mean(SCORES[label == LABELS] >= 0.4) for label in (0, 1))
    points = [line for line in axes.get_lines() if line.get_marker() == 'o' and len(line.get_xdata())]
    assert [line.get_xydata().tolist() for line in points] == [[[misses, pytest.approx(reals)]]] * 2
    assert [line.get_color() for line in points] == [line.get_color() for line in axes.get_lines()[:2]]
    texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert texts[0].endswith(f'; misses {misses:.1%}, false alarms {1 - reals:.1%}')
    assert texts[-1] == 'at the threshold 0.4'
    assert figures[0].legends[0].get_window_extent().y1 <= axes.get_window_extent().y0


def test_roc_of_sets_that_have_none(tmp_path):
    with pytest.raises(ValueError, match="test set 'only fakes': a ROC curve needs both classes"):
        draw_roc_curves({'only fakes': (SCORES[:9], LABELS[:9])}, tmp_path / 'a.png')
    with pytest.raises(ValueError, match='no test sets'):
        draw_roc_curves({}, tmp_path / 'a.png')
    assert not list(tmp_path.iterdir())


def test_histogram(tmp_path, figures):
    path = tmp_path / 'hist.png'
    draw_score_histogram(SCORES, LABELS, path, 0.375, ('spoof', 'live'), bins=20)
    assert cv2.imread(str(path)).shape == (540, 840, 3)
    (axes,) = figures[0].axes
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [
        'spoof (150)',
        'live (50)',
        'threshold 0.375: below it taken for spoof',
    ]
    for label, bars in enumerate(axes.containers):
        counts, edges = np.histogram(SCORES[label == LABELS], bins=20, range=(0, 1))
        np.testing.assert_allclose([bar.get_height() for bar in bars], counts / counts.sum(), atol=1e-12)
        np.testing.assert_allclose([bar.get_x() for bar in bars], edges[:-1], atol=1e-12)
    assert axes.get_xlabel() == 'score: P(live)'
    (line,) = axes.get_lines()
    assert line.get_xdata() == [0.375, 0.375]


def test_histogram_of_one_class_without_threshold(tmp_path, figures):
    draw_score_histogram(np.array([0.0, 1.0]), np.array([1, 1]), tmp_path / 'hist.png', None)
    (axes,) = figures[0].axes
    assert len(axes.containers) == 1 and not axes.get_lines()
    assert sum(bar.get_height() for bar in axes.containers[0]) == pytest.approx(1)


@pytest.mark.parametrize('scores', [[-0.1, 0.5], [0.5, 1.1], [np.nan, 0.5]])
def test_scores_that_do_not_fit(tmp_path, scores):
    with pytest.raises(ValueError, match=r'within 0\.\.1|finite'):
        draw_score_histogram(np.array(scores), np.array([0, 1]), tmp_path / 'a.png')
    assert not list(tmp_path.iterdir())


def test_no_global_state(tmp_path):
    import matplotlib.pyplot as plt

    draw_roc_curves({'a': (SCORES, LABELS)}, tmp_path / 'a.png')
    draw_score_histogram(SCORES, LABELS, tmp_path / 'b.png')
    assert plt.get_fignums() == []
