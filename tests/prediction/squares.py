"""Pictures whose faces are white squares, who finds them, and a classifier with random weights."""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import ModelCard, save_checkpoint_file
from fsfm_mm.checkpoints.model_settings import plain_settings
from fsfm_mm.preparation.detectors.base import Face, FaceDetector

sys.path.append(str(Path(__file__).parents[1] / 'preparation'))

SIDE = 48


class WhiteSquares(FaceDetector):
    """A face wherever there is a square with a white rim."""

    presets = {'squares': {}}

    def detect(self, pictures):
        return [[Face(box, 0.75) for box in self._boxes(picture)] for picture in pictures]

    def _boxes(self, picture):
        white = (picture.min(axis=2) > 200).astype(np.uint8)
        outlines, _ = cv2.findContours(white, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(outline) for outline in outlines]
        return [np.array([x, y, x + w, y + h], float) for x, y, w, h in boxes if min(w, h) > 8]


def scene(*places, size=160, seed=0, side=SIDE):
    """A dark picture BGR with a face, the same for the same number, at each (left, top, number)."""
    image = np.random.default_rng(seed).integers(0, 40, (size, size, 3)).astype(np.uint8)
    for left, top, number in places:
        inner = cv2.resize(
            np.random.default_rng(number).integers(0, 190, (6, 6, 3)).astype(np.uint8), (side, side)
        )
        image[top : top + side, left : left + side] = 255
        image[top + 4 : top + side - 4, left + 4 : left + side - 4] = inner[4:-4, 4:-4]
    return image


def save_model(path, swapped=False, **facts):
    """A small ViT classifier with random weights, its output layer turned round where classes are swapped."""
    settings = dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='imagenet', num_classes=2),
        backbone=dict(
            type='FusedAttentionViT',
            arch=dict(embed_dim=48, depth=2, num_heads=6),
            img_size=32,
            patch_size=8,
            out_type='avg_featmap',
        ),
        neck=None,
        head=dict(type='LinearClsHead', num_classes=2, in_channels=48),
    )
    torch.manual_seed(1)
    model = MODELS.build(settings).eval()
    for value in model.parameters():
        value.data.normal_(std=0.3)
    classes = ('fake', 'real')
    if swapped:
        classes = classes[::-1]
        for value in (model.head.fc.weight, model.head.fc.bias):
            value.data = value.data.flip(0)
    known = dict(
        classes=classes,
        positive_class='real',
        model=plain_settings(settings),
        detector='squares',
        crop_margin=1.25,
        task='deepfake',
    )
    card = ModelCard(**{**known, **facts})
    save_checkpoint_file({'state_dict': model.state_dict(), 'card': card.to_dict()}, path)
    return model
