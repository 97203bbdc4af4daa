import numpy as np
import pytest
import torch
from labelled_files import Labelled, frames, summary, touch, write_image
from mmengine.dataset import ConcatDataset, pseudo_collate
from torch.utils.data import DataLoader

from fsfm_mm.datasets import FaceListDataset, LabelledFaces, check_splits, entries_of
from fsfm_mm.datasets.labelled.base import natural_key, spread_frames
from fsfm_mm.datasets.labelled.names import class_of_folder, class_of_path, video_of
from fsfm_mm.drawn import GeneratedForgeries
from fsfm_mm.registry import DATASETS

META = ('img_path', 'video_id', 'domain', 'class_name', 'sample_idx')


def folders(root, split='test'):
    """Two real folders, one nested fake folder; the video 000 exists in both classes."""
    frames(root / split, 'real_youtube/000', 3)
    frames(root / split, 'real_actors/000', 1)
    frames(root / split, 'fake/Deepfakes/000', 2)
    return root


@pytest.mark.parametrize(
    'folder, expected',
    [
        ('real', 'real'),
        ('Real', 'real'),
        ('real_youtube', 'real'),
        ('FAKE-2', 'fake'),
        ('fake2', 'fake'),
        ('realistic_fakes', None),
        ('unreal', None),
        ('', None),
    ],
)
def test_class_of_a_folder(folder, expected):
    assert class_of_folder(folder, ('fake', 'real')) == expected
    assert class_of_folder(folder, ('real', 'fake')) == expected


def test_longest_class_name_wins():
    assert class_of_folder('real_3d_x', ('real', 'real_3d')) == 'real_3d'


@pytest.mark.parametrize(
    'path, by, expected',
    [
        ('real/a/000_003_frame_12.png', 'name', 'real/a/000_003'),
        ('real/x_frame_1_frame_2.png', 'name', 'real/x_frame_1'),
        ('real/portrait.v2.png', 'name', 'real/portrait.v2'),
        ('000_frame_1.png', 'name', '000'),
        ('real/17/3.png', 'folder', 'real/17'),
    ],
)
def test_video_of_a_path(path, by, expected):
    assert video_of(path, by) == expected


def test_folders_give_labels_videos_and_domain(tmp_path):
    data = LabelledFaces(folders(tmp_path / 'ffpp'), 'test')
    assert summary(data) == [
        (0, 'fake', 'fake/Deepfakes/000', 'ffpp'),
        (0, 'fake', 'fake/Deepfakes/000', 'ffpp'),
        (1, 'real', 'real_actors/000', 'ffpp'),
        (1, 'real', 'real_youtube/000', 'ffpp'),
        (1, 'real', 'real_youtube/000', 'ffpp'),
        (1, 'real', 'real_youtube/000', 'ffpp'),
    ]
    assert data.metainfo['classes'] == ('fake', 'real') and data.metainfo['positive_class'] == 'real'
    assert data.entry(0)['img_path'] == str(tmp_path / 'ffpp/test/fake/Deepfakes/000_frame_0.png')


def test_labels_follow_names_not_the_order_of_folders(tmp_path):
    data = LabelledFaces(folders(tmp_path), 'test', classes=('real', 'fake'), domain='x')
    assert {(label, name) for label, name, _, _ in summary(data)} == {(0, 'real'), (1, 'fake')}
    assert data.get_subset([0]).metainfo['positive_class'] == 'real'


def test_a_folder_called_like_the_positive_class_is_no_meta_file(tmp_path, monkeypatch):
    folders(tmp_path)
    (tmp_path / 'real').mkdir()
    monkeypatch.chdir(tmp_path)
    assert LabelledFaces('.', 'test').metainfo['positive_class'] == 'real'


def test_batches_keep_the_contract(tmp_path):
    write_image(tmp_path / 'd/test/real/a_frame_0.png', 200)
    write_image(tmp_path / 'd/test/fake/a_frame_0.png', 50)
    pipeline = [dict(type='LoadFace'), dict(type='PackInputs', meta_keys=META)]
    config = dict(type='LabelledFaces', data_root=str(tmp_path / 'd'), split='test', pipeline=pipeline)
    loader = DataLoader(DATASETS.build(config), batch_size=2, collate_fn=pseudo_collate)
    batch = next(iter(loader))
    assert [int(x[0, 0, 0]) for x in batch['inputs']] == [50, 200]
    assert batch['inputs'][0].dtype == torch.uint8 and batch['inputs'][0].shape == (3, 8, 8)
    samples = batch['data_samples']
    assert [int(s.gt_label) for s in samples] == [0, 1]
    assert [(s.video_id, s.domain, s.class_name, s.sample_idx) for s in samples] == [
        ('fake/a', 'd', 'fake', 0),
        ('real/a', 'd', 'real', 1),
    ]


