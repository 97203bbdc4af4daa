"""tools/visualization/show_masks.py: the drawn masks are those of the transforms."""

import importlib
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsfm_mm.commands import prepare
from fsfm_mm.datasets.transforms import mask_types
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.preparation.detectors.yunet import YuNet
from fsfm_mm.registry import TRANSFORMS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'visualization' / 'show_masks.py'
PLUGIN = """
import numpy as np
from fsfm_mm.datasets.transforms import PatchMask
from fsfm_mm.registry import TRANSFORMS

@TRANSFORMS.register_module(force=True)
class FirstPatchesForTest(PatchMask):
    def strategy(self, patch_labels, num_masked, rng):
        mask = np.zeros((len(patch_labels), patch_labels[0].size), bool)
        mask[:, :num_masked] = True
        return mask, mask & (np.arange(mask.shape[1]) < 14)
"""


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('fsfm_mm.commands.masks')


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A module with a strategy of a user's own."""
    (tmp_path / 'masking_of_mine.py').write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield 'masking_of_mine'
    TRANSFORMS.module_dict.pop('FirstPatchesForTest', None)


def show(tool, out, *arguments):
    """Run the tool; returns the statistics, strategy -> column -> text."""
    tool.main([*map(str, arguments), '--out', str(out), '--draws', '3'])
    html = (out / 'masks.html').read_text(encoding='utf-8')
    header, *rows = [
        re.findall('<t[dh][^>]*>([^<]*)</t[dh]>', row) for row in re.findall('<tr>.*?</tr>', html)
    ]
    return {row[0]: dict(zip(header[1:], row[1:])) for row in rows}


def test_all_strategies_of_drawn_faces(tool, tmp_path, capsys):
    table = show(tool, tmp_path, '--generated', 2)
    assert list(table) == list(mask_types())
    assert {row['all'] for row in table.values()} == {'75.0'}  # 147 of 196
    out = capsys.readouterr().out
    assert all(f'\n{name} ' in out for name in table) and out.endswith(f'{tmp_path / "masks.html"}\n')
    sheet = cv2.imread(str(tmp_path / 'masks.png'))
    columns = 2 + len(table)  # the picture and its labels first
    assert sheet.shape[1] > columns * 160
    html = (tmp_path / 'masks.html').read_text()
    assert html.count('<img ') == 2 * columns and '<h2>generated/000001</h2>' in html


