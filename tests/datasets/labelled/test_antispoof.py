import pytest
from labelled_files import summary, touch

from fsfm_mm.datasets import AntiSpoofDataset, check_splits


def mcio(root, paths_from='frame'):
    """Two domains with two frames a video; lists name frame 0 only. ``casia`` has equal names in train and test."""
    for domain in ('casia', 'msu'):
        for split in ('train', 'test'):
            for name in ('real', 'fake'):
                videos = [f'{domain}/{split}/{name}/sub/{v}' for v in ('1_1', '1_2')]
                touch(root / 'frame', *(f'{v}_frame{i}.png' for v in videos for i in (0, 1)))
                write_list(root, f'{domain}_{name}_{split}', [listed(v, domain, paths_from) for v in videos])
    return root


def listed(video, domain, paths_from):
    path = f'{video}_frame0.png'
    return {'frame': f'/{path}', 'root': f'frame/{path}', 'domain': path.removeprefix(f'{domain}/')}[
        paths_from
    ]


def write_list(root, name, lines):
    touch(root, f'txt/{name}.txt')
    (root / f'txt/{name}.txt').write_text('\n'.join(lines) + '\n')


@pytest.mark.parametrize('paths_from', ['frame', 'root', 'domain'])
def test_testing_takes_the_implied_frame_and_training_the_listed_one(tmp_path, paths_from):
    root = mcio(tmp_path / 'MCIO', paths_from)
    train = AntiSpoofDataset(root, ['casia', 'msu'], 'train')
    assert summary(train)[:5] == [
        (0, 'fake', 'train/fake/sub/1_1', 'casia'),
        (0, 'fake', 'train/fake/sub/1_2', 'casia'),
        (1, 'real', 'train/real/sub/1_1', 'casia'),
        (1, 'real', 'train/real/sub/1_2', 'casia'),
        (0, 'fake', 'train/fake/sub/1_1', 'msu'),
    ]
    assert len(train) == 8 and train.metainfo['positive_class'] == 'real'
    test = AntiSpoofDataset(root, 'msu', 'test')
    assert [test.entry(i)['img_path'] for i in range(4)] == [
        str(root / f'frame/msu/test/fake/sub/{v}_frame{i}.png') for v in ('1_1', '1_2') for i in (0, 1)
    ]
    assert [e[2] for e in summary(test)] == [
        f'test/{c}/sub/{v}' for c in ('fake', 'real') for v in ('1_1', '1_1', '1_2', '1_2')
    ]
    check_splits({'train': train, 'test': test})
    assert len(AntiSpoofDataset(root, 'msu', 'test', all_frames=False)) == 4


def test_lists_and_folders_agree(tmp_path):
    root = mcio(tmp_path / 'MCIO')
    by_list, by_folder = (AntiSpoofDataset(root, ['casia'], 'test', lists=lists) for lists in (True, False))
    assert sorted(summary(by_list)) == sorted(summary(by_folder)) and len(by_list) == 8
    with pytest.raises(ValueError, match="'shot' exists as lists only"):
        AntiSpoofDataset(root, 'msu', 'shot', lists=False)


@pytest.mark.parametrize('lines', [['00'], [f'{i:02d}' for i in range(10)]], ids=['first', 'all'])
def test_wcs_has_ten_frames_however_many_are_listed(tmp_path, lines):
    for name in ('real', 'fake'):
        touch(tmp_path / 'frame', *(f'surf/test/{name}/v1_{i:02d}.jpg' for i in range(10)))
        write_list(tmp_path, f'surf_{name}_test', [f'surf/test/{name}/v1_{i}.jpg' for i in lines])
    data = AntiSpoofDataset(tmp_path, 'surf', 'test', protocol='WCS')
    assert len(data) == 20
    assert {e[2] for e in summary(data)} == {'test/real/v1', 'test/fake/v1'}
    assert data.entry(9)['img_path'].endswith('v1_09.jpg')
    assert len(AntiSpoofDataset(tmp_path, 'surf', 'test', protocol='WCS', max_frames_per_video=3)) == 6