def test_several_roots_are_domains(tmp_path):
    roots = [str(folders(tmp_path / name)) for name in 'ab']
    assert [e[3] for e in summary(LabelledFaces(roots, 'test'))] == ['a'] * 6 + ['b'] * 6
    assert [e[3] for e in summary(LabelledFaces(roots, 'test', domain=['x', 'y']))] == ['x'] * 6 + ['y'] * 6
    with pytest.raises(ValueError, match='one domain for each data_root'):
        LabelledFaces(roots, 'test', domain=['x'])
    with pytest.raises(ValueError, match=r"both have a video 'fake/Deepfakes/000' in the domain 'x'"):
        LabelledFaces(roots, 'test', domain=['x', 'x'])
    same = [folders(tmp_path / name / 'crops') for name in 'cd']
    with pytest.raises(ValueError, match="domains 'crops', 'crops': give them different"):
        LabelledFaces(same, 'test')


@pytest.mark.parametrize('n, k', [(128, 32), (33, 32), (10, 3), (7, 7), (5, 8), (9, 1), (3, 2)])
def test_frames_are_spread_as_linspace(n, k):
    entries = [
        {'img_path': f'v_frame_{i}.png', 'domain': 'd', 'class_name': 'real', 'video_id': 'v'}
        for i in range(n)
    ]
    entries.sort(key=lambda e: e['img_path'])  # frame_10 before frame_2, as listings have it
    kept = {int(e['img_path'][8:-4]) for e in spread_frames(entries, k)}
    assert kept == set(np.linspace(0, n - 1, min(n, k)).astype(int).tolist())
    assert len(kept) == min(n, k)


def test_frames_are_counted_for_each_video_and_class(tmp_path):
    frames(tmp_path / 'test', 'real/000', 9)
    frames(tmp_path / 'test', 'fake/000', 5)
    frames(tmp_path / 'test', 'fake/001', 1)
    data = LabelledFaces(tmp_path, 'test', max_frames_per_video=3)
    names = [e['img_path'].rpartition('/')[2] for e in entries_of(data)]
    assert names == [f'000_frame_{i}.png' for i in (0, 2, 4)] + ['001_frame_0.png'] + [
        f'000_frame_{i}.png' for i in (0, 4, 8)
    ]


def test_natural_order():
    assert sorted(['f10', 'f9', 'f1', 'e2'], key=natural_key) == ['e2', 'f1', 'f9', 'f10']
    assert sorted(['a', '1'], key=natural_key) == ['1', 'a']


def test_videos_in_folders_of_their_own(tmp_path):
    touch(tmp_path / 'test', 'real/7/1.png', 'real/7/2.png', 'fake/7/1.png')
    assert [e[2] for e in summary(LabelledFaces(tmp_path, 'test', video_by='folder'))] == [
        'fake/7',
        'real/7',
        'real/7',
    ]


def test_unknown_folder_names_what_was_found_and_expected(tmp_path):
    touch(folders(tmp_path), 'test/masks/a.png')
    with pytest.raises(
        ValueError, match=r"'masks' fits no class.*'fake', 'real'.*found 'fake', 'masks', 'real"
    ):
        LabelledFaces(tmp_path, 'test')
    assert len(LabelledFaces(tmp_path, 'test', ignore=['mask*'])) == 6


def test_images_outside_the_class_folders(tmp_path):
    touch(folders(tmp_path), 'test/a.png')
    with pytest.raises(ValueError, match=r"images outside the class folders \('a.png'\)"):
        LabelledFaces(tmp_path, 'test')
    assert len(LabelledFaces(tmp_path, 'test', ignore=['a.png'])) == 6


def test_missing_split_lists_those_that_are_there(tmp_path):
    folders(tmp_path)
    with pytest.raises(ValueError, match=r"val: no such folder; expected the split 'val' \('test' found\)"):
        LabelledFaces(tmp_path, 'val')
    with pytest.raises(ValueError, match='no such data_root found'):
        LabelledFaces(tmp_path / 'nothing', 'val')


