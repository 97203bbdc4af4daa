import json

import pytest
from labelled_files import frames, summary, touch

from fsfm_mm.datasets import NamedForgerySet, check_splits, entries_of
from fsfm_mm.datasets.labelled.published_rules import MANIPULATIONS


def videos(data):
    return sorted({(e['class_name'], e['video_id']) for e in entries_of(data)})


def ffpp(root, faces='faces', pairs=None):
    splits = pairs or {'train': [['000', '003']], 'test': [['010', '012'], ['020', '021']]}
    for split, content in splits.items():
        touch(root, f'dataset/splits/{split}.json')
        (root / f'dataset/splits/{split}.json').write_text(json.dumps(content))
        for a, b in content:
            for video in (a, b):
                frames(root, f'original_sequences/youtube/c23/{faces}/{video}', 2)
            for name in MANIPULATIONS:
                for video in (f'{a}_{b}', f'{b}_{a}'):
                    touch(
                        root,
                        *(f'manipulated_sequences/{name}/c23/{faces}/{video}/{i}.png' for i in (0, 1, 2)),
                    )
    return root


@pytest.mark.parametrize('faces', ['videos', 'frames', 'faces'])
def test_ffpp_takes_the_pairs_of_the_split(tmp_path, faces):
    data = NamedForgerySet('ffpp', ffpp(tmp_path, faces), 'test')
    reals = [('real', f'real/original_sequences/youtube/c23/{v}') for v in ('010', '012', '020', '021')]
    fakes = [
        ('fake', f'fake/manipulated_sequences/{m}/c23/{v}')
        for m in MANIPULATIONS
        for v in ('010_012', '012_010', '020_021', '021_020')
    ]
    assert videos(data) == sorted(reals + fakes)
    assert len(data) == 4 * 2 + 16 * 3
    assert {e[:2] + e[3:] for e in summary(data)} == {(0, 'fake', 'ffpp'), (1, 'real', 'ffpp')}
    check_splits({'train': NamedForgerySet('ffpp', tmp_path, 'train'), 'test': data})


def test_ffpp_goes_by_the_first_three_digits(tmp_path):
    ffpp(tmp_path)
    frames(tmp_path, 'manipulated_sequences/FaceSwap/c23/faces/010_000', 1)
    frames(tmp_path, 'manipulated_sequences/FaceSwap/c23/faces/000_010', 1)
    found = [v.rpartition('/')[2] for _, v in videos(NamedForgerySet('ffpp', tmp_path, 'test'))]
    assert '010_000' in found and '000_010' not in found


def test_ffpp_options(tmp_path):
    ffpp(tmp_path)
    data = NamedForgerySet('ffpp', tmp_path, 'test', options={'manipulations': 'FaceSwap'})
    assert len(data) == 4 * 2 + 4 * 3 and all('FaceSwap' in v or c == 'real' for c, v in videos(data))
    with pytest.raises(ValueError, match=r"manipulations must be one of 'Deepfakes'.* but is 'DeepFakes2'"):
        NamedForgerySet('ffpp', tmp_path, 'test', options={'manipulations': ['DeepFakes2']})
    with pytest.raises(ValueError, match='c40: no such folder'):
        NamedForgerySet('ffpp', tmp_path, 'test', options={'compression': 'c40'})
    with pytest.raises(
        ValueError, match="'ffpp' has no option 'quality'; it has 'compression', 'manipulations'"
    ):
        NamedForgerySet('ffpp', tmp_path, 'test', options={'quality': 'c40'})
    (tmp_path / 'dataset/splits/test.json').write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r'test.json: expected pairs of three-digit'):
        NamedForgerySet('ffpp', tmp_path, 'test')
    (tmp_path / 'dataset/splits/test.json').write_text('[[')
    with pytest.raises(ValueError, match=r'test.json: cannot be read as JSON'):
        NamedForgerySet('ffpp', tmp_path, 'test')
    (tmp_path / 'dataset/splits/test.json').unlink()
    with pytest.raises(ValueError, match=r'No split file found; expected one of .*splits/test.json'):
        NamedForgerySet('ffpp', tmp_path, 'test')


def test_ffpp_counts_are_compared_with_the_published_ones(tmp_path, warnings_of):
    pairs = [[f'{2 * i:03d}', f'{2 * i + 1:03d}'] for i in range(70)]
    NamedForgerySet('ffpp', ffpp(tmp_path / 'whole', pairs={'test': pairs}), 'test')
    assert warnings_of() == []
    NamedForgerySet('ffpp', ffpp(tmp_path / 'part', pairs={'test': pairs[:69]}), 'test')
    assert len(warnings_of()) == 5
    assert '138 videos in original_sequences/youtube, but the published split has 140' in warnings_of()[0]


