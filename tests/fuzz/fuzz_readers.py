"""Every reader of files, with whole files to damage: what is written, how it is damaged, how it is read."""

import argparse
import io
import json
import random
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import mutations as damage
import numpy as np
import torch
from PIL import Image

from fsfm_mm.checkpoints import read_card
from fsfm_mm.checkpoints.pretrained import read_encoder
from fsfm_mm.datasets import ArchivedFaces, BrokenSampleError, FaceListDataset
from fsfm_mm.datasets.labelled import published_rules
from fsfm_mm.datasets.pretraining.archive_store import crc32_of
from fsfm_mm.datasets.pretraining.folders import LabelTable
from fsfm_mm.doctor.manifest import read_manifest
from fsfm_mm.doctor.report import Report
from fsfm_mm.doctor.stored import open_stored
from fsfm_mm.evaluation.score_table import SampleScore, ScoreTable
from fsfm_mm.files.checkpoint_files import check_whole, load_checkpoint_file, save_checkpoint_file
from fsfm_mm.files.pictures import read_image, read_parsing_map
from fsfm_mm.files.prepared import read_summary
from fsfm_mm.preparation.cutting.reading import can_read, read_picture
from fsfm_mm.preparation.manifest import FaceRecord, manifest_records
from fsfm_mm.preparation.writers.archive import ArchiveWriter
from fsfm_mm.preparation.writers.base import PreparedFace
from fsfm_mm.statistics import load_mean_std
from fsfm_mm.visualization.loss_curve import read_scalars

Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Reader:
    """One of the readers.

    Attributes:
        write: Writes whole files into an empty folder.
        read: Reads them; gives the sentences that it told otherwise than by raising one.
        damages: Names of the files that are damaged, and how; a name may be there several times.
        seal: Makes the checksums right again that lie beside a damaged file.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], Iterable[str] | None]
    damages: tuple[tuple[str, Damage], ...]
    seal: Callable[[Path, str], None] = lambda folder, name: None


def _picture(seed: int, size: int = 32) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 60, (size, size, 3), dtype=np.uint8)
    noise[size // 4 :, size // 4 :] += 100
    return noise


def _labels(size: int = 32) -> np.ndarray:
    return (np.arange(size)[:, None] // 8 + np.arange(size) // 8).astype(np.uint8)


PICTURES = tuple(
    (f'x{ending}', damage.of_png if ending == '.png' else damage.of_bytes)
    for ending in ('.png', '.jpg', '.webp', '.bmp', '.png', '.jpg')
)


#: Of phones, where they are read.
PHONES = tuple(
    (f'x{ending}', damage.of_bytes)
    for ending, kind in (('.avif', 'AVIF'), ('.heic', 'HEIF'))
    if can_read(kind)
)


def _write_pictures(folder: Path) -> None:
    for name, _ in PICTURES:
        cv2.imwrite(str(folder / name), _picture(3))


def _write_photos(folder: Path) -> None:
    """With the kinds that only the preparation reads."""
    _write_pictures(folder)
    picture = Image.fromarray(_picture(4))
    picture.save(folder / 'x.gif')
    picture.save(folder / 'x.tiff', compression='tiff_lzw')
    picture.save(folder / 'exif.jpg', exif=_exif())
    for name, _ in PHONES:
        picture.save(folder / name, exif=_exif())


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _write_maps(folder: Path) -> None:
    np.save(folder / 'x.npy', _labels())
    picture = Image.fromarray(_labels(), 'P')
    picture.putpalette(list(range(256)) * 3)
    picture.save(folder / 'x.png')


def _read_table(folder: Path) -> None:
    table = LabelTable(str(folder / 'table.npy'))
    for row in range(len(table)) if len(table) < 10 else (0, len(table) - 1):
        table.row(row)


def _write_archive(image_format: str, patch_size: int | None = 8) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        writer, records = ArchiveWriter(image_format, patch_size=patch_size), []
        for chunk, keys in enumerate((('a', 'sub/b.c'), ('Zoë',))):
            faces = [
                PreparedFace(key, _picture(1), _labels(), FaceRecord(source=f'{key}.jpg')) for key in keys
            ]
            writer.write_chunk(folder, chunk, faces)
            records += [face.record for face in faces]
        writer.finish(folder, 2, records)

    return write


def _seal_archive(folder: Path, name: str) -> None:
    base, crc32 = Path(name).name, crc32_of(folder / name)
    if base.endswith(('.npy', '.txt')) and crc32 % 3:  # of two in three: the third is to be noticed by it
        header = json.loads((folder / 'archive/archive.json').read_text())
        header['crc32'][base] = crc32
        (folder / 'archive/archive.json').write_text(json.dumps(header))


def _read_archive(folder: Path) -> list[str]:
    told = []
    for options in (dict(), dict(read_maps=True), dict(need_maps=False)):
        try:
            dataset = ArchivedFaces(str(folder), pipeline=(), **options)
        except ValueError:
            if options == dict(need_maps=False):
                raise
            continue
        for index in range(len(dataset)):
            try:
                dataset[index]
            except BrokenSampleError as error:  # noqa: PERF203
                told.append(_whole(error, folder))
    source = open_stored(str(folder))
    told += [sentence for index in range(len(source.names)) for _, sentence in source.read(index).problems]
    ArchivedFaces(str(folder), pipeline=()).full_init()
    return told


def _whole(error: Exception, folder: Path) -> str:
    """What an error says; it must name a file."""
    assert str(folder) in str(error), f'no file is named: {error}'
    return str(error)


ARCHIVE = (
    ('archive/archive.json', damage.of_json),
    ('archive/archive.json', damage.of_json),
    ('archive/index.npy', damage.of_npy),
    ('archive/index.npy', damage.of_bytes),
    ('archive/labels.npy', damage.of_npy),
    ('archive/keys.txt', damage.of_bytes),
    ('archive/faces-000000.tar', damage.of_bytes),
)

CARD = dict(
    classes=['fake', 'real'],
    positive_class='real',
    mean=[0.5, 0.4, 0.3],
    std=[0.2, 0.2, 0.2],
    input_size=224,
    patch_size=16,
    num_heads=3,
    model=dict(type='ImageClassifier', backbone=dict(type='FusedAttentionViT', depth=1)),
    threshold=0.5,
    crop_margin=1.3,
    detector='retinaface',
    config='model = dict()',
    versions={'torch': '2'},
)


def _state() -> dict[str, torch.Tensor]:
    return {f'backbone.blocks.{i}.weight': torch.arange(6.0).reshape(2, 3) + i for i in range(2)}


def _checkpoint() -> dict:
    return {
        'state_dict': _state(),
        'card': CARD,
        'meta': {'epoch': 3, 'iter': 12, 'dataset_meta': {'classes': ('fake', 'real')}},
        'args': argparse.Namespace(lr=1e-3, betas=(0.9, 0.95)),
        'optimizer': {
            'state': {0: {'step': 1, 'array': np.arange(3)}},
            'param_groups': [{'lr': 0.1, 'params': [0]}],
        },
    }


def _write_checkpoint(name: str, as_zip: bool = True) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        torch.save(_checkpoint(), folder / name, _use_new_zipfile_serialization=as_zip)

    return write


def _write_safetensors(folder: Path) -> None:
    save_checkpoint_file({'state_dict': _state(), 'card': CARD}, folder / 'x.safetensors')


def _of_content(data: bytes, rng: random.Random) -> bytes:
    """A whole file with another content: values of any type in any place, the card's above all."""
    content = torch.load(io.BytesIO(data), weights_only=False)

    def made(rng: random.Random) -> object:
        return rng.choice(
            (damage.strange(rng), torch.zeros(2, dtype=torch.int8), {1: torch.zeros(1)}, (), b'x')
        )

    if rng.random() < 0.7:
        content['card'] = damage.tree(content['card'], rng, made)
    else:
        content = damage.tree(content, rng, made)
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=rng.random() < 0.5)
    return stream.getvalue()


