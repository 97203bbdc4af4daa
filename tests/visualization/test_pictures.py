"""Sheets of reconstructions, pixel by pixel, and the loss curve of a work directory."""

import json

import cv2
import matplotlib.figure
import numpy as np
import pytest
import torch

from fsfm_mm.visualization import (
    draw_loss_curve,
    read_scalars,
    read_validations,
    reconstruction_sheet,
    to_uint8,
)


def test_to_uint8_rounds_and_clips():
    values = [-0.5, 0.0, 0.49 / 255, 0.51 / 255, 127.4 / 255, 127.6 / 255, 254.6 / 255, 1.0, 7.0]
    images = torch.tensor(values, requires_grad=True).view(1, 1, 3, 3).expand(1, 3, 3, 3)
    found = to_uint8(images)
    assert found.dtype == np.uint8 and found.shape == (1, 3, 3, 3)
    for channel in range(3):
        assert found[0, :, :, channel].flatten().tolist() == [0, 0, 0, 1, 127, 128, 255, 255, 255]


def test_to_uint8_moves_channels_last():
    images = torch.arange(2 * 3 * 2 * 4).view(2, 3, 2, 4)
    found = to_uint8(images / 255)
    for n, c, y, x in np.ndindex(2, 3, 2, 4):
        assert found[n, y, x, c] == images[n, c, y, x]
    assert np.array_equal(to_uint8((images / 255).double()), found)


@pytest.mark.parametrize('height, width, gap', [(24, 20, 4), (160, 24, 0), (16, 16, 7)])
def test_every_pixel_of_a_sheet(height, width, gap):
    pictures = {name: torch.rand(3, 3, height, width) for name in ('original', 'masked')}
    sheet = reconstruction_sheet(pictures, gap)
    left = sheet.shape[1] - (3 * (width + gap) - gap)
    assert sheet.dtype == np.uint8
    assert 0 < left <= 2 * max(height, width) and sheet.shape == (2 * (height + gap) - gap, sheet.shape[1], 3)
    rest = sheet[:, left:].copy()
    for row, images in enumerate(pictures.values()):
        for column in range(3):
            y, x = row * (height + gap), column * (width + gap)
            expected = (images[column].permute(1, 2, 0).numpy() * np.float32(255)).round()
            np.testing.assert_array_equal(rest[y : y + height, x : x + width], expected)
            rest[y : y + height, x : x + width] = 255
    assert (rest == 255).all()
    names = [sheet[row * (height + gap) :][:height, :left] for row in range(2)]
    assert all(pixels.min() < 100 and pixels.max() == 255 for pixels in names)
    assert not np.array_equal(*names)


def write_run(work_dir, name, entries):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(json.dumps(entry) + '\n' for entry in entries))


def entry(step, loss, **more):
    return dict(step=step, loss=loss, lr=1e-3, **more)


def test_later_runs_override_and_steps_are_sorted(tmp_path):
    write_run(tmp_path, '20260102_000000', [entry(30, 0.3), entry(20, 0.25)])
    write_run(tmp_path, '20260101_000000', [entry(10, 1.0), entry(20, 0.9), dict(step=20, accuracy=0.5)])
    (tmp_path / 'vis_data').mkdir()
    found = read_scalars(tmp_path)
    assert [(row['step'], row['loss']) for row in found] == [(10, 1.0), (20, 0.25), (30, 0.3)]
    assert read_scalars(str(tmp_path)) == found


def test_no_run_no_scalars(tmp_path):
    assert read_scalars(tmp_path) == []


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