def test_dfd_is_named_by_its_compression(tmp_path):
    for compression, number in (('raw', 3), ('c23', 2)):
        frames(tmp_path, f'original_sequences/actors/{compression}/faces/01__walking', number)
        frames(tmp_path, f'manipulated_sequences/DeepFakeDetection/{compression}/faces/01_02__x__X', number)
    for compression, number in (('raw', 3), ('c23', 2)):
        data = NamedForgerySet(f'dfd_{compression}', tmp_path, 'test')
        assert [e[:2] for e in summary(data)] == [(1, 'real')] * number + [(0, 'fake')] * number
    with pytest.raises(ValueError, match="split must be one of 'test'"):
        NamedForgerySet('dfd_raw', tmp_path, 'train')
    with pytest.raises(ValueError, match="'dfd_raw' has no option 'compression'; it has none"):
        NamedForgerySet('dfd_raw', tmp_path, options={'compression': 'c23'})
    with pytest.raises(ValueError, match="'dfd_c23'"):  # a bare 'dfd' would not say which
        NamedForgerySet('dfd', tmp_path)


def celebdf(root, extra=''):
    for video in ('Celeb-real/id0_0000', 'YouTube-real/00001', 'Celeb-synthesis/id0_id1_0000'):
        frames(root, video, 1)
        frames(root, f'{video}9', 1)
    lines = '1 Celeb-real/id0_0000.mp4\n1 YouTube-real/00001.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n'
    (root / 'List_of_testing_videos.txt').write_text(lines + extra)
    return root


def test_celebdf_lists_the_test_videos_and_v2_leaves_youtube_out(tmp_path):
    celebdf(tmp_path)
    real, youtube = ('real', 'real/Celeb-real/id0_0000'), ('real', 'real/YouTube-real/00001')
    fake = ('fake', 'fake/Celeb-synthesis/id0_id1_0000')
    assert videos(NamedForgerySet('celebdf_v1', tmp_path)) == [fake, real, youtube]
    assert videos(NamedForgerySet('celebdf_v2', tmp_path)) == [fake, real]
    test = NamedForgerySet('celebdf_v2', tmp_path, options={'youtube_real': True})
    assert videos(test) == [fake, real, youtube]
    train = NamedForgerySet('celebdf_v2', tmp_path, 'train', options={'youtube_real': True})
    assert videos(train) == [(c, f'{v}9') for c, v in (fake, real, youtube)]
    check_splits({'train': train, 'test': test})


def test_celebdf_plus_plus_has_nested_manipulations(tmp_path):
    celebdf(tmp_path, '0 Celeb-synthesis/FaceSwap/BlendFace/id3_0001.mp4\n')
    frames(tmp_path, 'Celeb-synthesis/FaceSwap/BlendFace/id3_0001', 1)
    assert ('fake', 'fake/Celeb-synthesis/FaceSwap/BlendFace/id3_0001') in videos(
        NamedForgerySet('celebdf_pp', tmp_path)
    )


def test_celebdf_plus_plus_with_and_without_youtube_real(tmp_path):
    celebdf(tmp_path)
    youtube = ('real', 'real/YouTube-real/00001')
    own, fsvfm = (videos(NamedForgerySet(name, tmp_path)) for name in ('celebdf_pp', 'celebdf_pp_noyt'))
    assert youtube in own and [video for video in own if video != youtube] == fsvfm
    with pytest.raises(ValueError, match="'celebdf_pp' has no option 'youtube_real'"):
        NamedForgerySet('celebdf_pp', tmp_path, options={'youtube_real': False})


