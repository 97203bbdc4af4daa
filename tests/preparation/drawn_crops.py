"""Drawn faces with their landmarks, and pictures of labels that a rule reads back: no weights needed."""

import numpy as np
import torch

from fsfm_mm.drawn.face_drawing import render
from fsfm_mm.drawn.params import sample_params
from fsfm_mm.drawn.shapes import build_shapes


def drawn_crop(index, size=224):
    """A drawn face: picture BGR, exact LaPa map, five landmarks (right eye first) in pixels."""
    params = sample_params(index, 0)
    image, labels = render(params, size)
    return image, labels, landmarks_of(params, size)


def landmarks_of(params, size):
    """The five points of a drawn face, from its outlines ('-' is the picture's left)."""
    shapes = build_shapes(params)
    right, left = (np.mean(shapes[name], 0) for name in ('eye-', 'eye+'))
    across = (left - right) / np.hypot(*(left - right))
    down = np.array([-across[1], across[0]])
    lips = np.concatenate([shapes['lip_top'], shapes['lip_bottom']])
    corners = [lips[np.argmin(lips @ across)], lips[np.argmax(lips @ across)]]
    nose = shapes['nose']
    heights, widths = nose @ down, nose @ across
    tip = (heights.min() * 0.23 + heights.max() * 0.77) * down
    tip = tip + widths[heights > np.median(heights)].mean() * across
    return np.array([right, left, tip, *corners]) * size - 0.5


def colours_of(count):
    """Colours of classes, RGB 0..1, float32 (count, 3), at least half the range apart in one part."""
    number = torch.arange(count)
    return torch.stack([number % 3, number // 3 % 3, number // 9], 1) / 2.0


def painted(classes, count):
    """A picture that shows each class in its colour: uint8 (H, W, 3) BGR."""
    rgb = (colours_of(count) * 255).round().byte().numpy()[classes]
    return np.ascontiguousarray(rgb[:, :, ::-1])


class ColourRule(torch.nn.Module):
    """A network that recognises :func:`painted` classes: logits fall with the distance to each colour."""

    def __init__(self, count):
        super().__init__()
        self.register_buffer('colours', colours_of(count))

    def forward(self, images):
        distance = images[:, None] - self.colours[None, :, :, None, None]
        return -50.0 * (distance**2).sum(2), images


def iou(labels, expected, label):
    """Intersection over union of one label; None where neither map has it."""
    union = ((labels == label) | (expected == label)).sum()
    return None if union == 0 else ((labels == label) & (expected == label)).sum() / union
