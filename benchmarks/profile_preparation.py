"""Where preparing pretraining data spends its time: stage by stage, on one core."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import cv2
import numpy as np
import timm
import torch
from torch import nn

import fsfm_mm.components  # noqa: F401  (first: filters import noise, registers everything)
from bench.timing import describe_machine
from fsfm_mm.files import write_atomically
from fsfm_mm.preparation.cutting.reading import read_picture
from fsfm_mm.preparation.progress import profile
from fsfm_mm.preparation.run import prepare
from fsfm_mm.preparation.settings import Execution, Settings
from fsfm_mm.preparation.sources.finding import find_items
from fsfm_mm.preparation.sources.items import FrameChoice

#: Photos for the parser of FaRL's size, which takes seconds for each.
FEW = 8
VIDEO_FRAMES, VIDEO_SIZE = 240, (1280, 720)


class FaRLSized(nn.Module):
    """A parser's network of FaRL's size, ViT-B/16 at 448 pixels, with random weights: right in time, not in labels."""

    def __init__(self) -> None:
        super().__init__()
        self.vit: Any = timm.create_model('vit_base_patch16_224', img_size=448, num_classes=0)
        self.head = nn.Conv2d(768, 11, 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, 11, 448, 448) of pictures (N, 3, 448, 448), and a second output, as FaRL's file has."""
        tokens = self.vit.forward_features(images)[:, 1:]
        grid = tokens.transpose(1, 2).unflatten(2, (28, 28))
        logits = nn.functional.interpolate(self.head(grid), size=[448, 448], mode='bilinear')
        return logits, images


def write_parser(path: Path) -> Path:
    """Write :class:`FaRLSized` as a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch.jit is deprecated
        torch.jit.trace(FaRLSized().eval(), torch.rand(1, 3, 448, 448)).save(str(path))
    return path


def write_video(path: Path, photo: Path) -> Path:
    """Write a video of one photo that moves a little, MPEG-4, 720 lines."""
    picture = read_picture(str(photo))
    width, height = VIDEO_SIZE
    scale = min(
        width / picture.shape[1], height / picture.shape[0]
    )  # a stretched face would be no face of a video
    picture = cv2.resize(picture, None, fx=scale, fy=scale)[:height, :width]
    rest = width - picture.shape[1], height - picture.shape[0]
    sides = rest[1] // 2, rest[1] - rest[1] // 2, rest[0] // 2, rest[0] - rest[0] // 2
    picture = cv2.copyMakeBorder(picture, *sides, cv2.BORDER_REPLICATE)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 25, VIDEO_SIZE)
    for i in range(VIDEO_FRAMES):
        writer.write(np.roll(picture, i % 40, axis=1))
    writer.release()
    return path


def setups(photos: list[Path], folder: Path) -> Iterator[tuple[str, list[Path], dict]]:
    """What is measured: name, sources, config of the parser."""
    template = dict(type='TemplateParser')
    yield f'{len(photos)} photos, YuNet, template', photos, template
    network = write_parser(folder / 'farl_sized.pt')
    farl = dict(type='FaRLParser', weights=str(network), device='cpu')
    yield f'{FEW} photos, YuNet, a network of the size of FaRL (random weights)', photos[:FEW], farl
    video = write_video(folder / 'video.mp4', photos[0])
    yield f'a 720p video of {VIDEO_FRAMES} frames, 32 of them, YuNet, template', [video], template


def measure(
    name: str, sources: list[Path], parser: dict, weights: str | None, folder: Path
) -> dict[str, Any]:
    """Prepare some sources in this process; seconds of each stage."""
    detector = dict(type='YuNet', **({'weights': weights} if weights else {}))
    settings = Settings(detector, parser, min_face=0)
    items = find_items([str(path) for path in sources], FrameChoice('count', 32))
    # twice: the first run loads models and fills caches
    for _ in range(2):
        out = tempfile.mkdtemp(dir=folder)
        outcome = prepare(items, out, settings, Execution(workers=0, device='cpu', batch_size=4))
    faces = outcome.tally.statuses['ok']
    print(f'\n{name}', *profile(outcome.tally.seconds, faces), sep='\n', flush=True)
    return dict(name=name, faces=faces, seconds=dict(outcome.tally.seconds))


def main(argv: list[str] | None = None) -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('photos', type=Path, help='folder of photos with one face each')
    parser.add_argument('--detector-weights', metavar='FILE', help="YuNet's [fetched once]")
    parser.add_argument('--out', type=Path, help='e.g. benchmarks/cpu-2cores/preparation.json')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photos = sorted(
        path for path in args.photos.glob('*') if path.suffix.lower() in ('.jpg', '.jpeg', '.png')
    )
    if not photos:
        sys.exit(f'profile_preparation.py: {args.photos}: no photos there')
    with tempfile.TemporaryDirectory() as folder:
        found = [
            measure(*setup, args.detector_weights, Path(folder)) for setup in setups(photos, Path(folder))
        ]
    if args.out:
        result = dict(machine=describe_machine('cpu'), rows=[], preparation=found)
        write_atomically(args.out, json.dumps(result, indent=2) + '\n')
        print(f'\nwritten: {args.out}')


if __name__ == '__main__':
    main()
