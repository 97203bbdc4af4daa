"""From a checkpoint and somebody's pictures and videos to scores of faces, persons and files."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample

from fsfm_mm.apis.loading import load_checked
from fsfm_mm.checkpoints.card import ModelCard, card_hash
from fsfm_mm.checkpoints.zoo import zoo_entry, zoo_names
from fsfm_mm.files.checkpoint_folders import checkpoint_file
from fsfm_mm.files.download import sha256_of
from fsfm_mm.files.pictures import BrokenSampleError, read_image
from fsfm_mm.prediction.cropping import crop_settings
from fsfm_mm.prediction.results import FaceScore, Prediction, persons_of
from fsfm_mm.prediction.sources import items_of
from fsfm_mm.prediction.views import test_view
from fsfm_mm.preparation.cutting.cutter import Clock, Cut, Cutter, nothing
from fsfm_mm.preparation.cutting.reading import read_frames
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.settings import Execution, build_components
from fsfm_mm.preparation.sources.items import FrameChoice, Item
from fsfm_mm.settings.reading import read_config
from fsfm_mm.text import printable

#: Statuses of a file without any scored face, the one that says most first.
_STATUSES = ('crashed', 'unreadable', 'small', 'no_face')


@dataclass
class _File:
    """A file whose faces are cut out and wait for their scores."""

    name: str
    kind: str
    cuts: list[Cut]
    seconds: float


class Detector:
    """Tells real faces from fakes in anybody's pictures and videos: ``Detector('work_dirs/detector')('photo.jpg')``.

    Faces are found, cut out and normalised as the checkpoint's card says, every face that is in view is scored, and
    in a video a person is followed through the chosen frames.

    Args:
        source: A checkpoint file; a work directory, which stands for its last whole checkpoint; or the name of
            published weights.
        config: Only for a file whose card does not say how to build the model: the config that trained it.
        device: Where the model computes; None for the one that there is.
        face_detector: Who finds the faces ('yunet', 'dlib', ...); 'none' takes pictures as crops of faces, which are
            read as training reads them. None takes the card's.
        face_detector_weights: Its weights; None fetches them once.
        margin: Side of a crop over that of the face's box; None takes the card's.
        override_card: Let ``face_detector`` and ``margin`` contradict the card; :attr:`notes` then says so.
        threshold: Scores from here on are of the positive class, 0..1; None takes the card's.
        frames: Frames of a video that are looked at, spread over it, or a choice of another kind.
        min_face: Smaller faces are left out, pixels.
        batch_size: Faces that are scored together.
        trust: Allow the checkpoint to run code while it is read (dangerous).

    Attributes:
        card: Of the model.
        classes: Its words, by label.
        threshold: Scores from here on are of the positive class; None where nobody knows it.
        threshold_from: Who said so: 'the card', 'the user' or None.
        notes: What was overridden.
        facts: What every line of JSON says of the model.

    Raises:
        ValueError: One sentence: the model cannot be loaded or has no classes, or how faces are cut is not known or
            contradicts the card.
        ConnectionError: The face detector's weights cannot be fetched.
    """

    def __init__(
        self,
        source: str | os.PathLike,
        *,
        config: Config | str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        face_detector: str | None = None,
        face_detector_weights: str | os.PathLike | None = None,
        margin: float | None = None,
        override_card: bool = False,
        threshold: float | None = None,
        frames: int | FrameChoice = 32,
        min_face: int = 40,
        batch_size: int = 32,
        trust: bool = False,
    ) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f'the threshold must lie within 0 and 1, found {threshold}')
        if batch_size < 1:
            raise ValueError(f'the batch size must be 1 or more, found {batch_size}')
        found = read_config(config) if isinstance(config, str | os.PathLike) else config
        loaded = load_checked(source, (found or {}).get('model', found), device=device, trust=trust)
        self.model, self.card = loaded.model, loaded.card
        self.classes, self._positive = _classes(self.card, source)
        weights = None if face_detector_weights is None else Path(face_detector_weights)
        self._settings, self.notes = crop_settings(
            self.card, face_detector, weights, margin, min_face, override_card
        )
        self._faces = None
        if self._settings is not None:
            self._faces, _, _ = build_components(self._settings, Execution(workers=0))
            self._faces.prepare()
        self._view = test_view(self.card, found, _zoo_config(source))
        self._frames = FrameChoice(value=frames) if isinstance(frames, int) else frames
        self._batch_size = batch_size
        self.threshold = self.card.threshold if threshold is None else threshold
        self.threshold_from = (
            None if self.threshold is None else 'the card' if threshold is None else 'the user'
        )
        self.facts: dict[str, Any] = {
            'source': os.fspath(source),
            'sha256': None if os.fspath(source) in zoo_names() else sha256_of(checkpoint_file(source)),
            'card_sha256': card_hash(self.card),
            'classes': list(self.classes),
            'positive_class': self.classes[self._positive],
            'threshold': self.threshold,
            'threshold_from': self.threshold_from,
            'threshold_meaning': self.card.threshold_meaning if self.threshold_from == 'the card' else None,
            'face_detector': face_detector if face_detector is not None else self.card.detector,
            'margin': None if self._settings is None else self._settings.margin,
            'frames': f'{self._frames.mode}:{self._frames.value}',
            'min_face': min_face,
            'notes': list(self.notes),
        }

    def __call__(self, source: Any) -> Prediction | list[Prediction]:
        """Score a picture, a video, a folder or several of them.

        Args:
            source: A path of a picture or video; a picture as array, uint8 (H, W, 3) BGR as OpenCV reads it, or of
                PIL; a folder, or a list of any of these.

        Returns:
            A prediction, or a list of them for folders and lists.

        Raises:
            ValueError: There is no such folder, or nothing in it; or an array is no picture. A file that cannot be
                read is a prediction that says so.
        """
        many = isinstance(source, list | tuple) or (
            isinstance(source, str | os.PathLike) and os.path.isdir(source)
        )
        found = list(self.stream(source if isinstance(source, list | tuple) else [source]))
        return found if many else found[0]

    def stream(self, sources: Iterable[Any]) -> Iterator[Prediction]:
        """Score one after the other, in bounded memory; predictions come in the order of the sources.

        Args:
            sources: As of :meth:`__call__`, any number of them.
        """
        for _, prediction in self.stream_items(item for source in sources for item in self._items(source)):
            yield prediction

    def stream_items(self, items: Iterable[Item | np.ndarray]) -> Iterator[tuple[Any, Prediction]]:
        """As :meth:`stream`, for files that are listed already, or pictures as arrays; each with its prediction."""
        scorer = _Scorer(self)
        waiting: deque[tuple[Any, _File, int]] = (
            deque()
        )  # with the number of faces that were cut when it was done
        for item in items:
            waiting.append((item, self._cut(item, scorer), scorer.added))
            while waiting and waiting[0][2] <= scorer.scored:
                done, file, _ = waiting.popleft()
                yield done, self._prediction(file, scorer)
        scorer.flush()
        for done, file, _ in waiting:
            yield done, self._prediction(file, scorer)

    def verdict(self, score: float | None) -> str | None:
        """The word for a score; None without one, or where no threshold is known."""
        if score is None or self.threshold is None:
            return None
        if score >= self.threshold:
            return self.classes[self._positive]
        others = [name for name in self.classes if name != self.classes[self._positive]]
        return others[0] if len(others) == 1 else f'not {self.classes[self._positive]}'

    def _items(self, source: Any) -> Iterator[Item | np.ndarray]:
        if isinstance(source, str | os.PathLike):
            yield from items_of(source, self._frames)
        else:
            yield _as_bgr(source)

    def _cut(self, found: Item | np.ndarray, scorer: _Scorer) -> _File:
        begin, model_before = time.perf_counter(), scorer.seconds
        picture = None if isinstance(found, Item) else found
        item = found if isinstance(found, Item) else Item('<array>', '<array>', 0, 'array')
        if self._faces is None or self._settings is None:
            cuts = _whole(item, picture, scorer, squares=self.card.crop_margin is not None)
        else:
            cutter = Cutter(self._settings, self._faces, scorer.add, clock=Clock())
            try:
                cuts = cutter.cut(item) if picture is None else cutter.cut_picture(item, picture)
            except (MemoryError, ConnectionError):
                raise
            # a detector or codec that fails at one file costs that file
            except Exception as error:
                cuts = [nothing(item, 'crashed', f'{type(error).__name__}: {error}')]
        seconds = time.perf_counter() - begin - (scorer.seconds - model_before)
        return _File(item.path, 'picture' if item.frames is None else 'video', cuts, seconds)

    def _prediction(self, file: _File, scorer: _Scorer) -> Prediction:
        faces, others = [], []
        for cut in file.cuts:
            if cut.slot is None:
                others.append(cut.record)
                continue
            record, (score, seconds) = cut.record, scorer.take(cut.slot)
            file.seconds += seconds
            box = record.box and tuple(record.box)
            faces.append(FaceScore(record.face or 0, record.frame, box or None, record.score, score))  # type: ignore[arg-type]
        others.sort(key=lambda record: _STATUSES.index(record.status) if record.status in _STATUSES else -1)
        status = 'scored' if faces else others[0].status if others else 'no_face'
        broken = [record for record in others if record.status in ('crashed', 'unreadable')]
        said = [cut.record for cut in file.cuts if cut.slot is not None and cut.record.message]
        told = broken or said or ([] if faces else others)
        persons = persons_of(faces, self.verdict)
        lowest = min((person.score for person in persons), default=None)
        faces.sort(key=lambda face: (face.frame or 0, face.person))
        return Prediction(
            printable(file.name),
            file.kind,
            status,
            told[0].message if told else '',
            lowest,
            self.verdict(lowest),
            persons,
            tuple(faces),
            round(file.seconds, 4),
        )

    @torch.inference_mode()
    def _score(self, crops: Sequence[np.ndarray]) -> list[float]:
        """P(positive class) of crops, uint8 (H, W, 3) BGR each, of the model's size."""
        inputs = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        data = {'inputs': inputs, 'data_samples': [DataSample() for _ in crops]}
        samples = self.model.test_step(data)  # type: ignore[operator]
        return [float(sample.pred_score[self._positive]) for sample in samples]

    def _fit(self, crop: np.ndarray) -> np.ndarray:
        """What the model is shown of a crop: as its tests show it."""
        return self._view.transform({'img': crop})['img']


