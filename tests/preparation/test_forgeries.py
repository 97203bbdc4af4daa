"""The deepfake sets as downloaded: which videos, which splits, which names."""

import json

import pytest

from fsfm_mm.datasets.labelled.published_rules import MANIPULATIONS
from fsfm_mm.preparation.sources.forgeries import folder_listing, forgery_listing
from fsfm_mm.preparation.sources.items import FrameChoice


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return str(root)


def keys(listing):
    return [item.key for item in listing.items]


def ffpp(root, compression='c23'):
    (root / 'dataset/splits').mkdir(parents=True)
    for split, pair in {'train': ['000', '003'], 'val': ['010', '012'], 'test': ['020', '021']}.items():
        (root / f'dataset/splits/{split}.json').write_text(json.dumps([pair]))
        a, b = pair
        touch(root, *(f'original_sequences/youtube/{compression}/videos/{v}.mp4' for v in pair))
        for name in MANIPULATIONS:
            touch(
                root,
                *(
                    f'manipulated_sequences/{name}/{compression}/videos/{v}.mp4'
                    for v in (f'{a}_{b}', f'{b}_{a}')
                ),
            )
    return str(root)


def test_ffpp(tmp_path):
    listing = forgery_listing('ffpp', ffpp(tmp_path))
    fakes = [f'fake_{name}' for name in MANIPULATIONS]
    assert listing.videos == {(s, f): 2 for s in ('train', 'val', 'test') for f in ('real_youtube', *fakes)}
    assert keys(listing)[:4] == [
        'train/real_youtube/000', 'train/real_youtube/003',
        'train/fake_Deepfakes/000_003', 'train/fake_Deepfakes/003_000',
    ]  # fmt: skip
    assert {item.frames.value for item in listing.items if 'real' in item.key} == {128}
    assert {item.frames.value for item in listing.items if 'fake' in item.key} == {32}
    first = listing.items[0]
    assert first.source == 'original_sequences/youtube/c23/videos/000.mp4'
    assert first.path == str(tmp_path / first.source)


def test_ffpp_one_manipulation_one_compression(tmp_path):
    root = ffpp(tmp_path, 'c40')
    options = {'compression': 'c40', 'manipulations': 'FaceSwap'}
    listing = forgery_listing(
        'ffpp', root, ['test'], FrameChoice('count', 8), real_frames=16, options=options
    )
    assert listing.videos == {('test', 'real_youtube'): 2, ('test', 'fake_FaceSwap'): 2}
    assert [item.frames.value for item in listing.items] == [16, 16, 8, 8]
    with pytest.raises(ValueError, match='c23: no such folder'):
        forgery_listing('ffpp', root)


@pytest.mark.parametrize(
    'count, options, real',
    [
        (32, {}, 128),  # as published
        (8, {}, 32),
        (32, {'manipulations': ['Deepfakes']}, 32),
        (32, {'manipulations': 'Deepfakes'}, 32),
        (10, {'manipulations': ['Deepfakes', 'FaceSwap']}, 20),
    ],
)
def test_ffpp_has_as_many_real_frames_as_forged_ones(tmp_path, count, options, real):
    listing = forgery_listing('ffpp', ffpp(tmp_path), ['test'], FrameChoice('count', count), options=options)
    assert listing.frames == {'fake': count, 'real': real}
    frames = {'fake': 0, 'real': 0}
    for item in listing.items:
        frames['real' if 'real' in item.key else 'fake'] += item.frames.value
    assert frames['fake'] == frames['real'] > 0


def test_no_real_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match='found 0'):
        forgery_listing('ffpp', ffpp(tmp_path), ['test'], real_frames=0)


def test_strides_count_for_both_classes(tmp_path):
    listing = forgery_listing('ffpp', ffpp(tmp_path), frames=FrameChoice('stride', 5))
    assert {(item.frames.mode, item.frames.value) for item in listing.items} == {('stride', 5)}


