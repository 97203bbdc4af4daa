"""What the commands that prepare data share: options, shares, exit codes."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.registry import Registry

from fsfm_mm.commands.output import say
from fsfm_mm.datasets.labelled.crops import PUBLISHED_MARGINS
from fsfm_mm.files.parallel import ENGINES
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation.cutting.videos import VIDEO_READERS
from fsfm_mm.preparation.progress import summary
from fsfm_mm.preparation.run import Outcome, Share
from fsfm_mm.preparation.settings import CHOICES, CROP_MARGIN, Execution, Settings, presets
from fsfm_mm.preparation.sources.items import FrameChoice
from fsfm_mm.registry import FACE_DETECTORS
from fsfm_mm.text import printable

#: Of face crops: 'published' as those of the papers, 'ours' about the person who is followed through a video.
CROPS = ('published', 'ours')
#: Whom the published crops show: dlib's first box is the best one.
PUBLISHED_CHOICES = {'dlib': 'best', 'yunet': 'largest'}
#: Side of the backbone's patches in pixels that archives are made for.
PATCH_SIZE = 16
GOES_ON = 'The same command goes on where it stopped.'
EXIT_CODES = """\
Interrupted? The same command goes on where it stopped. Exit code: 0 all well; 1 stopped or wrong arguments;
2 done, but files could not be read or crashed (with --strict also: a listed source is not there or gave no face, or a
frame of a video gave none);
130 Ctrl-C; 143 terminated. Shares that end before others, and ranks of torchrun or srun, say 0 instead of 2.
"""


#: Exit code for wrong arguments: argparse's own 2 says here that some files failed.
WRONG_ARGUMENTS = 1


def frame_choice(text: str) -> FrameChoice:
    """Read ``32``, ``every:10`` or ``all``; raises argparse's error for anything else."""
    mode, _, value = ('count', '', text) if text.isdigit() else text.partition(':')
    modes = {'count': 'count', 'every': 'stride', 'all': 'all'}
    if mode not in modes or (mode == 'all') != (value == '') or not (value or '1').isdigit():
        raise argparse.ArgumentTypeError(f'expected a number, every:NUMBER or all, found {text!r}')
    try:
        return FrameChoice(modes[mode], int(value or 1))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_reader_option(group: Any) -> None:
    """Who reads videos."""
    group.add_argument(
        '--video-reader',
        choices=VIDEO_READERS,
        default='auto',
        help='pyav: PyAV (pip install av); auto: OpenCV, and PyAV where that cannot [auto]',
    )


def add_frames_option(group: Any) -> None:
    """Which frames of the videos."""
    group.add_argument(
        '--frames',
        type=frame_choice,
        default='32',
        metavar='N|every:N|all',
        help='of each video, spread over it [32]',
    )


def add_detector_options(group: Any) -> None:
    """Who finds the faces."""
    group.add_argument(
        '--detector',
        choices=presets(FACE_DETECTORS),
        help='who finds the faces; none: pictures are faces already [yunet]',
    )
    group.add_argument(
        '--detector-weights',
        metavar='FILE',
        help='weights of the detector; blazeface: a wheel [fetched once]',
    )


def add_face_options(
    group: Any, margin: float | None, size: int | None, min_face: int, faces: bool = True
) -> None:
    """Options about finding and cutting out faces.

    Args:
        group: Parser or group of it.
        margin: Default of ``--margin``; None where another option decides.
        size: Default of ``--size``; None for crops as large as they are cut out.
        min_face: Default of ``--min-face``.
        faces: Whether there is ``--faces``.
    """
    add_detector_options(group)
    if faces:
        group.add_argument(
            '--faces',
            choices=CHOICES,
            help='whom to cut out; in videos: which person [largest]',
        )
    group.add_argument(
        '--margin',
        type=float,
        default=margin,
        help=f'side of the square / longer side of the face [{margin or "see above"}]',
    )
    shown = 'as cut out' if size is None else size
    group.add_argument('--size', type=int, default=size, help=f'side of the crops in pixels [{shown}]')
    group.add_argument(
        '--min-face',
        type=int,
        default=min_face,
        metavar='PIXELS',
        help=f'leave smaller faces out [{min_face}]',
    )
    group.add_argument(
        '--upright',
        action='store_true',
        help="turn what lies on its side or upside down [leave it out, with the status 'turned']",
    )


def add_execution_options(parser: argparse.ArgumentParser) -> None:
    """Options that change how it is computed, never the result."""
    how = parser.add_argument_group('how to work (the result is the same)')
    how.add_argument(
        '--workers', type=int, metavar='N', help='processes; 0: none but this one [one for each core]'
    )
    how.add_argument(
        '--device', default='auto', help='auto, cpu, cuda, cuda:N; workers share several GPUs [auto]'
    )
    how.add_argument('--batch-size', type=int, default=16, help='crops that are parsed together [16]')
    how.add_argument(
        '--timeout',
        type=float,
        default=900,
        metavar='SECONDS',
        help='silence after which a file is given up [900]',
    )
    how.add_argument(
        '--num-shards',
        type=int,
        metavar='N',
        help='share the work among N commands, machines ... [ranks of torchrun, SLURM]',
    )
    how.add_argument('--shard', type=int, metavar='I', help='number of this command, 0 .. N-1')
    how.add_argument(
        '--engine',
        choices=ENGINES,
        default='processes',
        help='ray: the machines of a Ray cluster [processes]',
    )
    how.add_argument(
        '--strict',
        action='store_true',
        help='exit code 2 also where a source or a frame of a video gave no face, or a listed one is not there',
    )


def detector_of(args: argparse.Namespace, default: dict[str, Any], weights: str | None) -> dict[str, Any]:
    """Config of the detector that the options name.

    Raises:
        ValueError: Weights for one that has none.
    """
    detector = presets(FACE_DETECTORS)[args.detector] if args.detector else dict(default)
    return with_weights('detector', FACE_DETECTORS, detector, weights)


def with_weights(option: str, registry: Registry, component: dict | None, weights: str | None) -> Any:
    """A component's config with the weights of ``--{option}-weights``.

    Raises:
        ValueError: It has none.
    """
    if weights is None:
        return component
    # one of own code, which is not imported yet, is taken at its word
    kind = None if component is None else registry.module_dict.get(component['type'])
    if component is None or (kind is not None and 'weights' not in inspect.signature(kind).parameters):
        raise ValueError(f'--{option}-weights: this {option} has no weights.')
    return {**component, 'weights': weights}


def archive_format(args: argparse.Namespace) -> dict[str, Any]:
    """Config of the writer of archives that the options name.

    Raises:
        ValueError: ``--patch-size`` is out of range.
    """
    patch_size = PATCH_SIZE if args.patch_size is None else args.patch_size
    if patch_size < 1:
        raise ValueError(f'--patch-size must be 1 or more, found {patch_size}.')
    return dict(
        type='archive',
        image_format=args.image_format or 'jpeg',
        patch_size=patch_size,
        quality=args.quality,
        chroma=args.chroma,
    )


def execution_of(args: argparse.Namespace, imports: tuple[str, ...] = ()) -> Execution:
    """How to compute, from the options of :func:`add_execution_options`."""
    return Execution(args.workers, args.device, args.batch_size, args.timeout, imports)


def share_of(args: argparse.Namespace) -> Share:
    """The share of this command: its options, else the rank that torchrun or SLURM gave it.

    Raises:
        ValueError: One of the two options without the other, or a number out of range.
    """
    if (args.shard is None) != (args.num_shards is None):
        raise ValueError('--shard and --num-shards belong together.')
    share = Share.from_environment(os.environ) if args.shard is None else Share(args.shard, args.num_shards)
    if share.count > 1:
        print(f'this command is share {share.index} of 0 .. {share.count - 1}.', file=sys.stderr)
    return share


def check_place(source: str, out: str) -> None:
    """The output must lie beside the source, not in it: the next start would take it for a source.

    Raises:
        ValueError: It does not.
    """
    inside, outer = Path(os.path.realpath(out)), Path(os.path.realpath(source))
    if inside == outer or outer in inside.parents:
        raise ValueError(f'the output {out} lies in the source {source}: name a folder beside it.')


def labelled_settings(
    args: argparse.Namespace, detector: str = 'YuNet', margin: float = CROP_MARGIN, **more: Any
) -> Settings:
    """Of the crops of a labelled set: files without maps.

    Args:
        args: The options.
        detector: The detector where the options name none.
        margin: The margin where the options name none.
        **more: Further fields of :class:`~fsfm_mm.preparation.settings.Settings`.
    """
    finder = detector_of(args, dict(type=detector), args.detector_weights)
    given = dict(
        detector=finder,
        parser=None,
        format=dict(type='folders', image_folder=''),
        margin=margin if args.margin is None else args.margin,
        size=args.size,
        min_face=args.min_face,
        chunk_size=64,
        upright=args.upright,
        video_reader=args.video_reader,
    )
    return Settings(**{**given, **more})


