"""The published deepfake sets, one row a set: what is in them, and what their names and folders mean.

A new set is a rule in :mod:`~fsfm_mm.datasets.labelled.published_rules` and a row here. Training
(:class:`~fsfm_mm.datasets.NamedForgerySet`), preparation and the checks of data read the rows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fsfm_mm.datasets.labelled import published_rules as rules
from fsfm_mm.datasets.labelled import published_rules_further as further
from fsfm_mm.datasets.labelled.names import SPLITS, one_of, quoted
from fsfm_mm.datasets.labelled.published_rules import MANIPULATIONS, Video


@dataclass(frozen=True)
class PublishedSet:
    """A published set.

    Attributes:
        rule: Function (root, split, **options) -> videos; called by :meth:`list_videos`.
        splits: The splits that the set has.
        counts: Split -> published number of videos, for each folder of ``count_by``.
        count_by: How many leading folders of a video's name make a group that is counted; 0 counts all.
        listed: Splits whose videos a list of the set names, one by one.
        groups: Names that occur in the class folders of a whole set; empty where folders are not compared.
        identity: Pattern of a video's own name (without folders), each group a person; None where names do not
            tell who is seen.
        folder: Function of a video's path and class -> class folder of its faces, 'real...' or 'fake...'.
        videos: Whether the set has videos; otherwise it has pictures.
        find: What finds the files of the source for the rule, as ``find``; None for a rule that takes none.
        crops: Whether its pictures are face crops already.
        below: Number of leading folders of a path that the name of a result leaves out; None for all of them.
        real_factor: Function of the options -> frames of a real video for each of a fake one.
        variants: What data are compared with is named NAME-VARIANT, each with the options of the rule; empty for
            NAME alone.
        fixed: Options of the rule that the set's name says; they cannot be given.
        part_of: The set of which this one leaves something out: faces that were prepared of it hold this one, too.
        leaves_out: Class folders of prepared faces that do not belong to it.
        mask: Function of a forged video's path -> path of the video that shows in white what was forged in it.
        tried: False where its layout is that of its documentation and was not tried on the set.
    """

    rule: Callable[..., list[Video]]
    splits: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    count_by: int = 0
    listed: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    identity: str | None = None
    folder: Callable[[str, str], str] = lambda path, name: name
    videos: bool = True
    find: rules.Finder | None = rules.find_originals
    crops: bool = False
    below: int | None = None
    real_factor: Callable[[Mapping[str, Any]], int] = lambda options: 1
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    part_of: str | None = None
    leaves_out: tuple[str, ...] = ()
    mask: Callable[[str], str] | None = None
    tried: bool = True

    def list_videos(self, root: str, split: str, options: Mapping[str, Any], **find: Any) -> list[Video]:
        """The videos of a split; ``options`` and ``find`` are the rule's."""
        return self.rule(root, split, **{**options, **self.fixed}, **find)


def _ffpp_folder(path: str, name: str) -> str:
    return 'real_youtube' if name == 'real' else f'fake_{path.split("/")[1]}'


def _ffpp_mask(path: str) -> str:
    # manipulated_sequences/NAME/masks/videos/000_003.mp4 is of all compressions
    return '/'.join([*path.split('/')[:2], 'masks/videos', path.rpartition('/')[2]])


def _celeb_folder(path: str, name: str) -> str:
    if path.startswith('YouTube-real/'):
        return 'real_youtube'
    parts = path.split('/')
    # Celeb-DF++ nests its manipulations: Celeb-synthesis/KIND/METHOD/...
    return '_'.join([name, *parts[1:-1]]) if name == 'fake' else name


def _preview_folder(path: str, name: str) -> str:
    # method_A and method_B may have swapped the same two people under one name
    return f'fake_{path.split("/")[0]}' if name == 'fake' and '/' in path else name


def _diff_folder(path: str, name: str) -> str:
    return 'real' if name == 'real' else f'fake_{path.split("/")[1]}'


def _fakeavceleb_folder(path: str, name: str) -> str:
    # real pictures with a forged voice apart from real ones
    return f'{name}_{path.split("/")[0].lower().replace("-", "_")}'