def test_celebdf_leaves_youtube_out_of_v2_only(tmp_path):
    videos = (
        'Celeb-real/id0_0000',
        'YouTube-real/00001',
        'Celeb-synthesis/id0_id1_0000',
        'Celeb-real/id1_0000',
    )
    touch(tmp_path, *(f'{v}.mp4' for v in videos))
    lines = ['1 Celeb-real/id0_0000.mp4', '1 YouTube-real/00001.mp4', '0 Celeb-synthesis/id0_id1_0000.mp4']
    (tmp_path / 'List_of_testing_videos.txt').write_text('\n'.join(lines))
    assert keys(forgery_listing('celebdf_v2', str(tmp_path))) == [
        'train/real/id1_0000', 'test/real/id0_0000', 'test/fake/id0_id1_0000',
    ]  # fmt: skip
    v1 = forgery_listing('celebdf_v1', str(tmp_path), ['test'])
    assert v1.videos == {('test', 'real'): 1, ('test', 'real_youtube'): 1, ('test', 'fake'): 1}


def test_celebdf_pp_keeps_the_manipulations_apart(tmp_path):
    touch(
        tmp_path,
        'Celeb-real/a.mp4',
        'Celeb-synthesis/FaceSwap/Inswap/a.mp4',
        'Celeb-synthesis/TalkingFace/Echo/a.mp4',
    )
    lines = [
        '1 Celeb-real/a.mp4',
        '0 Celeb-synthesis/FaceSwap/Inswap/a.mp4',
        '0 Celeb-synthesis/TalkingFace/Echo/a.mp4',
    ]
    (tmp_path / 'List_of_testing_videos.txt').write_text('\n'.join(lines))
    (tmp_path / 'YouTube-real').mkdir()
    listing = forgery_listing('celebdf_pp', str(tmp_path), ['test'])
    assert keys(listing) == ['test/real/a', 'test/fake_FaceSwap_Inswap/a', 'test/fake_TalkingFace_Echo/a']


def test_dfd_and_dfdc(tmp_path):
    dfd = touch(
        tmp_path / 'dfd', 'original_sequences/actors/c23/videos/a.mp4',
        'manipulated_sequences/DeepFakeDetection/c23/videos/a_b.mp4',
    )  # fmt: skip
    assert keys(forgery_listing('dfd_c23', dfd)) == ['test/real/a', 'test/fake/a_b']
    dfdc = touch(tmp_path / 'dfdc', 'x/aa.mp4', 'y/bb.mp4')
    (tmp_path / 'dfdc/labels.csv').write_text('filename,label\naa.mp4,1\nbb.mp4,0\ncc.mp4,0\n')
    listing = forgery_listing('dfdc', dfdc)
    assert keys(listing) == ['test/fake/aa', 'test/real/bb'] and listing.missing == ['test/cc']
    preview = touch(tmp_path / 'dfdcp', 'method_A/1/x.mp4', 'method_B/1/x.mp4', 'original_videos/2/y.mp4')
    table = {
        'method_A/1/x.mp4': {'label': 'fake', 'set': 'test'},
        'method_B/1/x.mp4': {'label': 'fake', 'set': 'test'},
        'original_videos/2/y.mp4': {'label': 'real', 'set': 'train'},
    }
    (tmp_path / 'dfdcp/dataset.json').write_text(json.dumps(table))
    assert keys(forgery_listing('dfdc_preview', preview)) == [
        'train/real/y',
        'test/fake_method_A/x',
        'test/fake_method_B/x',
    ]


def test_sets_of_pictures(tmp_path):
    wild = touch(
        tmp_path / 'wild',
        *(f'{c}_{s}/v1/{i}.png' for c in ('real', 'fake') for s in ('train', 'test') for i in (3, 12)),
    )
    listing = forgery_listing('wilddeepfake', wild, ['test'])
    assert keys(listing) == [f'test/{c}/v1_frame_{i}' for c in ('fake', 'real') for i in (12, 3)]
    assert all(item.frames is None for item in listing.items) and listing.videos[('test', 'real')] == 1
    diff = touch(
        tmp_path / 'diff',
        'DiFF_real/test/a/1.png',
        *(f'test/{s}/m/1.png' for s in ('T2I', 'I2I', 'FS', 'FE')),
    )
    listing = forgery_listing('diff', diff, ['test'])
    assert sorted(keys(listing)) == [
        *(f'test/fake_{s}/m/1' for s in ('FE', 'FS', 'I2I', 'T2I')),
        'test/real/a/1',
    ]


def test_wilddeepfake_keeps_videos_of_one_number_apart(tmp_path):
    files = [f'{c}_test/{tar}/{c}/14/{100 * tar}.png' for c in ('real', 'fake') for tar in (0, 1)]
    listing = forgery_listing('wilddeepfake', touch(tmp_path, *files), ['test'])
    assert keys(listing) == [
        f'test/{c}/{tar}/{c}/14_frame_{100 * tar}' for c in ('fake', 'real') for tar in (0, 1)
    ]
    assert listing.videos[('test', 'real')] == 2


def test_own_folders(tmp_path):
    root = touch(tmp_path / 'a', 'real/x.mp4', 'real/sub/y.jpg', 'fake_swap/x.mp4')
    listing = folder_listing(root, ['val'], FrameChoice('count', 4))
    assert keys(listing) == ['val/fake_swap/x', 'val/real/sub/y', 'val/real/x']
    assert [item.frames and item.frames.value for item in listing.items] == [4, None, 4]
    split = touch(tmp_path / 'b', *(f'{s}/{c}/{s}.avi' for s in ('train', 'test') for c in ('real', 'fake')))
    assert folder_listing(split).videos == {(s, c): 1 for s in ('train', 'test') for c in ('fake', 'real')}


def test_own_folders_take_splits_and_frames_as_asked(tmp_path):
    root = touch(tmp_path, *(f'{s}/{c}/{s}.avi' for s in ('train', 'test') for c in ('real', 'fake')))
    listing = folder_listing(root, ['test'], FrameChoice('count', 4), 8)
    assert {item.key: item.frames.value for item in listing.items} == {
        'test/fake/test': 4,
        'test/real/test': 8,
    }
    with pytest.raises(ValueError, match=r"no folder 'val'; the splits there are 'train', 'test'"):
        folder_listing(root, ['val'])
    own = touch(tmp_path / 'own', 'real/x.mp4', 'fake/x.mp4')
    with pytest.raises(ValueError, match='--splits names the one split that it is'):
        folder_listing(own, ['train', 'test'])
    with pytest.raises(ValueError, match='--real-frames goes with a number of --frames'):
        folder_listing(own, (), FrameChoice('all'), 8)


@pytest.mark.parametrize('name', ['wilddeepfake', 'diff'])
def test_sets_of_pictures_have_no_frames_to_choose(tmp_path, name):
    for asked in (dict(frames=FrameChoice('count', 8)), dict(real_frames=8)):
        with pytest.raises(ValueError, match=f'{name} has pictures, no videos'):
            forgery_listing(name, str(tmp_path), **asked)


@pytest.mark.parametrize(
    'files, message',
    [
        (['real/x.mp4'], "begin with 'real' and with 'fake'.*found 'real'"),
        (['real/x.mp4', 'fake/y.mp4', 'masks/z.mp4'], "found 'fake', 'masks', 'real'"),
        (['real/x.txt', 'fake/x.txt'], 'no videos or pictures'),
        (
            ['real/x.mp4', 'real/x.avi', 'fake/x.mp4'],
            r'x\.avi and .*x\.mp4 would both be written as test/real/x',
        ),
    ],
)
def test_wrong_folders(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        folder_listing(touch(tmp_path, *files))


def test_wrong_requests(tmp_path):
    root = ffpp(tmp_path)
    with pytest.raises(ValueError, match=r"the set must be one of .* but is 'ff'"):
        forgery_listing('ff', root)
    with pytest.raises(ValueError, match=r"the split of dfdc must be one of 'train', 'test', but is 'val'"):
        forgery_listing('dfdc', root, ['val'])
    with pytest.raises(ValueError, match="'dfd_raw' has no option 'manipulations'"):
        forgery_listing('dfd_raw', root, options={'manipulations': 'FaceSwap'})
    gone = touch(tmp_path / 'gone', 'a.mp4')
    (tmp_path / 'gone/labels.csv').write_text('filename,label\nnope.mp4,1\n')
    with pytest.raises(
        ValueError, match=r"none of the 1 videos of the split test is there, for instance 'nope'"
    ):
        forgery_listing('dfdc', gone)
