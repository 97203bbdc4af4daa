"""Sheets of reconstructions, pixel by pixel, and the loss curve of a work directory."""

import json

import cv2
import numpy as np
import pytest
import torch

from fsfm_mm.visualization import draw_loss_curve, read_scalars, reconstruction_sheet, to_uint8


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


def test_loss_curve_is_a_readable_picture(tmp_path):
    scalars = [entry(step, 1 / step, loss_rec=0.8 / step) for step in range(1, 40)]
    path = tmp_path / 'curve.png'
    draw_loss_curve(scalars, path)
    picture = cv2.imread(str(path))
    assert picture.shape == (600, 960, 3)
    plain = tmp_path / 'plain.png'
    draw_loss_curve([{k: v for k, v in row.items() if k != 'loss_rec'} for row in scalars], plain)
    without = cv2.imread(str(plain))
    orange = (
        np.abs(picture.astype(int) - [14, 127, 255]).sum(axis=2) < 40
    )  # the second curve's colour, in BGR
    assert orange.sum() > 300
    assert (np.abs(without.astype(int) - [14, 127, 255]).sum(axis=2) < 40).sum() == 0


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
