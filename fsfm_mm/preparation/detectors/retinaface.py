"""RetinaFace (CVPR 2020) through facer, the detector that FSFM's parsing maps were made with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.files import weights_file
from fsfm_mm.preparation.detectors.base import Face, FaceDetector, check_score, shrunk
from fsfm_mm.registry import FACE_DETECTORS

MODELS = ('mobilenet', 'resnet50')


@FACE_DETECTORS.register_module()
class FacerRetinaFace(FaceDetector):
    """facer's RetinaFace: five landmarks, GPU batches.

    On a CPU pictures are computed one by one, so that a picture's faces do not depend on its neighbours by a
    single bit; on a GPU those of equal size together, where the last bits may.

    Args:
        model: 'mobilenet' (0.25 MobileNet, 1.8 MB) or 'resnet50' (110 MB).
        weights: The .pth file; None fetches it once into the cache of weights.
        url: Another address to fetch from; None is facer's own, a release on GitHub.
        sha256: Checksum that the file must have, hexadecimal. The publisher states none: without one, a fetched
            file is only known to be complete.
        min_score: Faces with a lower score are left out, 0..1; facer's default.
        max_side: Pictures are shrunk so that their longer side has so many pixels; 32 or more.
        device: 'auto' (a GPU where there is one), 'cpu', 'cuda:0' ...
        batch_size: Pictures computed at once on a GPU.

    Raises:
        ValueError: For an unknown model or an argument out of its range.
    """

    presets = {'retinaface': {}}
    gives_landmarks = True
    # upright portraits score .997 and more; its landmarks tell the turn of most others
    upright_score = 0.97

    def __init__(
        self,
        model: str = 'mobilenet',
        weights: str | Path | None = None,
        url: str | None = None,
        sha256: str | None = None,
        min_score: float = 0.8,
        max_side: int = 640,
        device: str = 'auto',
        batch_size: int = 16,
    ) -> None:
        if model not in MODELS:
            raise ValueError(f'FacerRetinaFace: model must be one of {", ".join(MODELS)}, but is {model!r}.')
        check_score('FacerRetinaFace', min_score)
        for name, value, least in (('max_side', max_side, 32), ('batch_size', batch_size, 1)):
            if value < least:
                raise ValueError(f'FacerRetinaFace: {name} must be {least} or more, but is {value}.')
        self.name = f'retinaface/{model}'
        self.model, self.weights, self.url, self.sha256 = model, weights, url, sha256
        self.min_score, self.max_side = min_score, max_side
        self.device, self.batch_size = device, batch_size
        self._network: Any = None
        self._device: Any = None

    def prepare(self) -> None:
        """Fetch the weights where needed and load them.

        Raises:
            ValueError: The file is missing, not the one of ``sha256``, or not this network's; or the device is
                not there.
            ConnectionError: The weights cannot be fetched.
        """
        if self._network is not None:
            return
        # imported here: they take seconds, and nobody else needs facer
        from facer.face_detection.retinaface import pretrained_urls

        from fsfm_mm.preparation.parsers.neural import pick_device

        url = self.url or pretrained_urls[self.model]
        path = weights_file(
            f'retinaface_{url.rsplit("/", 1)[-1]}',
            self.weights,
            url,
            self.sha256,
            '--detector-weights',
            '--detector blazeface',
        )
        self._device = pick_device(self.device)
        self._network = self._load(path)

    def _load(self, path: Path) -> Any:
        import facer
        import torch

        benchmark = torch.backends.cudnn.benchmark
        try:
            network = facer.face_detector(
                self.name, self._device, model_path=str(path), threshold=self.min_score
            )
            # facer passes over names that are missing
            state = torch.load(path, map_location='cpu', weights_only=True)
            state = {key.removeprefix('module.'): value for key, value in state.items()}
            network.net.load_state_dict(state.get('state_dict', state))
        except Exception as error:  # unpickling and facer's assertion: as many kinds as there are wrong files
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ValueError(f'{path} does not hold the weights of {self.name} ({reason}).') from error
        finally:
            torch.backends.cudnn.benchmark = benchmark  # facer switches it on for the whole process
        return network

    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[Face]]:
        """Find the faces in some pictures; see the base class."""
        self.prepare()
        small, scales = (
            zip(*(shrunk(picture, self.max_side) for picture in pictures)) if pictures else ((), ())
        )
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, picture in enumerate(small):
            by_size[picture.shape].append(number)
        step = 1 if self._device.type == 'cpu' else self.batch_size
        found: list[list[Face]] = [[] for _ in pictures]
        for numbers in by_size.values():
            for start in range(0, len(numbers), step):
                batch = numbers[start : start + step]
                for place, face in self._compute([small[n] for n in batch], [scales[n] for n in batch]):
                    found[batch[place]].append(face)
        return found

    def _compute(
        self, pictures: Sequence[np.ndarray], scales: Sequence[np.ndarray]
    ) -> list[tuple[int, Face]]:
        """Faces in pictures of one size, each with the place of its picture."""
        import torch

        with torch.inference_mode():
            planes = torch.from_numpy(np.stack(pictures)).to(self._device)
            planes = planes.permute(0, 3, 1, 2).flip(1)  # facer's pictures are RGB
            data = {key: value.cpu().double().numpy() for key, value in self._network(planes).items()}
        return [
            (
                place,
                Face(
                    (data['rects'][row].reshape(2, 2) * scales[place]).ravel(),
                    float(data['scores'][row]),
                    data['points'][row] * scales[place],
                ),
            )
            for row, place in enumerate(data['image_ids'].astype(int).tolist())
        ]