def test_loss_curve_has_a_panel_for_every_loss_and_a_second_axis_of_epochs(tmp_path, figures):
    scalars = [entry(step, 1 / step, loss_rec=0.8 / step, loss_sim=-0.1) for step in range(1, 40)]
    path = tmp_path / 'curve.png'
    draw_loss_curve(scalars, path, iterations_per_epoch=10)
    assert cv2.imread(str(path)).shape == (984, 960, 3)
    panels = figures[0].axes
    assert [axes.get_title(loc='left').partition(':')[0] for axes in panels] == [
        'loss',
        'loss_rec',
        'loss_sim',
        'learning rate',
    ]
    for axes, name in zip(panels, ('loss', 'loss_rec', 'loss_sim', 'lr')):
        np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), range(1, 40))
        np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [row[name] for row in scalars])
    assert [axes.get_yscale() for axes in panels] == ['log', 'log', 'linear', 'linear']
    assert panels[-1].get_xlabel() == 'iteration'
    (epochs,) = panels[-1].child_axes
    assert epochs.get_xlabel() == 'epoch'
    assert epochs.get_xlim() == pytest.approx([x / 10 for x in panels[-1].get_xlim()])
    assert 'up to iteration 39' in figures[0].get_supxlabel()
    assert [file.name for file in tmp_path.iterdir()] == ['curve.png']


def test_validations_are_drawn_at_their_iterations(tmp_path, figures):
    scalars = [entry(step, 1.0, iter=step) for step in range(1, 9)]
    validations = [
        {'step': step, 'val/loss': 0.5, 'video/AUC': 0.9, 'frame/AUC': 0.8, 'frame/ACC': 0.7, 'time': 3.0}
        for step in (4, 11)  # the last one after the last line of the log
    ]
    write_run(tmp_path, '20260101_000000', [*scalars, *validations])
    foreign = {'step': 6, 'loss': 0.1, 'data_time': 0.2}  # of a loop that is not ours
    write_run(tmp_path, '20260101_000001', [foreign])
    assert read_validations(tmp_path) == [validations[0], foreign]
    (tmp_path / '20260101_000001/vis_data/scalars.json').unlink()
    assert read_validations(tmp_path) == validations and len(read_scalars(tmp_path)) == 8
    draw_loss_curve(scalars, tmp_path / 'curve.png', validations=read_validations(tmp_path))
    losses, shares, rate = figures[0].axes
    assert [line.get_label() for line in losses.get_lines()] == ['training', 'validation']
    assert losses.get_lines()[1].get_xdata().tolist() == [4, 11]
    assert losses.get_xlim()[1] > 11
    assert [text.get_text() for text in shares.get_legend().get_texts()] == ['video/AUC', 'frame/ACC']
    assert rate.get_legend() is None
    for axes in (losses, shares):  # a legend hides no point
        box = axes.get_legend().get_window_extent()
        assert box.y0 >= axes.get_window_extent().y1 - 1


def test_many_values_get_a_running_mean_that_does_not_lean(tmp_path, figures):
    scalars = [entry(step, 3.0 * step) for step in range(1, 101)]
    draw_loss_curve(scalars, tmp_path / 'curve.png')
    raw, mean = figures[0].axes[0].get_lines()
    np.testing.assert_allclose(mean.get_ydata(), raw.get_ydata())
    assert 'running mean' in figures[0].get_supxlabel()


def test_a_run_that_was_given_up_is_left_out(tmp_path):
    write_run(tmp_path, '20260101_000000', [entry(step, 9.0) for step in (10, 20, 30, 40)])
    write_run(
        tmp_path, '20260102_000000', [entry(step, 1.0) for step in (25, 35)]
    )  # went on from iteration 20
    assert [(row['step'], row['loss']) for row in read_scalars(tmp_path)] == [
        (10, 9.0),
        (20, 9.0),
        (25, 1.0),
        (35, 1.0),
    ]


def test_loss_curve_bridges_missing_values(tmp_path):
    scalars = [entry(1, 1.0, loss_rec=0.5), dict(step=2, loss=0.9), entry(3, 0.8, loss_rec=0.4)]
    draw_loss_curve(scalars, str(tmp_path / 'curve.png'))
    assert cv2.imread(str(tmp_path / 'curve.png')) is not None


def test_a_line_cut_off_by_a_kill_is_passed_over(tmp_path):
    folder = tmp_path / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert [entry['step'] for entry in read_scalars(tmp_path)] == [1]


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match='no logged losses'):
        draw_loss_curve([], tmp_path / 'curve.png')
