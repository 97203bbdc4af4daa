"""Labelled face crops in folders: ``data_root/split/class/...``."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from typing import Any

from fsfm_mm.datasets.base import roots_of
from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.held_out import is_held_out
from fsfm_mm.datasets.labelled.names import class_of_folder, one_of, quoted, video_of
from fsfm_mm.datasets.listing import list_folders, list_samples
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, by_stem
from fsfm_mm.registry import DATASETS


@DATASETS.register_module()
class LabelledFaces(LabelledDataset):
    """Face crops ``data_root/split/<class>*/**/*.{png,jpg,jpeg,webp,bmp}``.

    Every folder whose name begins with a class name counts for that class: ``real``, ``real_youtube``; see
    :func:`~fsfm_mm.datasets.labelled.names.class_of_folder`. A frame is named ``{video}_frame_{index}.png``; its
    ``video_id`` is its path below the split up to ``_frame_``, class folder included.

    Args:
        data_root: Folder of the data set, or several, whose samples follow one another.
        split: Folder of the split, such as 'train', 'val' or 'test'; '' where the class folders lie in
            ``data_root`` itself.
        domain: Name of the domain, one for each ``data_root``; by default the name of its last folder.
        video_by: 'name' as above, or 'folder' where each video has a folder of its own.
        held_out: For sets without a folder 'val': this share of the videos of 'train' is the split 'val', and is not in
            'train' (:func:`~fsfm_mm.datasets.labelled.held_out.is_held_out`). Give it to both. A folder 'val' that is
            there wins.
        ignore: Names or patterns (``*``) of things in the split's folder that are no class folders.
        **kwargs: ``classes``, ``positive_class``, ``max_frames_per_video``, ``empty_classes`` of
            :class:`~fsfm_mm.datasets.labelled.base.LabelledDataset`; ``pipeline``, ``on_broken`` ...

    Raises:
        ValueError: The split is missing, a folder fits no class, images lie outside the class folders, a
            class is empty, or two roots have a video of the same domain and name.
    """

    def __init__(
        self,
        data_root: str | Sequence[str],
        split: str = 'train',
        domain: str | Sequence[str] | None = None,
        video_by: str = 'name',
        held_out: float | None = None,
        ignore: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        self.data_roots = roots_of(data_root)
        self.domains = _domains(self.data_roots, domain)
        one_of('video_by', video_by, ('name', 'folder'))
        if held_out is not None and not 0 < held_out < 1:
            raise ValueError(f'held_out must be a share between 0 and 1, but is {held_out}.')
        self.split, self.video_by, self.ignore = split, video_by, tuple(ignore)
        self.held_out = held_out if split in ('train', 'val') else None
        super().__init__(**kwargs)

    def source(self) -> str:
        """Return the folders of the split."""
        return ', '.join(os.path.join(root, self._folder(root)) for root in self.data_roots)

    def _folder(self, root: str) -> str:
        """Where the split's pictures lie."""
        return 'train' if self._is_split_off(root) else self.split

    def _is_split_off(self, root: str) -> bool:
        return self.held_out is not None and not os.path.isdir(os.path.join(root, 'val'))

    def list_entries(self) -> list[dict]:
        """List the images of all roots, sorted within each."""
        entries: list[dict] = []
        owner: dict[tuple[str, str], str] = {}
        for root, domain in zip(self.data_roots, self.domains):
            found = self._root_entries(root, domain)
            for entry in found:
                other = owner.setdefault((domain, entry['video_id']), root)
                if other != root:
                    raise ValueError(
                        f"{other} and {root} both have a video '{entry['video_id']}' in the domain '{domain}': "
                        'give each data_root a domain of its own.'
                    )
            entries += found
        return entries

    def _root_entries(self, root: str, domain: str) -> list[dict]:
        base = os.path.join(root, self._folder(root))
        entries = [
            {
                'img_path': os.path.join(base, folder, image),
                'class_name': name,
                'video_id': video_of(f'{folder}/{image}', self.video_by),
                'domain': domain,
            }
            for folder, name in self._class_folders(root).items()
            for image in self._images(os.path.join(base, folder))
        ]
        if not entries:
            raise ValueError(f'{base}: no images ({", ".join(IMAGE_EXTENSIONS)}) in its class folders.')
        if self.held_out is None or not self._is_split_off(root):
            return entries
        wanted = self.split == 'val'
        held = is_held_out(entries, self.held_out)
        return [entry for entry, is_held in zip(entries, held) if is_held == wanted]

    @staticmethod
    def _images(folder: str) -> list[str]:
        return list(by_stem(list_samples(folder, IMAGE_EXTENSIONS), folder).values())

    def _class_folders(self, root: str) -> dict[str, str]:
        """Folder in the split -> its class."""
        base = os.path.join(root, self._folder(root))
        if not os.path.isdir(base):
            there = quoted(list_folders(root)) or 'nothing' if os.path.isdir(root) else 'no such data_root'
            raise ValueError(
                f"{base}: no such folder; expected the split '{self._folder(root)}' ({there} found)."
            )
        names = [name for name in sorted(os.listdir(base)) if not self._ignored(name)]
        stray = [name for name in names if name.lower().endswith(IMAGE_EXTENSIONS)]
        folders = [name for name in list_folders(base) if not self._ignored(name)]
        found = {name: class_of_folder(name, self.classes) for name in folders}
        unknown = [name for name, class_name in found.items() if class_name is None]
        if unknown:
            raise ValueError(
                f'{base}: {quoted(unknown)} fits no class; expected folders whose names begin with '
                f'{quoted(self.classes)} (such as {self.classes[0]}_x), found {quoted(folders)}; '
                'ignore=[...] leaves folders out.'
            )
        if stray:
            raise ValueError(
                f'{base}: images outside the class folders ({quoted(stray)}); expected them in folders '
                f'whose names begin with {quoted(self.classes)}.'
            )
        return {name: class_name for name, class_name in found.items() if class_name is not None}

    def _ignored(self, name: str) -> bool:
        return name.startswith('.') or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ignore)


def _domains(roots: Sequence[str], domain: str | Sequence[str] | None) -> list[str]:
    """Domain of each root."""
    if domain is None:
        names = [default_domain(root) for root in roots]
        if len(set(names)) < len(names):
            raise ValueError(
                f'The folders {quoted(roots)} would have the domains {quoted(names)}: give them different '
                'ones with domain=[...].'
            )
        return names
    names = [domain] if isinstance(domain, str) else list(domain)
    if len(names) != len(roots):
        raise ValueError(
            f'domain must name one domain for each data_root ({len(roots)}), but has {len(names)}.'
        )
    return names


def default_domain(root: str) -> str:
    """Return the name of a folder, which is the default name of its domain."""
    return os.path.basename(os.path.abspath(root))
