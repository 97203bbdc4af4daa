"""Builders of labelled folders for the tests of the downstream data sets."""

import cv2
import numpy as np


def write_image(path, value=0, size=8):
    """Write a one-coloured picture whose grey level tells which it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size, size, 3), value, np.uint8))


def touch(root, *names):
    """Make empty files: enough for listings, which open no image."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def frames(root, video, count, start=0):
    """Empty frames ``{video}_frame_{i}.png``."""
    touch(root, *(f'{video}_frame_{i}.png' for i in range(start, start + count)))


def summary(dataset):
    """Path below the root's name, label, class, video and domain of every sample."""
    entries = [dataset.entry(i) for i in range(len(dataset))]
    return [(e['gt_label'], e['class_name'], e['video_id'], e['domain']) for e in entries]


class Labelled:
    """A data set of labels only, for samplers and checks: (domain, class name) of each sample."""

    def __init__(self, groups, classes=('fake', 'real'), positive_class='real', name='v'):
        self.groups = list(groups)
        self.name = name
        self.metainfo = {'classes': classes, 'positive_class': positive_class}

    def __len__(self):
        return len(self.groups)

    def entry(self, idx):
        domain, class_name = self.groups[idx]
        video = f'{class_name}/{self.name}{idx}'
        return {
            'domain': domain,
            'class_name': class_name,
            'video_id': video,
            'img_path': f'{domain}/{video}.png',
        }
