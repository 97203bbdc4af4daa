"""Anti-spoofing sets as downloaded: which videos, which splits and classes, which lists."""

from collections import Counter

import pytest

from fsfm_mm.datasets import AntiSpoofDataset, entries_of
from fsfm_mm.preparation.sources.items import FrameChoice
from fsfm_mm.preparation.sources.spoofs import copy_lists, protocol_listing, spoof_listing, write_lists


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return str(root)


def keys(listing):
    return [item.key for item in listing.items]


def test_msu_goes_by_the_clients_of_its_lists(tmp_path):
    root = touch(
        tmp_path,
        'scene01/real/real_client001_android_SD_scene01.mp4',
        'scene01/real/real_client002_laptop_SD_scene01.mov',
        'scene01/real/real_client003_laptop_SD_scene01.mov',
        'scene01/attack/attack_client002_android_SD_ipad_video_scene01.mp4',
        'notes.mp4',
    )
    (tmp_path / 'train_sub_list.txt').write_text('02\n05\n')
    (tmp_path / 'test_sub_list.txt').write_text('01\n')
    listing = spoof_listing(root, 'msu')
    assert sorted(keys(listing)) == [
        'test/real/real_client001_android_SD_scene01',
        'train/fake/attack_client002_android_SD_ipad_video_scene01',
        'train/real/real_client002_laptop_SD_scene01',
    ]
    assert listing.items[0].frames == FrameChoice('parts', 2, first=6, search=True)
    assert spoof_listing(root, 'msu', form='ours').items[0].frames == FrameChoice('middle', 2)
    assert listing.left_out == 2  # the client in neither list, and what is no video of a client
    assert listing.items[0].frame_name.format(index=75, number=1) == '_frame1'


def test_casia(tmp_path):
    names = ('1', '2', 'HR_1', '3', '8', 'HR_2', 'HR_4')
    root = touch(
        tmp_path, *(f'{s}_release/{p}/{n}.avi' for s in ('train', 'test') for p in (1, 12) for n in names)
    )
    listing = spoof_listing(root, 'casia')
    assert listing.videos == {(s, c): n for s in ('train', 'test') for c, n in (('real', 6), ('fake', 8))}
    # people of the same number in train and test are different people, and their videos have different names
    assert len(set(keys(listing))) == 28 and 'test/real/12_HR_1' in keys(listing)


def test_replay_and_oulu(tmp_path):
    replay = touch(
        tmp_path / 'replay', 'train/real/a.mov', 'devel/real/b.mov', 'test/attack/fixed/c.mov', 'enroll/x.mov'
    )
    listing = spoof_listing(replay, 'replay')
    assert keys(listing) == ['devel/real/b', 'test/fake/fixed_c', 'train/real/a']
    assert listing.left_out == 1
    assert keys(spoof_listing(replay, 'replay', form='ours')) == [
        'train/real/devel_b',
        'test/fake/fixed_c',
        'train/real/a',
    ]
    oulu = touch(
        tmp_path / 'oulu', 'Train_files/1_1_01_1.avi', 'Dev_files/1_1_21_1.avi', 'Test_files/6_3_55_5.avi'
    )
    listing = spoof_listing(oulu, 'oulu')
    assert keys(listing) == ['test/fake/6_3_55_5', 'train/real/1_1_01_1'] and listing.left_out == 1
    assert keys(spoof_listing(oulu, 'oulu', form='ours')) == [
        'train/real/1_1_21_1', 'test/fake/6_3_55_5', 'train/real/1_1_01_1',
    ]  # fmt: skip


def test_sorted_by_hand(tmp_path):
    videos = touch(tmp_path / 'v', 'train/real/p1/a.mp4', 'test/fake/b.mp4', 'other/c.mp4')
    listing = spoof_listing(videos, 'wmca', 'WCS')
    assert listing.items[0].frames.indices(305).tolist() == list(range(0, 300, 30))
    assert keys(listing) == ['test/fake/b', 'train/real/p1_a']
    assert (
        listing.items[0].frames.value == 10 and listing.items[0].frame_name.format(index=9, number=3) == '_03'
    )
    pictures = touch(
        tmp_path / 'p', *(f'test/{c}/a_{i:02d}.jpg' for c in ('real', 'fake') for i in range(10))
    )
    listing = spoof_listing(pictures, 'surf', 'WCS')
    assert len(listing.items) == 20 and listing.videos == {('test', 'real'): 1, ('test', 'fake'): 1}
    assert keys(listing)[0] == 'test/fake/a_00'
    with pytest.raises(
        ValueError, match=r"x\.jpg: the name .*x' does not end as frames of MCIO do \('0', '1'"
    ):
        spoof_listing(touch(tmp_path / 'q', 'test/real/x.jpg'), 'own')


