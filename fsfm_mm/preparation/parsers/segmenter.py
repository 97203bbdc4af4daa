"""Any face-segmentation network as a parser: TorchScript or ONNX, with its classes named in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsfm_mm.preparation.parsers.base import FaceParser
from fsfm_mm.preparation.parsers.label_maps import label_table
from fsfm_mm.registry import FACE_PARSERS

if TYPE_CHECKING:  # imported where it is used: it takes seconds
    import torch

FORMATS = {
    '.pt': 'torchscript',
    '.pth': 'torchscript',
    '.jit': 'torchscript',
    '.ts': 'torchscript',
    '.onnx': 'onnx',
}
COLORS = ('rgb', 'bgr')
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@FACE_PARSERS.register_module()
class SegmenterParser(FaceParser):
    """A network that labels each pixel of a face crop, whoever trained it.

    It gets a batch float32 (N, 3, input_size, input_size) and gives either logits (N, classes, h, w) or numbers
    of classes (N, h, w) or (N, 1, h, w), of any h and w: they are resized to the crop (logits bilinear, numbers
    to the nearest pixel). Landmarks are not needed.

    Args:
        weights: File of the network.
        label_map: LaPa's name for each of its classes, see :func:`fsfm_mm.preparation.parsers.label_maps.label_table`:
            a dict, or 'lapa', 'celebamask' or 'facer'.
        label_names: Names of its classes in its order, where ``label_map`` goes by names.
        format: 'torchscript' or 'onnx'; None goes by the file's ending.
        input_size: Side in pixels that the network wants.
        mean: Subtracted from the pixels, scaled to 0..1, in the order of ``color``.
        std: The pixels are divided by it afterwards.
        color: 'rgb' or 'bgr', the order of the planes.
        output: Which of several outputs: the number in a tuple or list, or the name in a dict (ONNX: both).
        device: 'auto' (a GPU where there is one), 'cpu', 'cuda:0' ...
        batch_size: Crops computed at once; 1 for an ONNX file whose batch is fixed to 1.

    Raises:
        ValueError: For a wrong argument.
    """

    def __init__(
        self,
        weights: str | Path,
        label_map: str | Mapping[str | int, str],
        label_names: Sequence[str] | None = None,
        format: str | None = None,
        input_size: int = 512,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        color: str = 'rgb',
        output: int | str = 0,
        device: str = 'auto',
        batch_size: int = 8,
    ) -> None:
        self.weights = Path(weights)
        self.format = format or FORMATS.get(self.weights.suffix.lower(), '')
        if self.format not in FORMATS.values():
            raise ValueError(
                f"SegmenterParser: format must be 'torchscript' or 'onnx', found {format!r} for {self.weights}."
            )
        if color not in COLORS or min(input_size, batch_size) < 1:
            raise ValueError(
                "SegmenterParser: expected color 'rgb' or 'bgr' and input_size and batch_size of 1 or more, found "
                f'color={color!r}, input_size={input_size}, batch_size={batch_size}.'
            )
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(
                f'SegmenterParser: mean and std need three values each, std above 0; found {mean} and {std}.'
            )
        self.name = f'segmenter/{self.weights.name}'
        self.table = label_table(label_map, label_names)
        self.input_size, self.mean, self.std, self.color = input_size, mean, std, color
        self.output, self.device, self.batch_size = output, device, batch_size
        self._run: Callable[[torch.Tensor], Any] | None = None

    def prepare(self) -> None:
        """Load the network.

        Raises:
            ValueError: The file is missing or of another format, or ONNX is wanted without onnxruntime.
        """
        if self._run is not None:
            return
        if not self.weights.is_file():
            raise ValueError(f'SegmenterParser: there is no file {self.weights}.')
        from fsfm_mm.preparation.parsers.neural import load_onnx, load_torchscript, pick_device

        self._device = pick_device(self.device)
        load = load_onnx if self.format == 'onnx' else load_torchscript
        self._run = load(self.weights, self._device)

    def parse(
        self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """Label some crops; see the base class."""
        self.prepare()
        maps: list[np.ndarray | None] = []
        for start in range(0, len(crops), self.batch_size):
            maps += [self.table(one) for one in self._classes(crops[start : start + self.batch_size])]
        return maps

    def _classes(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Numbers of the network's classes: integers (N, S, S)."""
        import torch.nn.functional as F

        assert self._run is not None
        size = crops[0].shape[:2]
        given = self._chosen(self._run(self._normalised(crops)))
        if given.ndim == 4 and given.shape[1] == 1:
            given = given[:, 0]
        if given.ndim not in (3, 4) or len(given) != len(crops):
            raise ValueError(
                f'{self.name}: expected logits ({len(crops)}, classes, h, w) or classes ({len(crops)}, h, w) as '
                f'output {self.output!r}, found the shape {tuple(given.shape)}.'
            )
        if given.ndim == 3:
            nearest = F.interpolate(given[:, None].float(), size=size, mode='nearest-exact')
            return nearest[:, 0].round().long().cpu().numpy()
        if given.shape[1] != len(self.table.targets):
            raise ValueError(
                f'{self.name}: the label map names {len(self.table.targets)} classes, but the network gives '
                f'{given.shape[1]}: name each of them.'
            )
        logits = F.interpolate(given.float(), size=size, mode='bilinear', align_corners=False)
        return logits.argmax(1).cpu().numpy()

    def _normalised(self, crops: Sequence[np.ndarray]) -> torch.Tensor:
        """The batch as the network wants it."""
        import torch.nn.functional as F

        from fsfm_mm.preparation.parsers.neural import as_planes

        planes = as_planes(crops, self._device)
        side = (self.input_size, self.input_size)
        planes = F.interpolate(planes, size=side, mode='bilinear', antialias=True, align_corners=False)
        if self.color == 'bgr':
            planes = planes.flip(1)
        mean, std = (planes.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (planes - mean) / std

    def _chosen(self, outputs: Any) -> torch.Tensor:
        """The output that is the map."""
        import torch

        by_name = dict(outputs) if isinstance(outputs, Mapping) else {}
        several = [outputs] if isinstance(outputs, torch.Tensor) else list(by_name.values()) or list(outputs)
        if isinstance(self.output, int) and 0 <= self.output < len(several):
            return several[self.output]
        if self.output in by_name:
            return by_name[self.output]
        names = ', '.join(map(str, by_name or range(len(several))))
        raise ValueError(f'{self.name}: no output {self.output!r}; there are {names}.')
