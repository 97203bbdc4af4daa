"""Predictions drawn over what they are about: boxes with scores in pictures and videos."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.files import replacing, write_atomically
from fsfm_mm.files.pictures import read_image
from fsfm_mm.prediction.results import FaceScore, Prediction
from fsfm_mm.preparation.cutting.reading import frame_rate, read_frames, read_picture
from fsfm_mm.preparation.sources.items import FrameChoice

#: Longer side of a drawn picture or video in pixels, at most: to be looked at, not measured in.
MAX_SIDE = 1280
#: Frames between two scored ones of a person, at most, over which the box is drawn on.
_GAP = 75
_POSITIVE, _NEGATIVE, _OPEN = (80, 175, 76), (54, 67, 244), (0, 165, 255)  # BGR


def draw_faces(
    picture: np.ndarray, faces: Iterable[FaceScore], words: dict[int, str | None], positive: str
) -> np.ndarray:
    """Draw boxes with the score, and the verdict on the person where there is one.

    Args:
        picture: uint8 (H, W, 3) BGR, which is not changed.
        faces: In it; those without a box are written in the corner.
        words: Verdict of each person.
        positive: The model's positive class, which is drawn in green, others in red, no verdict in orange.

    Returns:
        uint8 (H, W, 3) BGR, its longer side :data:`MAX_SIDE` at most.
    """
    scale = min(1.0, MAX_SIDE / max(picture.shape[:2]))
    canvas = (
        cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if scale < 1
        else picture.copy()
    )
    height, width = canvas.shape[:2]
    size = max(min(height, width) / 700, 0.4)
    thick = max(round(2 * size), 1)
    for face in faces:
        word = words.get(face.person)
        colour = _OPEN if word is None else _POSITIVE if word == positive else _NEGATIVE
        left, top, right, bottom = (
            round(v * scale) for v in face.box or (0, 0, picture.shape[1], picture.shape[0])
        )
        cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), colour, thick)
        text = f'{positive} {face.score:.2f}' if word is None else f'{word} ({positive} {face.score:.2f})'
        text = f'{face.person}: {text}' if len(words) > 1 else text
        (text_width, text_height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
        x = min(max(left, 0), max(width - text_width - 2, 0))
        y = top - base if top - base > text_height else min(max(top, 0) + text_height + base, height - base)
        cv2.rectangle(canvas, (x, y - text_height - 2), (x + text_width + 2, y + base), colour, cv2.FILLED)
        cv2.putText(
            canvas, text, (x + 1, y), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), thick, cv2.LINE_AA
        )
    return canvas


def write_overlay(prediction: Prediction, source: str | os.PathLike, target: Path, positive: str) -> Path:
    """Write the annotated picture or video of a prediction.

    Args:
        prediction: Of the file; one without faces gives it without boxes.
        source: The file, readable.
        target: Without its ending, which is added: ``.jpg`` or ``.mp4``.
        positive: As of :func:`draw_faces`.

    Returns:
        The file that was written.

    Raises:
        BrokenSampleError: The source can no longer be read.
        OSError: The target cannot be written.
    """
    words = {person.person: person.verdict for person in prediction.persons}
    if prediction.kind == 'video':
        return _write_video(prediction, source, target.with_name(target.name + '.mp4'), words, positive)
    is_crop = any(face.box is None for face in prediction.faces)
    picture = read_image(os.fspath(source)) if is_crop else read_picture(source)
    data = cv2.imencode('.jpg', draw_faces(picture, prediction.faces, words, positive))[1].tobytes()
    return write_atomically(target.with_name(target.name + '.jpg'), data)


def _write_video(
    prediction: Prediction,
    source: str | os.PathLike,
    target: Path,
    words: dict[int, str | None],
    positive: str,
) -> Path:
    tracks: dict[int, list[FaceScore]] = {}
    for face in prediction.faces:
        tracks.setdefault(face.person, []).append(face)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, sync=False) as part:
        # the ending decides the container
        film = part.with_name(part.name + '.mp4')
        video = None
        try:
            for index, frame in read_frames(source, FrameChoice('all')):
                faces = [face for track in tracks.values() for face in _at(track, index)]
                drawn = draw_faces(frame, faces, words, positive)
                if video is None:
                    size = drawn.shape[1], drawn.shape[0]
                    video = cv2.VideoWriter(
                        str(film), cv2.VideoWriter.fourcc(*'mp4v'), frame_rate(source), size
                    )
                    if not video.isOpened():
                        raise OSError(None, 'the video cannot be written', str(target))
                video.write(drawn)
        finally:
            if video is not None:
                video.release()
        film.replace(part)
    return target


def _at(track: list[FaceScore], index: int) -> list[FaceScore]:
    """A person's face at a frame, its box between those of the scored frames about it; none far from them."""
    frames = [face.frame or 0 for face in track]
    place = bisect.bisect_left(frames, index)
    if place < len(frames) and frames[place] == index:
        return [track[place]]
    if place in (0, len(frames)) or frames[place] - frames[place - 1] > _GAP:
        nearest = min(
            (track[max(place - 1, 0)], track[min(place, len(track) - 1)]),
            key=lambda f: abs((f.frame or 0) - index),
        )
        return [nearest] if abs((nearest.frame or 0) - index) <= _GAP // 5 else []
    before, after = track[place - 1], track[place]
    if before.box is None or after.box is None:
        return [before]
    share = (index - frames[place - 1]) / (frames[place] - frames[place - 1])
    box = np.array(before.box) * (1 - share) + np.array(after.box) * share
    return [FaceScore(before.person, index, tuple(box.tolist()), before.detection, before.score)]
