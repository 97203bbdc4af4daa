"""FaRL's face parsers (CVPR 2022, arXiv 2112.03109) through facer's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.files import weights_file
from fsfm_mm.preparation.parsers.base import FaceParser, usable_points
from fsfm_mm.preparation.parsers.label_maps import LabelTable, label_table
from fsfm_mm.registry import FACE_PARSERS

MODELS = ('lapa/448', 'celebm/448')


@FACE_PARSERS.register_module()
class FaRLParser(FaceParser):
    """FaRL ViT-B parsers as facer publishes them, the ones that FSFM's maps were made with.

    The crop is aligned by its five landmarks to 448x448, parsed, and the result brought back to the crop; a crop
    without landmarks gets no map. Beyond what the aligned window shows there is background.

    Args:
        model: 'lapa/448' (LaPa's 11 classes) or 'celebm/448' (CelebAMask-HQ's 19, translated to the 11).
        weights: The TorchScript file; None fetches it once into the cache of weights.
        url: Another address to fetch from; None is facer's own, a release on GitHub.
        sha256: Checksum that the file must have, hexadecimal. The publisher states none: without one, a fetched
            file is only known to be complete.
        device: 'auto' (a GPU where there is one), 'cpu', 'cuda:0' ...
        batch_size: Crops computed at once.

    Raises:
        ValueError: For an unknown model or a batch size below 1.
    """

    needs_landmarks = True
    presets = {'farl': {'model': 'lapa/448'}, 'farl-celebm': {'model': 'celebm/448'}}

    def __init__(
        self,
        model: str = 'lapa/448',
        weights: str | Path | None = None,
        url: str | None = None,
        sha256: str | None = None,
        device: str = 'auto',
        batch_size: int = 8,
    ) -> None:
        if model not in MODELS:
            raise ValueError(f'FaRLParser: model must be one of {", ".join(MODELS)}, but is {model!r}.')
        if batch_size < 1:
            raise ValueError(f'FaRLParser: batch_size must be 1 or more, but is {batch_size}.')
        self.name = f'farl/{model}'
        self.model, self.weights, self.url, self.sha256 = model, weights, url, sha256
        self.device, self.batch_size = device, batch_size
        self._parser: Any = None
        self._table: LabelTable | None = None

    def prepare(self) -> None:
        """Fetch the weights where needed and load them.

        Raises:
            ValueError: The file is missing, not TorchScript, or not the one of ``sha256``.
            ConnectionError: It cannot be fetched.
        """
        if self._parser is not None:
            return
        # imported here: facer and torch take seconds, and bring what nobody else needs
        import facer
        from facer.face_parsing.farl import pretrain_settings

        from fsfm_mm.preparation.parsers.neural import pick_device, reading_torchscript

        url = self.url or pretrain_settings[self.model]['url'][0]
        path = weights_file(
            url.rsplit('/', 1)[-1], self.weights, url, self.sha256, '--parser-weights', '--parser mesh'
        )
        device = pick_device(self.device)
        with reading_torchscript(path):
            parser = facer.face_parser(self.name, device, model_path=str(path))
        self._table = label_table('facer', parser.label_names)
        self._parser = parser

    def parse(
        self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """Label some crops; see the base class."""
        self.prepare()
        assert self._table is not None
        maps: list[np.ndarray | None] = [None] * len(crops)
        wanted = [(n, five) for n, five in enumerate(map(usable_points, landmarks)) if five is not None]
        for start in range(0, len(wanted), self.batch_size):
            numbers, points = zip(*wanted[start : start + self.batch_size], strict=True)
            classes = self._classes([crops[number] for number in numbers], np.stack(points))
            for number, one in zip(numbers, classes, strict=True):
                maps[number] = self._table(one)
        return maps

    def _classes(self, crops: Sequence[np.ndarray], points: np.ndarray) -> np.ndarray:
        """The classes that facer gives a batch of crops: uint8 (N, S, S)."""
        import torch

        from fsfm_mm.preparation.parsers.neural import as_planes

        device = torch.device(self._parser.device)
        # facer takes the type of the pixels from the largest value and refuses uint8 that is all black; so does
        # it floats that interpolation rounds up beyond 1, which white would without the factor
        planes = as_planes(crops, device) * (1 - 1e-6)
        count, _, height, width = planes.shape
        data = {
            'rects': torch.tensor([[0.0, 0.0, width, height]] * count, device=device),
            # pixel centres lie at +0.5 there
            'points': torch.as_tensor(points + 0.5, dtype=torch.float32, device=device),
            'scores': torch.ones(count, device=device),
            'image_ids': torch.arange(count, device=device),
        }
        # unoptimised: otherwise the first calls, which TorchScript profiles, may round differently from later ones
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            logits = self._parser(planes, data)['seg']['logits']
        if logits.shape[1] != len(self._parser.label_names):
            raise ValueError(
                f'{self.name}: expected a network with {len(self._parser.label_names)} classes, found '
                f'{logits.shape[1]}: are these the weights of another model?'
            )
        return logits.argmax(1).to(torch.uint8).cpu().numpy()