def test_empty_classes(tmp_path, warnings_of):
    frames(tmp_path / 'd/test', 'real/000', 2)
    with pytest.raises(ValueError, match=r"no samples of class 'fake' in the domain 'd' \(0 fake, 2 real\)"):
        LabelledFaces(tmp_path / 'd', 'test')
    (tmp_path / 'd/test/fake').mkdir()
    with pytest.raises(ValueError, match="no samples of class 'fake'"):
        LabelledFaces(tmp_path / 'd', 'test')
    data = LabelledFaces(tmp_path / 'd', 'test', empty_classes='warn')
    assert len(data) == 2 and [e[0] for e in summary(data)] == [1, 1]
    assert any("no samples of class 'fake'" in w for w in warnings_of())
    (tmp_path / 'e/test/real').mkdir(parents=True)
    with pytest.raises(ValueError, match='no images'):
        LabelledFaces([tmp_path / 'd', tmp_path / 'e'], 'test', empty_classes='warn')


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'classes': ('real',)}, 'two or more different'),
        ({'classes': ('real', 'Real')}, 'two or more different'),
        ({'classes': 'real'}, 'two or more different'),
        (
            {'positive_class': 'live'},
            "positive_class must be one of the classes 'fake', 'real', but is 'live'",
        ),
        ({'metainfo': {'classes': ('real', 'fake')}}, "metainfo\\['classes'\\]"),
        ({'max_frames_per_video': 0}, 'max_frames_per_video must be 1 or more'),
        ({'empty_classes': 'ok'}, "empty_classes must be one of 'error', 'warn'"),
        ({'video_by': 'x'}, 'video_by'),
        ({'data_root': []}, 'at least one folder'),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        LabelledFaces(**{'data_root': str(folders(tmp_path)), 'split': 'test', **arguments})


# ------------------------------------------------------------------------------------------------ lists


def a_list(root, text, name='list.txt'):
    touch(root, 'real/000_frame_0.png', 'real/000_frame_1.png', 'fake/000_frame_0.png', 'my faces/a, b.png')
    (root / name).write_text(text, encoding='utf-8')
    return name


@pytest.mark.parametrize(
    'text',
    [
        'real/000_frame_0.png real\nfake/000_frame_0.png fake\n',
        'real/000_frame_0.png,real\r\nfake/000_frame_0.png,fake\r\n',
        'real/000_frame_0.png\tREAL\nfake/000_frame_0.png\tfake',
        '\ufeff# header\n\n"real/000_frame_0.png" ; real\n./fake/000_frame_0.png   fake  \n',
    ],
)
def test_any_delimiter(tmp_path, text):
    data = FaceListDataset(a_list(tmp_path / 'd', text), tmp_path / 'd')
    assert summary(data) == [(1, 'real', 'real/000', 'd'), (0, 'fake', 'fake/000', 'd')]


def test_integers_mean_what_label_names_says(tmp_path):
    name = a_list(tmp_path, 'real/000_frame_0.png 0\nfake/000_frame_0.png 1\n')
    data = FaceListDataset(name, tmp_path, label_names={0: 'real', 1: 'fake'})
    assert [e[:2] for e in summary(data)] == [(1, 'real'), (0, 'fake')]
    with pytest.raises(
        ValueError, match=r'list.txt:1: which class is the label 0\? label_names is not given'
    ):
        FaceListDataset(name, tmp_path)
    with pytest.raises(ValueError, match=r'list.txt:2: which class is the label 1\?'):
        FaceListDataset(name, tmp_path, label_names={0: 'real'})
    with pytest.raises(ValueError, match="classes 'live', but the classes are 'fake', 'real'"):
        FaceListDataset(name, tmp_path, label_names={0: 'live'})


def test_a_path_with_spaces_and_commas_and_the_class_in_the_video_id(tmp_path):
    name = a_list(tmp_path, 'header\tx\nmy faces/a, b.png\treal\nfake/000_frame_0.png\tfake\n')
    data = FaceListDataset(name, tmp_path, domain='d', skip_lines=1)
    assert summary(data)[0] == (1, 'real', 'real/my faces/a, b', 'd')


