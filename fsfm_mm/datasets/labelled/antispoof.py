"""Face anti-spoofing sets in the layout of the published leave-one-domain-out protocols (MCIO, WCS)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.lists import without_missing
from fsfm_mm.datasets.labelled.names import (
    PROTOCOLS,
    inside,
    one_of,
    quoted,
    read_lines,
    refuse_other_class,
    video_of_frame,
)
from fsfm_mm.datasets.listing import list_samples
from fsfm_mm.files.broken import broken
from fsfm_mm.files.listing import IMAGE_EXTENSIONS
from fsfm_mm.registry import DATASETS


@DATASETS.register_module()
class AntiSpoofDataset(LabelledDataset):
    """Anti-spoofing domains, from lists or from folders.

    Layout: ``data_root/frame/<domain>/{train,test}/{real,fake}/**`` and the lists
    ``data_root/txt/<domain>_{real,fake}_{train,test,shot}.txt``, one relative path a line (relative to
    ``data_root/frame``, ``data_root`` or ``data_root/frame/<domain>``; the first of these where the list's first
    file exists). In MCIO a list names the frame 0 of each video, and frame 1 is implied for testing; in WCS
    a video has ten frames whose names end in 00 to 09.

    Args:
        data_root: Folder of the protocol, such as ``data/MCIO``.
        domains: Its domains, such as ('casia', 'msu', 'replay').
        split: 'train', 'test' or 'shot'.
        protocol: 'MCIO', 'WCS' or 'image'; by default the name of ``data_root``'s last folder.
        extra_domains: More domains below ``data_root`` whose images stand for themselves, such as the
            CelebA-Spoof that published "0-shot" runs add for training.
        all_frames: Add the frames of a listed video that its list implies; by default for 'test' only.
        lists: False lists the folders instead of reading lists, with all frames in them.
        missing: 'error' or 'skip' for listed files that are not there.
        **kwargs: See :class:`~fsfm_mm.datasets.labelled.base.LabelledDataset`.

    Raises:
        ValueError: An unknown protocol, a missing list or folder, a name that does not fit the protocol, a
            path in a folder of the other class, missing files, or a domain without real or fake samples.
    """

    def __init__(
        self,
        data_root: str,
        domains: str | Sequence[str],
        split: str,
        protocol: str | None = None,
        extra_domains: Sequence[str] = (),
        all_frames: bool | None = None,
        lists: bool = True,
        missing: str = 'error',
        **kwargs: Any,
    ) -> None:
        self.root = os.fspath(data_root)
        protocol = protocol or os.path.basename(os.path.abspath(self.root))
        one_of('protocol (by default the name of data_root)', protocol, tuple(PROTOCOLS))
        one_of('split', split, ('train', 'test', 'shot'))
        one_of('missing', missing, ('error', 'skip'))
        if split == 'shot' and not lists:
            raise ValueError("The split 'shot' exists as lists only, so lists=False does not go with it.")
        own = [domains] if isinstance(domains, str) else list(domains)
        self.protocols = dict.fromkeys(own, protocol) | dict.fromkeys(extra_domains, 'image')
        if not own or len(self.protocols) < len(own) + len(tuple(extra_domains)):
            raise ValueError(
                'domains and extra_domains must name different domains, one at least, but are '
                f'{own} and {list(extra_domains)}.'
            )
        self.split, self.lists, self.missing = split, lists, missing
        self.all_frames = split == 'test' if all_frames is None else all_frames
        super().__init__(**kwargs)

    def source(self) -> str:
        """Return folder and split."""
        return f'{self.root} ({self.split})'

    @property
    def crop_folders(self) -> list[str]:
        """Where each domain was prepared, see :func:`~fsfm_mm.datasets.labelled.crops.crop_facts`."""
        return [os.path.join(self.root, 'frame', domain) for domain in self.protocols]

    def list_entries(self) -> list[dict]:
        """List the samples, domain by domain and class by class."""
        entries: list[dict] = []
        for domain in self.protocols:
            for name in self.classes:
                listed = self._from_list if self.lists else self._from_folder
                entries += listed(domain, name)
        return entries

    def _from_list(self, domain: str, name: str) -> list[dict]:
        file = os.path.join(self.root, 'txt', f'{domain}_{name}_{self.split}.txt')
        if not os.path.isfile(file):
            found = sorted(f for f in _names(os.path.dirname(file)) if f.endswith('.txt'))
            raise ValueError(
                f'{file}: no such list ({quoted(found) or "no lists"} found); lists=False reads the folders.'
            )
        lines = [(f'{file}:{number}', line.lstrip('/')) for number, line in read_lines(file)]
        base = self._base(domain, lines[0][1])
        paths: dict[str, str] = {}
        for place, line in lines:
            path = inside(base, line, place)
            if path in paths:
                raise broken(place, f": '{path}' is listed a second time; the first is at {paths[path]}.")
            paths[path] = place
        entries = {
            e['img_path']: e
            for path, place in paths.items()
            for e in self._frames(base, path, domain, name, place)
        }
        return without_missing(list(entries.values()), self.missing, file)

    def _base(self, domain: str, first: str) -> str:
        """Folder to which a list's paths are relative."""
        frame = os.path.join(self.root, 'frame')
        bases = (frame, self.root, os.path.join(frame, domain))
        return next((base for base in bases if os.path.isfile(os.path.join(base, first))), frame)

    def _frames(self, base: str, path: str, domain: str, name: str, place: str) -> Iterator[dict]:
        """Entries of a listed file: itself and, with ``all_frames``, the other frames of its video."""
        folder, file = os.path.split(path)
        stem, extension = os.path.splitext(file)
        video = video_of_frame(stem, self.protocols[domain], place)
        refuse_other_class(path, name, self.classes, place, f"the list is of '{name}'")
        frames = PROTOCOLS[self.protocols[domain]].frames if self.all_frames else ()
        stems = [f'{video}{frame}' for frame in frames]
        for frame_stem in dict.fromkeys([stem, *stems]):
            img_path = os.path.join(base, folder, frame_stem + extension)
            yield self._entry(img_path, domain, name, f'{folder}/{video}' if folder else video)

    @staticmethod
    def _entry(img_path: str, domain: str, name: str, video: str) -> dict:
        # Folders below the domain belong to the id: CASIA-FASD has other people of the same names in
        # train and test. What is above depends on where a list's paths begin, so it does not.
        parts = re.sub(r'(_frame|[_-])$', '', video).split('/')
        for above in ('frame', domain):
            parts = parts[1:] if parts[0] == above else parts
        if name not in parts[:-1]:
            parts = [name, *parts]
        return {'img_path': img_path, 'class_name': name, 'video_id': '/'.join(parts), 'domain': domain}

    def _from_folder(self, domain: str, name: str) -> list[dict]:
        folder = os.path.join(self.root, 'frame', domain, self.split, name)
        if not os.path.isdir(folder):
            there = quoted(sorted(_names(os.path.join(self.root, 'frame'))))
            raise ValueError(
                f'{folder}: no such folder; expected frame/<domain>/<split>/<class> (domains: {there}).'
            )
        entries = []
        for path in list_samples(folder, IMAGE_EXTENSIONS):
            parent, _, file = path.rpartition('/')
            stem = os.path.splitext(file)[0]
            video = video_of_frame(stem, self.protocols[domain], os.path.join(folder, path))
            full = f'{parent}/{video}' if parent else video
            entries.append(
                self._entry(os.path.join(folder, path), domain, name, f'{self.split}/{name}/{full}')
            )
        return entries


def _names(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []
