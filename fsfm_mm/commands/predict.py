"""Score the faces in anybody's pictures and videos with a trained classifier, and say what the scores mean.

Faces are found, cut out and normalised as the checkpoint's card says. Every face in view gets a score, the probability
of the positive class (real, live); a person of a video the mean over the chosen frames; a file the lowest of its
persons. A word for it (real, fake) needs a threshold: that of the card (fsfm-mm test --calibrate), or --threshold.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsfm_mm.commands.arguments import CommandParser, end, short_name
from fsfm_mm.commands.output import say
from fsfm_mm.engine.device import choose_device
from fsfm_mm.files.writing import check_folder
from fsfm_mm.text import printable

if TYPE_CHECKING:
    from fsfm_mm.prediction import Detector, Prediction
    from fsfm_mm.preparation.sources.items import Item

EPILOG = """\
examples:
  %(prog)s work_dirs/detector photo.jpg clip.mp4
  %(prog)s best.pth photos/ --out predictions --save-overlay
  find . -name '*.jpg' | %(prog)s best.pth - --json | jq .score
  %(prog)s best.pth crops/ --face-detector none

Interrupted with --out? The same command goes on where it stopped. Exit code: 0 all files were read; 2 some could not
be; 1 wrong arguments; 130 Ctrl-C. In Python: fsfm_mm.Detector('best.pth')('photo.jpg').
"""


def parse_args(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm predict') -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(prog, __doc__, EPILOG, wrong_arguments=1)  # 2: a file could not be read
    parser.add_argument('model', help='checkpoint, work directory (its last whole one), or published weights')
    parser.add_argument(
        'sources', nargs='+', help='pictures, videos, folders of them; - reads names from the standard input'
    )
    parser.add_argument(
        '--out',
        help='folder for predictions.jsonl and predictions.csv [nothing is written, lines are printed]',
    )
    parser.add_argument('--json', action='store_true', help='print a line of JSON for each file')
    parser.add_argument(
        '--save-overlay', action='store_true', help='write annotated pictures and videos to OUT/overlays'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='begin anew in a folder that holds predictions'
    )
    parser.add_argument('--threshold', type=float, help="scores from here on are real, live [the card's]")
    faces = parser.add_argument_group('finding faces')
    faces.add_argument(
        '--face-detector',
        metavar='NAME',
        help="yunet, dlib, ...; none: pictures are crops of faces already [the card's]",
    )
    faces.add_argument('--face-detector-weights', metavar='FILE', help='its weights [fetched once]')
    faces.add_argument('--margin', type=float, help="side of the crop / longer side of the face [the card's]")
    faces.add_argument(
        '--override-card',
        action='store_true',
        help='let these two contradict the card; every line then says so',
    )
    faces.add_argument(
        '--frames', default='32', metavar='N|every:N|all', help='of each video, spread over it [32]'
    )
    faces.add_argument(
        '--min-face', type=int, default=40, metavar='PIXELS', help='leave smaller faces out [40]'
    )
    parser.add_argument('--batch-size', type=int, default=32, help='faces that are scored together [32]')
    parser.add_argument('--device', help='auto, cpu, cuda or cuda:N [auto]')
    parser.add_argument('--config', help='of a checkpoint whose card does not say how its model is built')
    parser.add_argument(
        '--trust', action='store_true', help='allow the checkpoint file to run code (dangerous)'
    )
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> None:
    """Raise a ValueError where what is named is not there, or cannot be written."""
    if os.sep in args.model and not Path(args.model).exists():
        raise ValueError(f'there is no checkpoint or work directory {printable(args.model)}')
    for source in args.sources:
        if source != '-' and not os.path.lexists(source):
            raise ValueError(f'there is no file or folder {printable(source)}')
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise ValueError(f'--threshold must lie within 0 and 1, found {args.threshold}')
    for name, least in (('min_face', 0), ('batch_size', 1)):
        if getattr(args, name) < least:
            raise ValueError(
                f'--{name.replace("_", "-")} must be {least} or more, found {getattr(args, name)}'
            )
    if args.save_overlay and args.out is None:
        raise ValueError('--save-overlay writes beside the predictions: name their folder with --out')
    if args.overwrite and args.out is None:
        raise ValueError('--overwrite is for the folder of --out: name it')
    if args.out is not None:
        check_folder(args.out, 'the folder --out')


def listed(sources: Iterable[str], args: argparse.Namespace, frames: Any) -> Iterator[Item]:
    """Every file of the sources, those of the standard input as they come."""
    from fsfm_mm.prediction.sources import items_of

    for number, source in enumerate(sources):
        if source == '-':
            lines = (line.rstrip('\n') for line in sys.stdin)
            yield from (item for line in lines if line for item in items_of(line, frames))
        else:
            folder = f'{number}_' if len(args.sources) > 1 else ''
            yield from items_of(source, frames, args.out, folder)


def show(prediction: Prediction) -> str:
    """A line for people."""
    if prediction.score is None:
        said = prediction.message or prediction.status.replace('_', ' ')
        return said if said.startswith(prediction.input) else f'{prediction.input}: {said}'
    said = '' if prediction.verdict is None else f'{prediction.verdict}  '
    faces = len(prediction.persons)
    many = ''
    if faces > 1:
        scores = ', '.join(f'{person.score:.3f}' for person in prediction.persons)
        many = f'  ({faces} {"persons" if prediction.kind == "video" else "faces"}: {scores})'
    broken = f'  ({prediction.message})' if prediction.message else ''
    return f'{prediction.input}: {said}{prediction.score:.3f}{many}{broken}'


def meaning(detector: Detector) -> str:
    """What the scores are, and where a threshold would come from."""
    positive = detector.facts['positive_class']
    text = f'scores are the probability of {positive!r} that the model gives'
    if detector.threshold is None:
        return (
            f'{text}; no threshold is known: fsfm-mm test CONFIG CHECKPOINT --calibrate FILE finds one, '
            '--threshold sets one'
        )
    told = detector.facts['threshold_meaning']
    return (
        f'{text}; from {detector.threshold:.4g} on it is {positive!r} (threshold of {detector.threshold_from}'
        f'{f": {told}" if told else ""})'
    )


def predict(args: argparse.Namespace) -> int:
    """Score, print and write; returns the exit code."""
    from fsfm_mm.commands.preparing import frame_choice
    from fsfm_mm.files.progress import ProgressBar
    from fsfm_mm.prediction import Detector
    from fsfm_mm.prediction.overlay import write_overlay
    from fsfm_mm.prediction.records import Records

    frames = frame_choice(args.frames)
    files = listed(args.sources, args, frames)
    total = None
    if '-' not in args.sources:  # whatever is wrong with a folder is said before the model is loaded
        files = list(files)  # type: ignore[assignment]
        total = len(files)  # type: ignore[arg-type]
    detector = Detector(
        args.model,
        config=args.config,
        face_detector=args.face_detector,
        face_detector_weights=args.face_detector_weights,
        margin=args.margin,
        override_card=args.override_card,
        threshold=args.threshold,
        frames=frames,
        min_face=args.min_face,
        batch_size=args.batch_size,
        trust=args.trust,
    )
    for note in detector.notes:
        print(f'note: {note}', file=sys.stderr)
    records = Records(args.out, detector.facts, args.overwrite) if args.out is not None else None
    done = records.done if records else set()
    todo = (item for item in files if printable(item.path) not in done)
    counts: dict[str, int] = {}
    verdicts: dict[str, int] = {}
    try:
        with ProgressBar(total or 0, 'files', len(done), shown=bool(records and total)) as bar:
            for item, prediction in detector.stream_items(todo):
                counts[prediction.status] = counts.get(prediction.status, 0) + 1
                if prediction.verdict is not None:
                    verdicts[prediction.verdict] = verdicts.get(prediction.verdict, 0) + 1
                if records:
                    if args.save_overlay and prediction.status not in ('unreadable', 'crashed'):
                        write_overlay(
                            prediction,
                            item.path,
                            Path(args.out, 'overlays', item.key),
                            detector.facts['positive_class'],
                        )
                    records.add(prediction)
                    bar.add(1)
                if args.json:
                    print(prediction.to_json(detector.facts), flush=True)
                elif not records or prediction.status in ('unreadable', 'crashed'):
                    say(show(prediction))
                    sys.stdout.flush()
    finally:
        if records:
            records.close()
    said = ', '.join(f'{count} {status.replace("_", " ")}' for status, count in sorted(counts.items()))
    if verdicts:
        split = ', '.join(f'{count} {verdict}' for verdict, count in sorted(verdicts.items()))
        said = said.replace(' scored', f' scored ({split})')
    before = f' ({len(done)} were done before)' if done else ''
    print(f'{said or "nothing to do"}{before}; {meaning(detector)}', file=sys.stderr)
    if records:
        print(f'{records.path}\n{records.table}', file=sys.stderr if args.json else sys.stdout)
    return 2 if counts.get('unreadable') or counts.get('crashed') else 0


def main(argv: Sequence[str] | None = None, prog: str = 'fsfm-mm predict') -> int:
    """Run the command; returns the exit code."""
    args, name = parse_args(argv, prog), short_name(prog)
    try:
        check(args)
        choose_device(args.device)
        return predict(args)
    except argparse.ArgumentTypeError as error:
        sys.exit(f'{name}: --frames: {error}')
    except (ValueError, ConnectionError) as error:
        end(name, error)
    except KeyboardInterrupt:
        goes_on = '; the same command goes on where it stopped' if args.out else ''
        print(f'\n{name}: stopped by Ctrl-C{goes_on}', file=sys.stderr)
        return 130