def detector_name(detector: dict[str, Any]) -> str:
    """Name on the command line of the detector that a config is of, else its type."""
    return next(
        (name for name, config in presets(FACE_DETECTORS).items() if config['type'] == detector['type']),
        detector['type'],
    )


def has_dlib() -> bool:
    """Whether dlib is installed."""
    return importlib.util.find_spec('dlib') is not None


def add_crops_option(group: Any, default: str) -> None:
    """Whether crops are the published ones; ``default`` is said in the help."""
    group.add_argument(
        '--crops',
        choices=CROPS,
        help="published: in each frame the best face of dlib's detector times 1.3; where dlib is not installed the "
        f"largest of YuNet's times {PUBLISHED_MARGINS['yunet']}, which comes nearest. ours: the largest person of "
        f"the video, YuNet's face times {CROP_MARGIN} [{default}]",
    )


def crop_settings(args: argparse.Namespace) -> Settings:
    """Of the crops that ``--crops`` names.

    Raises:
        ValueError: Another option contradicts the published crops.
    """
    if args.crops == 'ours' or args.detector == 'none':
        return labelled_settings(args)
    name = published_detector(args)
    detector, choice = presets(FACE_DETECTORS)[name]['type'], PUBLISHED_CHOICES[name]
    return labelled_settings(args, detector, PUBLISHED_MARGINS[name], choice=choice, follow=False)


def published_detector(args: argparse.Namespace) -> str:
    """Name of the detector of the published crops.

    Raises:
        ValueError: Another option contradicts the published crops.
    """
    # weights are YuNet's
    name = args.detector or ('dlib' if args.detector_weights is None and has_dlib() else 'yunet')
    if name not in PUBLISHED_MARGINS:
        raise ValueError(
            f'--crops published knows the margins of {" and ".join(PUBLISHED_MARGINS)}, not of {name}: take '
            '--crops ours with it.'
        )
    if args.margin not in (None, PUBLISHED_MARGINS[name]):
        raise ValueError(
            f'--crops published has the margin {PUBLISHED_MARGINS[name]} with {name}, not {args.margin}: take '
            '--crops ours with it.'
        )
    return name


def tell_outcome(out: str, outcome: Outcome, note: str = '') -> None:
    """Print the summary of a run.

    Args:
        out: Folder of the output.
        outcome: What has become of it.
        note: Said beside the number of faces.
    """
    if outcome.repeated:
        say(f'{out} is complete already; nothing was changed.')
    print(summary(Path(out), outcome.tally, note))
    if not outcome.complete:
        print(
            'This share is done; the one that ends last writes the manifest. Start any share again if in doubt.'
        )


def exit_code(outcome: Outcome, strict: bool, lacking: int = 0) -> int:
    """2 where files failed, nothing came out, or (strict) a source or a frame of a video gave no face; else 0.

    Strict counts listed sources that are not there, and what else is ``lacking``, as well.

    A share says 0 as long as others are at work, and a rank always: a launcher that sees another code ends the
    other ranks, so one unreadable file would stop the run whenever it is started.
    """
    if not outcome.complete or Share.from_environment(os.environ).count > 1:
        return 0
    faces = outcome.tally.statuses['ok']
    barren = sum(count for status, count in outcome.tally.statuses.items() if status != 'ok')
    failed = outcome.tally.failures or not faces or (strict and (barren or lacking))
    return 2 if failed else 0


def _terminate(*_: object) -> None:
    raise SystemExit(143)


def guarded(name: str, body: Callable[[], int]) -> int:
    """Run a command's body; what stops it becomes one sentence and an exit code.

    Args:
        name: Name of the command, for messages.
        body: Returns the exit code.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return body()
    except (ValueError, ConnectionError) as error:
        sys.stderr.write(f'{name}: {printable(str(error))}\n')
    except StoppedError as error:
        sys.stderr.write(
            f'{name}: stopped: {printable(str(error))}. Once that is mended the same command goes on where it '
            'stopped.\n'
        )
    except KeyboardInterrupt:
        sys.stderr.write(f'\ninterrupted. {GOES_ON}\n')
        return 130
    except SystemExit:
        sys.stderr.write(f'terminated. {GOES_ON}\n')
        raise
    return 1