def test_extra_domains_are_single_images(tmp_path):
    root = mcio(tmp_path / 'MCIO')
    for name in ('real', 'fake'):
        touch(root / 'frame', f'celeb/train/{name}/5.png', f'celeb/train/{name}/6_frame0.png')
        write_list(
            root, f'celeb_{name}_train', [f'celeb/train/{name}/5.png', f'celeb/train/{name}/6_frame0.png']
        )
    data = AntiSpoofDataset(root, ['msu'], 'train', extra_domains=['celeb'])
    assert summary(data)[4:] == [
        (0, 'fake', 'train/fake/5', 'celeb'),
        (0, 'fake', 'train/fake/6_frame0', 'celeb'),
        (1, 'real', 'train/real/5', 'celeb'),
        (1, 'real', 'train/real/6_frame0', 'celeb'),
    ]


def test_a_file_of_the_other_class_is_refused(tmp_path):
    root = mcio(tmp_path / 'MCIO')
    write_list(
        root, 'msu_real_test', ['msu/test/real/sub/1_1_frame0.png', 'msu/test/fake/sub/1_1_frame0.png']
    )
    with pytest.raises(
        ValueError, match=r"msu_real_test.txt:2: .* folder of another class, but the list is of 'real'"
    ):
        AntiSpoofDataset(root, 'msu', 'test')


@pytest.mark.parametrize(
    'line, message',
    [
        (
            'msu/test/real/sub/1_1.png',
            r"msu_real_test.txt:2: the name '1_1' does not end as frames of MCIO do",
        ),
        ('msu/test/real/sub/1_1_frame7.png', "txt:2: the name '1_1_frame7' does not end"),
        ('../../x_frame0.png', 'txt:2: .* leads out of the data_root'),
        ('msu/test/real/sub/1_1_frame0.png', 'txt:2: .* is listed a second time; the first is at .*txt:1'),
        (
            'msu/test/real/sub/9_9_frame0.png',
            r'2 of 4 listed files are missing: .*9_9_frame0.png.*9_9_frame1.png',
        ),
    ],
)
def test_bad_lines(tmp_path, line, message):
    root = mcio(tmp_path / 'MCIO')
    write_list(root, 'msu_real_test', ['msu/test/real/sub/1_1_frame0.png', line])
    with pytest.raises(ValueError, match=message):
        AntiSpoofDataset(root, 'msu', 'test')


def test_bad_arguments_and_missing_lists(tmp_path):
    root = mcio(tmp_path / 'MCIO')
    with pytest.raises(ValueError, match=r"oulu_fake_test.txt: no such list \('casia_fake_test.txt'"):
        AntiSpoofDataset(root, 'oulu', 'test')
    with pytest.raises(ValueError, match=r"no such folder; .* \(domains: 'casia', 'msu'\)"):
        AntiSpoofDataset(root, 'oulu', 'test', lists=False)
    with pytest.raises(
        ValueError, match=r"protocol \(by default the name of data_root\) must be one of 'MCIO'"
    ):
        AntiSpoofDataset(tmp_path, 'msu', 'test')
    with pytest.raises(ValueError, match='must name different domains'):
        AntiSpoofDataset(root, 'msu', 'test', extra_domains=['msu'])
    with pytest.raises(ValueError, match="split must be one of 'train', 'test', 'shot'"):
        AntiSpoofDataset(root, 'msu', 'val')


def test_missing_frames_can_be_skipped(tmp_path, warnings_of):
    root = mcio(tmp_path / 'MCIO')
    (root / 'frame/msu/test/real/sub/1_1_frame1.png').unlink()
    assert len(AntiSpoofDataset(root, 'msu', 'test', missing='skip')) == 7
    assert any('1 of 4 listed files are missing' in w for w in warnings_of())