class _Scorer:
    """Collects crops and scores them in batches; only small ones are kept, and scores until they are taken."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._crops: list[np.ndarray] = []
        self._scores: dict[int, tuple[float, float]] = {}
        self.added = self.scored = 0
        self.seconds = 0.0

    def add(self, crop: np.ndarray) -> int:
        """Take a crop uint8 (H, W, 3) BGR; returns its slot."""
        self._crops.append(self._detector._fit(crop))
        self.added += 1
        if len(self._crops) == self._detector._batch_size:
            self.flush()
        return self.added - 1

    def flush(self) -> None:
        """Score what waits."""
        if not self._crops:
            return
        begin = time.perf_counter()
        scores = self._detector._score(self._crops)
        taken = time.perf_counter() - begin
        self.seconds += taken
        for score in scores:
            self._scores[self.scored] = score, taken / len(scores)
            self.scored += 1
        self._crops = []

    def take(self, slot: int) -> tuple[float, float]:
        """Score of a slot, and the seconds that it took; forgotten then."""
        return self._scores.pop(slot)


def _whole(item: Item, picture: np.ndarray | None, scorer: _Scorer, squares: bool) -> list[Cut]:
    """A picture that is a face already, with its pixels as training reads them; of a video, its frames.

    Where the model was trained on ``squares``, what is none is said: a whole photo gets a score, too, a wrong one.
    """

    def taken(image: np.ndarray, frame: int | None = None) -> Cut:
        height, width = image.shape[:2]
        odd = f'{width}x{height} pixels, but the crops that the model was trained on are squares: a whole photo?'
        message = odd if squares and height != width else ''
        return Cut(FaceRecord(item.source, message=message, frame=frame, face=0), item.key, scorer.add(image))

    cuts: list[Cut] = []
    try:
        if item.frames is not None:
            for index, frame in read_frames(item.path, item.frames):
                cuts.append(taken(frame, index))
            return cuts
        image = read_image(item.path) if picture is None else picture
        return [taken(image)]
    except BrokenSampleError as error:
        return [*cuts, nothing(item, 'unreadable', str(error))]


def _classes(card: ModelCard, source: Any) -> tuple[tuple[str, ...], int]:
    """The model's classes and the index of the positive one.

    Raises:
        ValueError: It has none, or nobody says which is positive.
    """
    if card.task == 'pretrain':
        raise ValueError(
            f'{os.fspath(source)} is a pretraining, which has no classes: fine-tune a detector from it first '
            f'(fsfm-mm train vit-t_own-faces --init {os.fspath(source)})'
        )
    if card.classes is None or card.positive_class is None:
        raise ValueError(
            f'the card of {os.fspath(source)} does not say what its classes are, so a score means nothing: give them '
            'with fsfm-mm convert --classes fake real --positive-class real'
        )
    return card.classes, card.classes.index(card.positive_class)


def _zoo_config(source: str | os.PathLike) -> Config | None:
    """The config of published weights, by their name."""
    name = os.fspath(source)
    return read_config(zoo_entry(name)['config']) if name in zoo_names() else None


def _as_bgr(picture: Any) -> np.ndarray:
    """An array, or a picture of PIL, as uint8 (H, W, 3) BGR.

    Raises:
        ValueError: It is neither.
    """
    if hasattr(picture, 'convert') and hasattr(picture, 'getexif'):
        from PIL import ImageOps

        return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(picture).convert('RGB'))[..., ::-1])
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ValueError(
            f'a picture is an array of uint8 (H, W, 3), blue first as OpenCV reads it, found {array.dtype} '
            f'{array.shape}'
        )
    return array