def test_celeb_a_spoof_is_single_pictures(tmp_path):
    root = touch(
        tmp_path / 'src',
        *(f'Data/{s}/{i}/{c}/00{i}.{e}' for s in ('train', 'test') for i in (1, 2) for c, e in
          (('live', 'png'), ('spoof', 'jpg'))),
        'Data/train/1/live/001_BB.txt',
        'metas/labels.png',
    )  # fmt: skip
    listing = spoof_listing(root, 'celeb')
    assert sorted(keys(listing))[-2:] == ['train/real/1_001', 'train/real/2_002']
    assert len(set(keys(listing))) == 8 and listing.left_out == 1
    assert listing.videos == {(s, c): 2 for s in ('train', 'test') for c in ('real', 'fake')}
    out = tmp_path / 'MCIO'
    touch(out / 'frame/celeb', *(f'{key}.png' for key in keys(listing)))
    assert write_lists(out, 'celeb', 'image', [f'{key}.png' for key in keys(listing)]) == {
        f'celeb_{c}_{s}.txt': 2 for c in ('real', 'fake') for s in ('train', 'test')
    }
    touch(out, *(f'frame/own/train/{c}/v_frame0.png' for c in ('real', 'fake')))
    write_lists(out, 'own', 'MCIO', [f'train/{c}/v_frame{k}.png' for c in ('real', 'fake') for k in (0, 1)])
    data = AntiSpoofDataset(str(out), 'own', 'train', extra_domains=['celeb'])
    assert Counter(e['domain'] for e in entries_of(data)) == {'own': 2, 'celeb': 4}


def test_lists_of_the_protocol_name_the_pictures(tmp_path):
    root = touch(tmp_path / 'src', 'casia/train/real/a_frame0.png', 'casia/train/real/a_frame1.png')
    lists = tmp_path / 'txt'
    lists.mkdir()
    (lists / 'casia_real_train.txt').write_text(
        'casia/train/real/a_frame0.png\ncasia/train/real/b_frame0.png\n'
    )
    listing = protocol_listing(root, str(lists), 'casia')
    assert keys(listing) == ['train/real/a_frame0', 'train/real/a_frame1']
    assert listing.missing == ['casia/train/real/b_frame0.png', 'casia/train/real/b_frame1.png']
    assert copy_lists(tmp_path / 'out', str(lists), 'casia') == ['casia_real_train.txt']
    (lists / 'casia_fake_test.txt').write_text('../../etc/passwd_frame0.png\n')
    with pytest.raises(ValueError, match=r'casia_fake_test\.txt:1: .* leads out'):
        protocol_listing(root, str(lists), 'casia')
    (lists / 'casia_fake_test.txt').write_text('casia/test/fake/c_frame2.png\n')
    with pytest.raises(
        ValueError, match=r"casia_fake_test\.txt:1: the name 'casia/test/fake/c_frame2' does not end"
    ):
        protocol_listing(root, str(lists), 'casia')
    with pytest.raises(ValueError, match='no lists msu_'):
        protocol_listing(root, str(lists), 'msu')


def test_lists_of_jpegs_and_of_shots_name_what_is_written(tmp_path):
    root, out = tmp_path / 'src', tmp_path / 'MCIO'
    listed = {
        f'{c}_{s}': f'casia/train/{c}/{s}_frame0.jpg' for c in ('real', 'fake') for s in ('train', 'shot')
    }
    touch(root, *listed.values())
    touch(tmp_path / 'txt', *(f'casia_{name}.txt' for name in listed))
    for name, path in listed.items():
        (tmp_path / f'txt/casia_{name}.txt').write_text(f'{path}\n')
    listing = protocol_listing(str(root), str(tmp_path / 'txt'), 'casia')
    assert listing.missing == [f'casia/train/{c}/train_frame1.jpg' for c in ('fake', 'real')]
    touch(out / 'frame/casia', *(f'{key}.png' for key in keys(listing)))
    assert len(copy_lists(out, str(tmp_path / 'txt'), 'casia')) == 4
    for split in ('train', 'shot'):
        data = AntiSpoofDataset(str(out), 'casia', split)
        assert sorted(e['img_path'] for e in entries_of(data)) == [
            f'{out}/frame/casia/train/{c}/{split}_frame0.png' for c in ('fake', 'real')
        ]


def test_written_lists_are_what_the_data_set_reads(tmp_path):
    root = tmp_path / 'MCIO'
    files = [f'frame/own/{s}/{c}/v{i}_frame{k}.png' for s in ('train', 'test') for c in ('real', 'fake')
             for i in range(3) for k in range(2)]  # fmt: skip
    gone = files.pop()  # the face of one frame was not found
    touch(root, *files)
    prepared = [*(file.removeprefix('frame/own/') for file in files), None]
    counts = write_lists(root, 'own', 'MCIO', prepared)
    assert counts == {
        f'own_{c}_{s}.txt': 3 - (c == 'fake' and s == 'test')
        for s in ('train', 'test')
        for c in ('real', 'fake')
    }
    data = AntiSpoofDataset(str(root), 'own', 'test')
    assert Counter(e['class_name'] for e in entries_of(data)) == {'real': 6, 'fake': 4}
    assert gone.replace('frame1', 'frame0') not in str(list(entries_of(data)))
    assert len(AntiSpoofDataset(str(root), 'own', 'train')) == 6


@pytest.mark.parametrize(
    'files, domain, message',
    [
        (['train/real/a.mp4'], 'own', "found videos of 'real', but expected real and fake"),
        (['a.avi'], 'casia', r'found videos of no class.*\{train,test\}_release/PERSON/NAME\.avi'),
        (
            ['train/real/a/b.mp4', 'train/real/a_b.mp4', 'train/fake/c.mp4'],
            'own',
            r'b\.mp4 and .*b\.mp4 would both be written as train/real/a_b: rename',
        ),
        (['scene01/real/real_client001_a.mp4'], 'msu', r'train_sub_list\.txt: the list cannot be read'),
    ],
)
def test_wrong_sources(tmp_path, files, domain, message):
    with pytest.raises(ValueError, match=message):
        spoof_listing(touch(tmp_path, *files), domain)
