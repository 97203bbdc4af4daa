"""What a prediction says: of a file, of each person in it, of each face; as objects, JSON and CSV, in one schema."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Version of the schema, in every line of JSON: raised when a field changes its meaning or goes.
SCHEMA = 1
#: Columns of the CSV file, one row a face; a file without faces has one row with empty cells.
COLUMNS = (
    'input', 'kind', 'status', 'message', 'score', 'verdict',
    'person', 'person_score', 'person_verdict', 'num_frames',
    'frame', 'left', 'top', 'right', 'bottom', 'detection', 'face_score',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FaceScore:
    """One face in a picture or in a frame of a video.

    Attributes:
        person: Number of the person within the file, from 0, the largest first.
        frame: Number of the frame, from 0; None in a picture.
        box: Left, top, right, bottom of the detected face in pixels; None where the picture is a crop already.
        detection: Confidence of the face detector, 0..1; None likewise.
        score: Probability that the model gives to its positive class (real, live), 0..1.
    """

    person: int
    frame: int | None
    box: tuple[float, float, float, float] | None
    detection: float | None
    score: float


@dataclasses.dataclass(frozen=True)
class PersonScore:
    """One person of a file.

    Attributes:
        person: As of :class:`FaceScore`.
        score: Mean over the person's faces.
        verdict: A word of the model's task; None where no threshold is known.
        num_frames: Faces that the mean is over.
    """

    person: int
    score: float
    verdict: str | None
    num_frames: int


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What is said of one file.

    Attributes:
        input: As it was named: a path, or ``<array>``.
        kind: 'picture' or 'video'.
        status: 'scored'; 'no_face', 'small' (all faces are smaller than wished), 'unreadable' or 'crashed'. A video
            that breaks off is scored up to there, and its ``message`` says so.
        message: What exactly is wrong; ''.
        score: The lowest of the persons: a file is as real as its least real face. None without faces.
        verdict: As of :class:`PersonScore`, of that score.
        persons: By their number.
        faces: By frame, then person.
        seconds: Reading, detecting and cutting, and the file's share of the model's time.
    """

    input: str
    kind: str
    status: str
    message: str = ''
    score: float | None = None
    verdict: str | None = None
    persons: tuple[PersonScore, ...] = ()
    faces: tuple[FaceScore, ...] = ()
    seconds: float = 0.0

    def to_dict(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Plain values, as JSON takes them.

        Args:
            model: Facts of the model, see :attr:`~fsfm_mm.prediction.Detector.facts`.
        """
        return {'schema': SCHEMA, **dataclasses.asdict(self), 'model': dict(model)}

    def to_json(self, model: Mapping[str, Any]) -> str:
        """One line of JSON, without its end; see :meth:`to_dict`."""
        return json.dumps(self.to_dict(model), ensure_ascii=True)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Prediction:
        """Of what :meth:`to_dict` gave.

        Raises:
            ValueError: It is none, or of another schema.
        """
        if not isinstance(content, Mapping) or content.get('schema') != SCHEMA:
            raise ValueError(f'expected a prediction of schema {SCHEMA}')
        names = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in content.items() if key in names}
        try:
            persons = tuple(PersonScore(**person) for person in values.pop('persons'))
            faces = tuple(
                FaceScore(**{**face, 'box': face['box'] and tuple(face['box'])})
                for face in values.pop('faces')
            )
            return cls(**values, persons=persons, faces=faces)
        except (KeyError, TypeError) as error:
            raise ValueError(f'expected a prediction of schema {SCHEMA} ({error})') from error

    def rows(self) -> Iterator[list[Any]]:
        """Rows of the CSV file, see :data:`COLUMNS`."""
        persons = {person.person: person for person in self.persons}
        about = [self.input, self.kind, self.status, self.message, self.score, self.verdict]
        for face in self.faces:
            person = persons[face.person]
            yield [
                *about, person.person, person.score, person.verdict, person.num_frames,
                face.frame, *(face.box or [None] * 4), face.detection, face.score,
            ]  # fmt: skip
        if not self.faces:
            yield about + [None] * (len(COLUMNS) - len(about))


def persons_of(faces: Iterable[FaceScore], verdict: Any) -> tuple[PersonScore, ...]:
    """The persons that faces belong to, by their number.

    Args:
        faces: Of one file.
        verdict: Gives the word of a score.
    """
    scores: dict[int, list[float]] = {}
    for face in faces:
        scores.setdefault(face.person, []).append(face.score)
    means = {person: sum(values) / len(values) for person, values in sorted(scores.items())}
    return tuple(
        PersonScore(person, mean, verdict(mean), len(scores[person])) for person, mean in means.items()
    )
