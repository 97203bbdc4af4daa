"""Which parsing map belongs to which picture, by their names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fsfm_mm.files.listing import MAP_EXTENSIONS, by_stem, list_files
from fsfm_mm.preparation.sources.finding import tell_link
from fsfm_mm.preparation.sources.items import Item
from fsfm_mm.text import few, printable


@dataclass
class Pairs:
    """Pictures with their maps.

    Attributes:
        items: The pictures, in their order; those without a map, too.
        without_map: Names of the pictures that have none.
        without_picture: Paths, relative to the folder, of maps (of parts: the first) that no picture has.
    """

    items: list[Item] = field(default_factory=list)
    without_map: list[str] = field(default_factory=list)
    without_picture: list[str] = field(default_factory=list)


@dataclass
class _Map:
    """One map: a file, or the files of its parts, by the part's number; relative to the folder."""

    file: str = ''
    parts: dict[int, str] = field(default_factory=dict)

    @property
    def first(self) -> str:
        return self.file or self.parts[min(self.parts)]


def pair_maps(items: Sequence[Item], folder: str, class_names: Sequence[str]) -> Pairs:
    """Give each picture its map.

    A map is ``.npy`` or ``.png``: one file of numbers, ``NAME.png``, or one for each part, ``NAME_skin.png``. It has
    the picture's path below its source, or the picture's name alone, of a number with or without leading zeros
    (``0.jpg``, ``00000_skin.png``); of several of one name the one that lies nearest to the picture is taken.
    Pictures that lie in the folder of the maps are maps, unless that folder holds the whole source.

    Args:
        items: Sources, see :func:`~fsfm_mm.preparation.sources.finding.find_items`.
        folder: Folder of maps.
        class_names: Names of the label set's classes, which files of parts end in; empty where it has none.

    Raises:
        ValueError: A source is a video or the folder itself, there are no maps or none of a picture, a part is none
            of the classes, or it is open which map belongs to a picture.
    """
    pictures, own = _pictures(items, folder)
    names = {_name(os.path.splitext(item.source)[0]) for item in pictures}
    maps = _maps(folder, own, names, class_names)
    found = _found(pictures, maps, os.path.realpath(folder))
    if not found:
        some = few([entry.first for entry in maps.values()], 2)
        raise ValueError(
            f'{printable(folder)}: none of its {len(maps)} maps ({some}) has the name of a picture '
            f'({few([item.source for item in pictures], 2)}).'
        )
    pairs = Pairs()
    for item in pictures:
        if item.key not in found:
            pairs.without_map.append(item.source)
            pairs.items.append(item)
            continue
        entry = maps[found[item.key]]
        parts = tuple((number, os.path.join(folder, file)) for number, file in sorted(entry.parts.items()))
        file = os.path.join(folder, entry.file) if entry.file else None
        pairs.items.append(replace(item, map_path=file, map_parts=parts))
    used = set(found.values())
    pairs.without_picture = [entry.first for key, entry in maps.items() if key not in used]
    return pairs


def _pictures(items: Sequence[Item], folder: str) -> tuple[list[Item], set[str]]:
    """The items that are pictures, not maps, and the true paths of those of them that lie in the folder of maps."""
    inside = os.path.join(os.path.realpath(folder), '')
    roots: dict[int, str] = {}
    pictures, own = [], set()
    for item in items:
        root = roots.get(item.root)
        if root is None:
            root = roots[item.root] = os.path.realpath(item.path[: -len(item.source)] or '.')
            if os.path.join(root, '') == inside:
                raise ValueError(
                    f'--maps {printable(folder)} is the folder of the pictures: name the one of the maps, or as '
                    'sources the folders below it that hold the pictures.'
                )
        path = os.path.join(root, item.source)
        if path.startswith(inside):
            if not root.startswith(inside):
                continue
            own.add(path)
        if item.frames is not None:
            raise ValueError(f'{printable(item.path)} is a video: --maps is for pictures.')
        pictures.append(item)
    if not pictures:
        raise ValueError(
            f'all pictures of the sources lie in --maps {printable(folder)}: where are the faces?'
        )
    return pictures, own


def _maps(folder: str, own: set[str], names: set[str], class_names: Sequence[str]) -> dict[str, _Map]:
    """The maps by their relative path without ending, of parts without the part's name."""
    true = os.path.realpath(folder)
    files = [f for f in list_files(folder, MAP_EXTENSIONS, tell_link) if os.path.join(true, f) not in own]
    if not files:
        raise ValueError(f'--maps {printable(folder)} holds no maps ({" ".join(MAP_EXTENSIONS)}).')
    ending = re.compile(f'(.+)_({"|".join(map(re.escape, class_names))})')
    numbers = {name: number for number, name in enumerate(class_names)}
    maps: dict[str, _Map] = {}
    with_parts: set[str] = set()
    for stem, file in by_stem(files, folder).items():
        part = ending.fullmatch(stem) if class_names and _name(stem) not in names else None
        entry = maps.setdefault(part[1] if part else stem, _Map())
        if part:
            entry.parts[numbers[part[2]]] = file
            with_parts.add(part[1])
        else:
            entry.file = file
        if entry.file and entry.parts:
            raise ValueError(
                f'{printable(folder)}: {entry.file} and {entry.parts[min(entry.parts)]} are a map and a part of the '
                'same name, so which one is meant is open: remove or move one.'
            )
    for stem, entry in maps.items():
        heads = {stem[: place.start()] for place in re.finditer('_', stem)}
        if entry.file and heads & with_parts:
            raise ValueError(
                f'{printable(os.path.join(folder, entry.file))} is a part that --labels does not name; it names '
                f'{few(class_names, 4)}.'
            )
    return maps


def _found(pictures: Sequence[Item], maps: dict[str, _Map], folder: str) -> dict[str, str]:
    """Key of a picture -> key of its map, of those that have one."""
    found: dict[str, str] = {}
    owners: dict[str, Item] = {}

    def take(item: Item, key: str) -> None:
        other = owners.setdefault(key, item)
        if other is not item:
            raise ValueError(
                f'{printable(other.path)} and {printable(item.path)} would both get the map {maps[key].first}: name '
                'one source with its own folder of maps at a time.'
            )
        found[item.key] = key

    for item in pictures:
        for key in (item.key, os.path.splitext(item.source)[0]):
            if key in maps:
                take(item, key)
                break
    rest: dict[str, list[str]] = defaultdict(list)
    for key in maps.keys() - owners.keys():
        rest[_name(key)].append(key)
    for item in pictures:
        candidates = rest.get(_name(os.path.splitext(item.source)[0]))
        if item.key not in found and candidates:
            take(item, _nearest(item, candidates, maps, folder))
    return found


def _nearest(item: Item, keys: Sequence[str], maps: dict[str, _Map], folder: str) -> str:
    """The map whose path has most in common with the picture's."""
    place = os.path.realpath(item.path).split('/')

    def common(key: str) -> int:
        both = zip(place, os.path.join(folder, key).split('/'))
        return next((n for n, (one, other) in enumerate(both) if one != other), 0)

    first, *others = sorted(keys, key=lambda key: (-common(key), key))
    if others and common(others[0]) == common(first):
        raise ValueError(
            f'{maps[first].first} and {maps[others[0]].first} could both be the map of {printable(item.path)}: name '
            'a folder with only one of them.'
        )
    return first


def _name(path: str) -> str:
    """The name that a picture and its map share: without folders, of a number without leading zeros."""
    name = path.rpartition('/')[2]
    return str(int(name)) if name.isascii() and name.isdecimal() else name