def test_the_same_seed_draws_the_same_and_another_other_masks(tool, tmp_path):
    pictures = []
    for number, seed in enumerate((0, 0, 1)):
        # the faces of a seed differ, too, so these come from files
        root = face_files(tmp_path / f'data{number}', 2)
        show(tool, tmp_path / str(number), root, '--seed', seed, '--strategies', 'random')
        pictures.append((tmp_path / str(number) / 'masks.png').read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_each_region_is_covered_wholly(tool, tmp_path):
    table = show(
        tool, tmp_path, '--generated', 1, '--strategies', 'CRFRPMask', 'crfr-r', 'frp', '--regions', 'each'
    )
    regions = ['eyebrows', 'eyes', 'nose', 'mouth', 'boundary', 'hair']
    names = [f'{s}: {region}' for s in ('CRFRPMask', 'CRFR-R') for region in regions]
    assert list(table) == [*names, 'FRP']
    assert [table[name][name.split(': ')[1]] for name in names] == ['100.0'] * 12


def face_files(root, count, size=224):
    for folder in ('images', 'parsing_maps'):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        image, labels = draw_face(number, size, 0)
        cv2.imwrite(str(root / f'images/f{number}.png'), image)
        np.save(root / f'parsing_maps/f{number}.npy', labels)
    return root


def test_folders_are_sampled_evenly_and_pictures_find_their_maps(tool, tmp_path):
    root = face_files(tmp_path / 'set', 5, 96)
    beside = tmp_path / 'alone.png'
    beside.write_bytes((root / 'images/f0.png').read_bytes())
    (tmp_path / 'alone.npy').write_bytes((root / 'parsing_maps/f0.npy').read_bytes())
    show(tool, tmp_path / 'out', root, root / 'images/f4.png', beside, '--num', 2, '--strategies', 'FRP')
    html = (tmp_path / 'out/masks.html').read_text()
    assert re.findall('<h2>(.*?)</h2>', html)[:4] == ['f0.png', 'f2.png', 'f4.png', 'alone.png']


PARSER = """
custom_imports = dict(imports=['preparation.engine_fakes'])
parser = dict(type='MarkedParser')
"""


@pytest.fixture
def photos(tmp_path):
    """Photos without maps, and options of a parser that needs no weights."""
    (tmp_path / 'parser_of_mine.py').write_text(PARSER)
    for number in range(2):
        cv2.imwrite(str(tmp_path / f'p{number}.png'), draw_face(number, 128, 0)[0][:, 20:])
    return [*sorted(tmp_path.glob('*.png')), '--detector', 'none', '--parser', tmp_path / 'parser_of_mine.py']


def test_photos_without_maps_are_cut_and_parsed_as_in_prepare(tool, tmp_path, photos):
    show(tool, tmp_path / 'out', *photos, '--size', 96, '--strategies', 'CRFR-P')
    html = (tmp_path / 'out/masks.html').read_text()
    assert re.findall('<h2>(.*?)</h2>', html)[:2] == ['p0.png', 'p1.png'] and html.count('<img ') == 6
    made = tool._parsed(tool.parse_args([*map(str, photos), '--size', '96']))
    arguments = [*photos[:2], tmp_path / 'set', *photos[2:], '--size', 96, '--workers', 0]
    assert prepare.main([str(argument) for argument in arguments]) == 0
    for path, sample in made.items():
        name = Path(path).stem
        np.testing.assert_array_equal(sample['img'], cv2.imread(str(tmp_path / f'set/images/{name}.png')))
        np.testing.assert_array_equal(
            sample['parsing_map'], np.load(tmp_path / f'set/parsing_maps/{name}.npy')[0]
        )


def test_a_photo_among_pictures_with_maps_keeps_its_place(tool, tmp_path, photos):
    root = face_files(tmp_path / 'set', 2, 96)
    show(tool, tmp_path / 'out', photos[0], root, *photos[1:], '--strategies', 'FRP')
    html = (tmp_path / 'out/masks.html').read_text()
    assert re.findall('<h2>(.*?)</h2>', html)[:4] == ['p0.png', 'f0.png', 'f1.png', 'p1.png']


def test_what_is_wrong_with_a_photo_is_one_sentence(tool, tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'cut.jpg').write_bytes(b'\xff\xd8\xff')
    (tmp_path / 'notes.txt').write_text('face')
    monkeypatch.setattr(YuNet, 'prepare', lambda self: None)
    monkeypatch.setattr(YuNet, 'detect', lambda self, pictures: [[] for _ in pictures])
    options = [str(option) for option in photos[2:]]
    for arguments, message in (
        (['cut.jpg', *options], r'cut\.jpg: is not a picture'),
        (['notes.txt', *options], 'notes.txt is neither a picture'),
        (['p0.png', *options[2:]], 'p0.png: no face was found'),
        (['p0.png', '--parser', 'none'], 'p0.png has no map, and --parser none makes none'),
        (['p0.png', '--parser', 'nobody'], 'nobody is neither a file nor one of farl'),
    ):
        with pytest.raises(SystemExit, match=f'^fsfm-mm masks: .*{message}'):
            tool.main([*arguments, '--out', 'out'])
    assert not (tmp_path / 'out').exists()


def test_strategies_of_ones_own_by_name_and_by_config(tool, tmp_path, plugin):
    table = show(tool, tmp_path, '--generated', 1, '--import', plugin, '--strategies', 'FirstPatchesForTest')
    assert table['FirstPatchesForTest']['all'] == '75.0'
    image, _ = draw_face(0, 224, 0)
    sheet = cv2.imread(str(tmp_path / 'masks.png'))
    last_rows = np.flatnonzero((sheet[:, -160:] < 250).any(2).all(1))[
        -20:
    ]  # of the picture, above the legend
    assert np.abs(sheet[last_rows, -160:].astype(float).mean() - image[-28:].mean()) < 3, 'they are visible'
    config = tmp_path / 'mine.py'
    config.write_text(
        f"custom_imports = dict(imports=['fsfm_mm.components', '{plugin}'], allow_failed_imports=False)\n"
        "train_dataloader = dict(dataset=dict(type='GeneratedFaces', img_size=64, pipeline=[\n"
        "    dict(type='BuildPatchLabels', patch_size=8),\n"
        "    dict(type='FirstPatchesForTest', mask_ratio=0.5), dict(type='PackFaces')]))\n"
    )
    table = show(tool, tmp_path / 'config', '--generated', 1, '--config', config)
    assert table == {'mine': table['mine']} and table['mine']['all'] == '50.0'
    assert '64x64 pixels, patches of 8x8' in (tmp_path / 'config/masks.html').read_text()


def test_the_mask_of_a_shipped_config(tool, tmp_path):
    config = ROOT / 'configs/fsfm/ablation_mask-frp_vit-b_400e.py'
    table = show(tool, tmp_path, '--generated', 1, '--config', config)
    assert table['ablation_mask-frp_vit-b_400e']['all'] == '75.0'


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'no faces: name a folder'),
        (['nowhere.png'], 'there is no file or folder nowhere.png'),
        (['--generated', '1', '--strategies', 'crfr'], "no strategy 'crfr'"),
        (['--generated', '1', '--strategies', 'PackFaces'], "'PackFaces' is no masking strategy"),
        (['--generated', '1', '--mask-ratio', '1.5'], 'mask_ratio must lie between 0 and 1'),
        (['--generated', '1', '--patch-size', '15'], 'whole patches'),
        (['--generated', '1', '--config', 'none.py'], 'no config file none.py'),
        (['--generated', '1', '--import', 'no_such_module_here'], 'no_such_module_here'),
        (['--generated', '1', '--num', '0'], '--num must be 1 or more'),
        (['--generated', '1', '--out', __file__], 'is a file: name a folder'),
    ],
)
def test_wrong_use_is_one_sentence(tool, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f'fsfm-mm masks: .*{re.escape(message)}'):
        tool.main([*arguments, '--draws', '1'])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('folder, part', [('set', 'archive'), ('set/archive', 'archive')])
def test_archives_are_refused_in_one_sentence(tool, tmp_path, folder, part):
    (tmp_path / 'set' / part).mkdir(parents=True)
    message = rf'fsfm-mm masks: .*{folder}: .*the faces lie in {part}/: pass a folder with images/ and parsing_maps/'
    with pytest.raises(SystemExit, match=message):
        tool.main([str(tmp_path / folder), '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()