def _read_checkpoint(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        path = folder / name
        try:
            check_whole(path)
        except ValueError as error:
            _whole(error, folder)
        content = load_checkpoint_file(path)
        _card_of(path)
        read_encoder(path)
        state = content.get('state_dict', {})
        assert all(isinstance(key, str) for key in state), 'keys that are no texts'

    return read


def _card_of(path: Path) -> None:
    with warnings.catch_warnings(record=True):
        card = read_card(path)
    if card is not None:
        card.to_dict()
        card.check_against(reaction='return', mean=[0.5, 0.4, 0.3], classes=('fake', 'real'), input_size=224)


def _read_card(folder: Path) -> None:
    for path in folder.glob('x.*'):
        _card_of(path)


LIST = 'a.png fake\n# a comment\nsub/b c.png\treal\nd.png,0\n'


def _write_list(folder: Path) -> None:
    (folder / 'list.txt').write_text(LIST)
    (folder / 'sub').mkdir()
    for name in ('a.png', 'sub/b c.png', 'd.png'):
        (folder / name).touch()


def _read_list(folder: Path) -> None:
    FaceListDataset(
        'list.txt', str(folder), label_names={0: 'real', 1: 'fake'}, missing='skip', serialize_data=False
    )


def _write_splits(folder: Path) -> None:
    (folder / 'train.json').write_text(json.dumps([['000', '003'], ['010', '011']]))
    (folder / 'labels.csv').write_text('filename,label\na.mp4,0\n"b,c.mp4",1\n')
    (folder / 'List_of_testing_videos.txt').write_text('1 Celeb-real/a.mp4\n0 Celeb-synthesis/b.mp4\n')


def _read_splits(folder: Path) -> None:
    def none(root: str, folder: str) -> dict[str, tuple[str, ...]]:
        return {}

    published_rules.ffpp(str(folder), 'train', find=none)
    published_rules.dfdc(str(folder), 'test', find=none)
    published_rules.celebdf(str(folder), 'test', find=none)


def _write_manifest(folder: Path) -> None:
    records = [
        FaceRecord(
            'a.jpg', face=0, score=0.9, box=[1.0, 2.0, 3.0, 4.0], file='a', map='a.map.png', sha256='ab'
        ),
        FaceRecord('b.jpg', status='no_face', message='none'),
        FaceRecord('c.mp4', frame=3, status='unreadable', message='cut', labels={'skin': 0.5}),
    ]
    (folder / 'manifest.jsonl').write_text(''.join(record.to_json() + '\n' for record in records))


def _read_manifest(folder: Path) -> list[str]:
    report = Report(str(folder), 'pretrain')
    read_manifest(report, str(folder))
    told = [s for f in report.findings if f.check == 'manifest' for s in (*f.files, f.message)]
    report.to_text()
    for record in manifest_records(folder / 'manifest.jsonl'):
        assert isinstance(record.source, str)
    return told


def _write_summary(folder: Path) -> None:
    (folder / 'prepare.json').write_text('{"detector_name": "yunet", "margin": 1.3, "listing": {"files": 3}}')


def _write_log(folder: Path) -> None:
    (folder / 'run/vis_data').mkdir(parents=True)
    lines = [json.dumps({'loss': 1 / i, 'lr': 0.1, 'step': i, 'data_time': 0.1}) for i in range(1, 4)]
    (folder / 'run/vis_data/scalars.json').write_text('\n'.join(lines) + '\n')


def _write_scores(folder: Path) -> None:
    rows = [SampleScore(i, f'{i}.png', 'd', f'v{i // 2}', 'real', 1, 0.25 * i, 0.1) for i in range(4)]
    ScoreTable(tuple(rows)).write_samples(folder / 'scores.csv')


READERS: dict[str, Reader] = {
    'image': Reader(_write_pictures, lambda f: _each(f, read_image), PICTURES),
    'picture': Reader(
        _write_photos,
        lambda f: _each(f, read_picture),
        (
            *PICTURES,
            *(('x.gif', damage.of_bytes), ('x.tiff', damage.of_bytes), ('exif.jpg', damage.of_bytes)),
            *PHONES,
        ),
    ),
    'map': Reader(
        _write_maps,
        lambda f: _each(f, read_parsing_map),
        (('x.npy', damage.of_npy), ('x.npy', damage.of_bytes), ('x.png', damage.of_png)),
    ),
    'label table': Reader(
        lambda f: np.save(f / 'table.npy', np.full((4, 16), 3, np.uint16)),
        _read_table,
        (('table.npy', damage.of_npy), ('table.npy', damage.of_npy), ('table.npy', damage.of_bytes)),
    ),
    'archive': Reader(_write_archive('raw'), _read_archive, ARCHIVE, _seal_archive),
    'archive of pngs': Reader(
        _write_archive('png', None), _read_archive, ARCHIVE[:4] + ARCHIVE[5:], _seal_archive
    ),
    'statistics': Reader(
        lambda f: (f / 'x.json').write_text(
            '{"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "size": 224}\nmore\n'
        ),
        lambda f: load_mean_std(f / 'x.json') and None,
        (('x.json', lambda d, r: damage.of_json(d.partition(b'\n')[0], r)), ('x.json', damage.of_bytes)),
    ),
    'card': Reader(_write_checkpoint('x.pth'), _read_card, (('x.pth', _of_content),)),
    'list': Reader(_write_list, _read_list, (('list.txt', damage.of_lines),)),
    'splits': Reader(
        _write_splits,
        _read_splits,
        (
            ('train.json', damage.of_json),
            ('labels.csv', damage.of_bytes),
            ('List_of_testing_videos.txt', damage.of_bytes),
        ),
    ),
    'manifest': Reader(_write_manifest, _read_manifest, (('manifest.jsonl', damage.of_lines),)),
    'summary': Reader(
        _write_summary, lambda f: read_summary(f) and None, (('prepare.json', damage.of_json),)
    ),
    'log': Reader(
        _write_log, lambda f: read_scalars(f) and None, (('run/vis_data/scalars.json', damage.of_lines),)
    ),
    'scores': Reader(
        _write_scores,
        lambda f: ScoreTable.read(f / 'scores.csv') and None,
        (('scores.csv', damage.of_bytes),),
    ),
    'checkpoint, zip': Reader(
        _write_checkpoint('x.pth'),
        _read_checkpoint('x.pth'),
        (('x.pth', damage.of_zip), ('x.pth', _of_content)),
    ),
    'checkpoint, legacy': Reader(
        _write_checkpoint('x.pth', as_zip=False), _read_checkpoint('x.pth'), (('x.pth', damage.of_legacy),)
    ),
    'checkpoint, safetensors': Reader(
        _write_safetensors, _read_checkpoint('x.safetensors'), (('x.safetensors', damage.of_safetensors),)
    ),
}


def _each(folder: Path, read: Callable[[str], object]) -> list[str]:
    """Read all files of a folder; the sentences about those that are broken."""
    told = []
    for path in sorted(folder.iterdir()):
        try:
            read(str(path))
        except BrokenSampleError as error:  # noqa: PERF203
            assert path.name in str(error), f'no file is named: {error}'
            told.append(str(error))
    return told
