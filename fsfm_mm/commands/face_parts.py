"""Who finds faces and who labels them: the options that name a parser, and the configs they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import Config

from fsfm_mm.commands.preparing import detector_of, with_weights
from fsfm_mm.preparation.settings import presets
from fsfm_mm.registry import FACE_DETECTORS, FACE_PARSERS

#: Parsers by their names on the command line.
PARSERS = presets(FACE_PARSERS)


def add_parser_options(group: Any) -> None:
    """Who labels the pixels."""
    group.add_argument(
        '--parser',
        metavar='NAME|FILE',
        help=f'who labels the pixels: {", ".join(PARSERS)}, none, or a .py or .json file '
        "with the config of any segmenter, parser = dict(type='SegmenterParser', ...); mesh needs packages only and is "
        'approximate, template has no weights of its own and is rough [farl]',
    )
    group.add_argument(
        '--parser-weights', metavar='FILE', help='weights of the parser; mesh: a wheel [fetched once]'
    )


def config_from_file(path: str) -> Config:
    """The config of a file that an option names in the place of a parser.

    Raises:
        ValueError: It is not there, or no config.
    """
    if not Path(path).is_file():
        known = ', '.join([*PARSERS, 'none'])
        raise ValueError(f'{path} is neither a file nor one of {known}.')
    from fsfm_mm.settings.reading import read_config

    try:
        return read_config(path)
    except ValueError as error:
        raise ValueError(f'{path} is no .py or .json file with a config: {error}.') from error


def components(
    args: argparse.Namespace, instead: dict | None = None
) -> tuple[dict, dict | None, tuple[str, ...], dict | None]:
    """Configs of detector and parser, modules to import for them, and who finds landmarks inside the crops.

    The parser's landmarks are looked for inside the crops, by YuNet, where the detector gives none, as the published
    maps came about, whose detector is dlib. ``--detector-weights`` are YuNet's then.

    Args:
        args: The options.
        instead: Config of the parser that is taken in the place of the one which they name.

    Raises:
        ValueError: A file is missing or holds no such config, or weights are given to what has none.
    """
    config = config_from_file(args.config).to_dict() if args.config else {}
    parser: dict | None = config.get('parser', PARSERS['farl'])
    if args.parser:
        parser = None if args.parser == 'none' else PARSERS.get(args.parser)
        if parser is None and args.parser != 'none':
            config = {**config, **config_from_file(args.parser).to_dict()}
            parser = config.get('parser', config)
    parser = instead or parser
    detector = config.get('detector', dict(type='YuNet'))
    for name, part in (('detector', detector), ('parser', parser)):
        if part is not None and 'type' not in part:
            raise ValueError(f"the {name}'s config must be a dict with a type, found {part!r}.")
    if needs_landmarks(parser) and gives_no_landmarks(args, detector):
        inside = with_weights('detector', FACE_DETECTORS, dict(type='YuNet'), args.detector_weights)
        detector = detector_of(args, detector, None)
    else:
        inside, detector = None, detector_of(args, detector, args.detector_weights)
    parser = with_weights('parser', FACE_PARSERS, parser, args.parser_weights)
    imports = config.get('custom_imports', {}).get('imports', ())
    return detector, parser, (imports,) if isinstance(imports, str) else tuple(imports), inside


def needs_landmarks(parser: dict | None) -> bool:
    """Whether a parser's config is of one that gives no map without landmarks."""
    kind = None if parser is None else FACE_PARSERS.module_dict.get(parser['type'])
    return getattr(kind, 'needs_landmarks', False) and not (parser or {}).get('default_landmarks', False)


def gives_no_landmarks(args: argparse.Namespace, detector: dict) -> bool:
    """Whether the chosen detector is known to give none."""
    kind = FACE_DETECTORS.module_dict.get(detector_of(args, detector, None)['type'])
    return getattr(kind, 'gives_landmarks', None) is False