def _ffpp_real_factor(options: Mapping[str, Any]) -> int:
    chosen = options.get('manipulations', MANIPULATIONS)
    return 1 if isinstance(chosen, str) else len(set(chosen))


_CELEBDF = PublishedSet(
    rules.celebdf,
    ('train', 'test'),
    listed=('test',),
    folder=_celeb_folder,
    # id3_0001 and, forged, id3_id7_0001
    identity=r'id(\d+)(?:_id(\d+))?_\d+',
)
#: The published numbers on v2 leave YouTube-real out; options=dict(youtube_real=True) takes it in.
_CELEBDF_2 = replace(
    _CELEBDF, rule=functools.partial(rules.celebdf, youtube_real=False), leaves_out=('real_youtube',)
)
_DFD = PublishedSet(
    rules.dfd,
    ('test',),
    # 01__scene and, forged, 01_02__scene__NAME
    identity=r'(\d{2})(?:_(\d{2}))?__.+',
    mask=_ffpp_mask,
)

#: Name -> set.
PUBLISHED_SETS: dict[str, PublishedSet] = {
    'ffpp': PublishedSet(
        rules.ffpp,
        SPLITS,
        # so many videos of the originals and of each manipulation
        {'train': 720, 'val': 140, 'test': 140},
        count_by=2,
        listed=SPLITS,
        groups=MANIPULATIONS,
        # 012 shows person 012; 012_345 is the video of 012 with the face of 345
        identity=r'(\d{3})(?:_(\d{3}))?',
        folder=_ffpp_folder,
        mask=_ffpp_mask,
        # as many frames of a real video as of its manipulations together keep the classes even: 128 for four times
        # 32 in the published recipe
        real_factor=_ffpp_real_factor,
        variants={compression: {'compression': compression} for compression in ('raw', 'c23', 'c40')},
    ),
    # the published .97 is on raw videos: which ones is in the name, so that nobody takes the others unawares
    **{f'dfd_{c}': replace(_DFD, fixed={'compression': c}) for c in ('raw', 'c23')},
    'celebdf_v1': _CELEBDF,
    'celebdf_v2': _CELEBDF_2,
    # its own protocol counts YouTube-real (178 real test videos); FS-VFM's numbers leave it out
    'celebdf_pp': replace(_CELEBDF, fixed={'youtube_real': True}),
    'celebdf_pp_noyt': replace(_CELEBDF_2, fixed={'youtube_real': False}, part_of='celebdf_pp'),
    'dfdc': PublishedSet(rules.dfdc, ('train', 'test'), {'test': 5000}, listed=('train', 'test')),
    'dfdc_preview': PublishedSet(
        rules.dfdc_preview, ('train', 'test'), listed=('train', 'test'), folder=_preview_folder
    ),
    # real_test/TAR/real/VIDEO: the same number of a video in two tars is not the same video
    'wilddeepfake': PublishedSet(
        rules.wilddeepfake,
        ('train', 'test'),
        videos=False,
        find=rules.find_packed_pictures,
        crops=True,
        below=1,
    ),
    'diff': PublishedSet(rules.diff, ('val', 'test'), folder=_diff_folder, videos=False, find=None, below=2),
    # layouts from their documentation, not tried on the sets
    'ffiw': PublishedSet(
        further.ffiw, SPLITS, {'train': 8000, 'val': 250, 'test': 1738}, count_by=1, tried=False
    ),
    'uadfv': PublishedSet(further.uadfv, ('test',), {'test': 49}, count_by=1, tried=False),
    'fakeavceleb': PublishedSet(
        further.fakeavceleb, ('test',), folder=_fakeavceleb_folder, below=1, tried=False
    ),
    'deepfake_eval_2024': PublishedSet(
        further.deepfake_eval_2024, ('train', 'test'), listed=('train', 'test'), tried=False
    ),
}


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the rule of a set does not have.

    Args:
        name: Name of the set.
        options: Keyword arguments for its rule.

    Raises:
        ValueError: The set or an option is unknown.
    """
    one_of('name', name, tuple(PUBLISHED_SETS))
    row = PUBLISHED_SETS[name]
    known = [o for o in list(inspect.signature(row.rule).parameters)[2:] if o not in ('find', *row.fixed)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"'{name}' has no option {quoted(unknown)}; it has {quoted(known) or 'none'}.")