@pytest.mark.parametrize(
    'line, message',
    [
        ('real/000_frame_1.png', "list.txt:3: expected 'path label'"),
        ('real/000_frame_1.png,', "list.txt:3: expected 'path label'"),
        (',real', "list.txt:3: expected 'path label'"),
        ('real/000_frame_1.png live', "list.txt:3: the label 'live' is none of the classes"),
        ('../other/x.png real', r"list.txt:3: '\.\./other/x.png' leads out of the data_root"),
        ('/etc/passwd real', "list.txt:3: '/etc/passwd' leads out of the data_root"),
        ('..\\x.png real', 'list.txt:3: .* leads out of the data_root'),
        (
            'real/../real/000_frame_0.png fake',
            r'list.txt:3: .*listed a second time; the first is at .*list.txt:1',
        ),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    name = a_list(tmp_path, f'real/000_frame_0.png real\nfake/000_frame_0.png fake\n{line}\n')
    with pytest.raises(ValueError, match=message):
        FaceListDataset(name, tmp_path)


def test_missing_frames(tmp_path, warnings_of):
    gone = '\n'.join(f'real/{i}.png real' for i in range(7))
    name = a_list(tmp_path, f'real/000_frame_0.png real\nfake/000_frame_0.png fake\n{gone}\n')
    with pytest.raises(ValueError, match=r'7 of 9 listed files are missing: .*real/0.png.*\(7 in all\)'):
        FaceListDataset(name, tmp_path)
    assert len(FaceListDataset(name, tmp_path, missing='skip')) == 2
    assert any('Left out' in w and '7 of 9' in w for w in warnings_of())
    name = a_list(tmp_path, 'x real\ny fake\n')
    with pytest.raises(ValueError, match='2 of 2'):
        FaceListDataset(name, tmp_path, missing='skip')


def test_a_label_that_the_folder_contradicts_is_refused(tmp_path):
    text = 'real/a.png real\nset/fake_x/b.png real\nreal_and_fake/c.png fake\n'
    touch(tmp_path / 'd', 'real/a.png', 'set/fake_x/b.png', 'real_and_fake/c.png')
    name = a_list(tmp_path / 'd', text)
    with pytest.raises(
        ValueError, match=r"list.txt:2: 'set/fake_x/b.png' lies in .* its label is 'real'; other_folders="
    ):
        FaceListDataset(name, tmp_path / 'd').full_init()
    allowed = FaceListDataset(name, tmp_path / 'd', other_folders='allow')
    assert [allowed.entry(i)['class_name'] for i in range(3)] == ['real', 'real', 'fake']
    assert class_of_path('real/fake_x/a.png', ('fake', 'real')) == 'fake'
    assert class_of_path('fake_x/frames/real_1.png', ('fake', 'real')) == 'fake'
    assert class_of_path('real_and_fake/a.png', ('fake', 'real')) is None


def test_lists_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r'no.txt: the list cannot be read'):
        FaceListDataset('no.txt', tmp_path)
    (tmp_path / 'latin.txt').write_bytes(b'real/\xe9.png real\n')
    with pytest.raises(ValueError, match='no UTF-8 text'):
        FaceListDataset('latin.txt', tmp_path)
    with pytest.raises(ValueError, match='names no files'):
        FaceListDataset(a_list(tmp_path, '# nothing\n'), tmp_path)


# ----------------------------------------------------------------------------------------------- splits


def test_the_same_video_in_two_splits(tmp_path):
    for split, start in (('train', 0), ('val', 10)):
        frames(tmp_path / split, 'real/000', 2, start)
        frames(tmp_path / split, f'fake/{split}', 2)
    sets = {split: LabelledFaces(tmp_path, split, domain='d') for split in ('train', 'val')}
    with pytest.raises(
        ValueError, match=r"splits 'train' and 'val' share 1 videos or files \('d: real/000'\)"
    ):
        check_splits(sets)
    # another domain: another video of the same name
    check_splits({'train': sets['train'], 'val': LabelledFaces(tmp_path, 'val', domain='e')})


def test_the_same_file_in_two_splits_under_another_domain(tmp_path):
    folders(tmp_path)
    one, other = (LabelledFaces(tmp_path, 'test', domain=domain) for domain in 'xy')
    with pytest.raises(ValueError, match='share 6 videos or files'):
        check_splits({'train': one, 'test': [other]})
    check_splits({'test': [one, other]})  # sets of one split may share


def test_classes_that_differ_between_sets():
    sets = [Labelled([('d', 'real')]), Labelled([('e', 'real')], classes=('real', 'fake'))]
    with pytest.raises(
        ValueError, match=r"train\[0\] and test\[0\] differ in 'classes': \('fake', 'real'\) and \('real"
    ):
        check_splits({'train': sets[0], 'test': sets[1]})
    with pytest.raises(ValueError, match="differ in 'positive_class': 'real' and 'fake'"):
        check_splits({'train': sets[0], 'test': Labelled([('e', 'real')], positive_class='fake')})
    sets[1].metainfo = {}
    with pytest.raises(ValueError, match="test\\[0\\] has no 'classes'"):
        check_splits({'train': sets[0], 'test': sets[1]})


def test_concatenated_sets_are_listed_without_drawing(monkeypatch):
    parts = [GeneratedForgeries(4, 32, domain=d, frames_per_video=2) for d in 'ab']
    monkeypatch.setattr(GeneratedForgeries, 'get_data_info', lambda *_: pytest.fail('an image was drawn'))
    assert [e['domain'] for e in entries_of(ConcatDataset(parts))] == ['a'] * 4 + ['b'] * 4