@pytest.mark.parametrize(
    'line, message',
    [
        ('0 Celeb-real/id1_0000.mp4', 'videos.txt:4: 1 is real and 0 fake, which contradicts'),
        ('2 Celeb-real/id1_0000.mp4', "videos.txt:4: expected '1 Celeb-real/NAME.mp4'"),
        ('1', "videos.txt:4: expected '1 Celeb-real/NAME.mp4'"),
        ('1 Elsewhere/x.mp4', "videos.txt:4: expected '1 Celeb-real/NAME.mp4'"),
    ],
)
def test_celebdf_bad_lines(tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        NamedForgerySet('celebdf_v2', celebdf(tmp_path, f'{line}\n'))


def test_listed_videos_without_frames(tmp_path, warnings_of):
    celebdf(tmp_path, '1 Celeb-real/id7_0000.mp4\n')
    assert len(NamedForgerySet('celebdf_v2', tmp_path)) == 2
    assert any("1 of 3 listed videos have no frames: 'Celeb-real/id7_0000'" in w for w in warnings_of())
    with pytest.raises(ValueError, match='1 of 3 listed videos have no frames'):
        NamedForgerySet('celebdf_v2', tmp_path, missing='error')
    (tmp_path / 'List_of_testing_videos.txt').write_text('1 Celeb-real/a.mp4\n0 Celeb-synthesis/b.mp4\n')
    with pytest.raises(ValueError, match='2 of 2 listed videos have no frames'):
        NamedForgerySet('celebdf_v2', tmp_path)


def test_dfdc_reads_labels_and_compares_the_count(tmp_path, warnings_of):
    frames(tmp_path, 'test/aaa', 2)
    frames(tmp_path, 'test/bbb', 2)
    frames(tmp_path, 'test/unlisted', 2)
    (tmp_path / 'labels.csv').write_text('filename,label,other\naaa.mp4,1,x\nbbb.mp4,0,y\n')
    data = NamedForgerySet('dfdc', tmp_path)
    assert videos(data) == [('fake', 'fake/aaa'), ('real', 'real/bbb')] and len(data) == 4
    assert any('2 videos, but the published split has 5000' in w for w in warnings_of())
    (tmp_path / 'labels.csv').write_text('filename,label\naaa.mp4,1\nbbb.mp4,2\n')
    with pytest.raises(ValueError, match=r'labels.csv:3: which class is the label 2\?'):
        NamedForgerySet('dfdc', tmp_path)
    (tmp_path / 'labels.csv').write_text('filename,label\naaa.mp4\n')
    with pytest.raises(ValueError, match=r"labels.csv:2: expected filename,label, found 'aaa.mp4'"):
        NamedForgerySet('dfdc', tmp_path)
    (tmp_path / 'labels.csv').write_text('aaa.mp4,1\n')
    with pytest.raises(ValueError, match=r'labels.csv:1: expected the header'):
        NamedForgerySet('dfdc', tmp_path)


def test_dfdc_preview_selects_by_set(tmp_path):
    table = {
        'method_A/1/a.mp4': {'label': 'fake', 'set': 'test'},
        'original_videos/1/b.mp4': {'label': 'real', 'set': 'test'},
        'original_videos/2/c.mp4': {'label': 'real', 'set': 'train'},
    }
    for path in table:
        frames(tmp_path, path[:-4], 1)
    (tmp_path / 'dataset.json').write_text(json.dumps(table))
    data = NamedForgerySet('dfdc_preview', tmp_path)
    assert videos(data) == [('fake', 'fake/method_A/1/a'), ('real', 'real/original_videos/1/b')]
    table['method_A/1/a.mp4']['label'] = 'FAKED'
    (tmp_path / 'dataset.json').write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"dataset.json: expected .* for 'method_A/1/a.mp4'"):
        NamedForgerySet('dfdc_preview', tmp_path)


def test_wilddeepfake_groups_by_folder(tmp_path):
    touch(tmp_path, 'real_test/1/real/7/1.png', 'real_test/1/real/7/2.png', 'fake_test/1/fake/7/1.png')
    data = NamedForgerySet('wilddeepfake', tmp_path)
    assert videos(data) == [('fake', 'fake/fake_test/1/fake/7'), ('real', 'real/real_test/1/real/7')]
    assert len(data) == 3
    with pytest.raises(ValueError, match='fake_train: no such folder'):
        NamedForgerySet('wilddeepfake', tmp_path, 'train')


def test_diff_subsets_share_the_reals(tmp_path):
    touch(tmp_path, 'DiFF_real/test/a.png', 'DiFF_real/val/b.png')
    for name in ('T2I', 'I2I', 'FS', 'FE'):
        touch(tmp_path, f'test/{name}/m/1.png', f'val/{name}/m/1.png')
    assert len(NamedForgerySet('diff', tmp_path)) == 5
    sets = [NamedForgerySet('diff', tmp_path, options={'subsets': name}) for name in ('T2I', 'FE')]
    assert [videos(data) for data in sets] == [
        [('fake', f'fake/test/{name}/m/1'), ('real', 'real/DiFF_real/test/a')] for name in ('T2I', 'FE')
    ]
    check_splits({'val': NamedForgerySet('diff', tmp_path, 'val'), 'test': sets})
    with pytest.raises(ValueError, match="subsets must be one of 'T2I', 'I2I', 'FS', 'FE', but is 'T3I'"):
        NamedForgerySet('diff', tmp_path, options={'subsets': 'T3I'})


def test_unknown_names_and_folders(tmp_path):
    with pytest.raises(ValueError, match=r"name must be one of 'ffpp', .*, but is 'faceforensics'"):
        NamedForgerySet('faceforensics', tmp_path)
    with pytest.raises(ValueError, match='nowhere: no such data_root'):
        NamedForgerySet('dfdc', tmp_path / 'nowhere')
