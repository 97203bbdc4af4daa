"""The doctor on labelled data: leakage, counts and layouts; each fault planted, each check passed once."""

import itertools
import json
import shutil

import pytest
from checked_sets import drawn, labelled_set, write_picture

from fsfm_mm.datasets.labelled.published_rules import MANIPULATIONS
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS
from fsfm_mm.doctor.expected import expected_set, expected_sets, guess_identity, people_of
from fsfm_mm.doctor.labelled import check_labelled, check_videos
from fsfm_mm.doctor.listing import kind_of
from fsfm_mm.doctor.report import Report

CLEAN = {
    'train/real': ['a', 'b'],
    'train/fake_x': ['c', 'd'],
    'val/real': ['e'],
    'val/fake_x': ['f'],
    'test/real': ['g'],
    'test/fake_x': ['h'],
}


def check(root, kind='deepfake', **options):
    return check_labelled(str(root), kind, progress=False, **options)[0]


def found(report):
    return {(f.level, f.check): list(f.files) for f in report.findings}


def messages(report, name):
    return [f.message for f in report.findings if f.check == name]


def test_clean_set_passes(tmp_path):
    report = check(labelled_set(tmp_path, CLEAN))
    assert found(report) == {}
    assert report.facts == [
        'classes: 0 = fake, 1 = real (alphabetical); the score is P(real)',
        '16 pictures in 3 splits (train, val, test)',
    ]
    assert report.tables[0].rows == (
        ('train', 'fake_x', 'fake', 4, 2, '2'),
        ('train', 'real', 'real', 4, 2, '2'),
        ('val', 'fake_x', 'fake', 2, 1, '2'),
        ('val', 'real', 'real', 2, 1, '2'),
        ('test', 'fake_x', 'fake', 2, 1, '2'),
        ('test', 'real', 'real', 2, 1, '2'),
    )
    assert len(report.samples) == 16


def test_splits_can_be_chosen_and_left_out(tmp_path):
    labelled_set(tmp_path / 'no_splits', {'real': ['a'], 'fake': ['b']})
    assert [row[0] for row in check(tmp_path / 'no_splits').tables[0].rows] == ['all', 'all']
    labelled_set(tmp_path / 'set', CLEAN)
    report = check(tmp_path / 'set', splits=['train', 'test'])
    assert {row[0] for row in report.tables[0].rows} == {'train', 'test'}


def test_near_duplicates_in_two_splits_are_errors_and_within_one_notes(tmp_path):
    labelled_set(tmp_path, CLEAN)
    write_picture(tmp_path / 'test/real/leak_frame_0.jpg', drawn(0)[0])  # train/real/a_frame_0
    write_picture(tmp_path / 'train/real/twice_frame_0.jpg', drawn(0)[0])
    report = check(tmp_path)
    files = found(report)
    assert set(files) == {('error', 'near-duplicates in two splits'), ('note', 'near-duplicates')}
    (pair,) = files['error', 'near-duplicates in two splits']
    assert 'test/real/leak_frame_0.jpg' in pair and 'train/real/' in pair
    first, second = report.lookalikes[0]
    assert {first.name.split('/')[0], second.name.split('/')[0]} == {'train', 'test'}


def test_one_video_in_two_splits(tmp_path):
    labelled_set(tmp_path, CLEAN)
    labelled_set(tmp_path, {'test/real': ['a']}, first=30)  # other faces under the same name
    report = check(tmp_path)
    assert set(found(report)) == {('error', 'same video')}
    assert found(report)['error', 'same video'][0].endswith(': real/a')


def test_pictures_of_one_folder_are_a_video(tmp_path):
    entries = [
        {'img_path': f'a/{i}.png', 'class_name': 'real', 'video_id': 'real/a', 'domain': 'd'} for i in (0, 1)
    ]
    report = Report('root', 'deepfake')
    check_videos(report, {'train': entries, 'test': entries[:1]})
    assert found(report) == {('error', 'same video'): ['d: real/a']}


def test_pictures_of_one_name_in_two_splits_are_a_warning(tmp_path):
    numbers = itertools.count()
    for split, folder in itertools.product(('train', 'test'), ('real', 'fake')):
        write_picture(tmp_path / split / folder / '0001.png', drawn(next(numbers))[0])
    assert set(found(check(tmp_path))) == {('warning', 'same name')}


def test_persons_of_ffpp_in_two_splits(tmp_path):
    videos = {
        'train/real': ['012', '345'],
        'train/fake_Deepfakes': ['012_345', '345_012'],
        'test/real': ['001', '002'],
        'test/fake_Deepfakes': ['001_012', '002_001'],
    }
    labelled_set(tmp_path, videos, frames=1)
    report = check(tmp_path)  # guessed: a warning
    (files,) = found(report).values()
    assert list(found(report)) == [('warning', 'same person')]
    assert len(files) == 1 and ': 012: ' in files[0] and 'fake_Deepfakes/001_012' in files[0]
    assert list(found(check(tmp_path, identity=r'(\d{3})(?:_(\d{3}))?'))) == [('error', 'same person')]
    assert found(check(tmp_path, identity='')) == {}
    expected = check(tmp_path, expected=expected_set('ffpp-c23'))
    assert ('error', 'same person') in found(expected)


def test_persons_by_a_pattern_of_ones_own(tmp_path):
    labelled_set(
        tmp_path,
        {'train/real': ['ann-1'], 'train/fake': ['bob-1'], 'test/real': ['ann-2'], 'test/fake': ['c-1']},
    )
    assert found(check(tmp_path)) == {}
    report = check(tmp_path, identity=r'(\w+)-\d+')
    assert list(found(report)) == [('error', 'same person')]
    assert [': ann: ' in file for file in found(report)['error', 'same person']] == [True]
    with pytest.raises(ValueError, match='--identity'):
        check(tmp_path, identity='(')
    with pytest.raises(ValueError, match='--identity'):
        check(tmp_path, identity='no group')


def test_patterns_of_the_published_names():
    assert people_of('fake_x/012_345', expected_set('ffpp-raw').identity) == {'012', '345'}
    assert people_of('real/id3_0001', expected_set('celebdf-v2').identity) == {'3'}
    assert people_of('fake/id3_id17_0001', expected_set('celebdf-pp').identity) == {'3', '17'}
    assert people_of('fake/01_27__hugging_happy__ABC', expected_set('dfd-raw').identity) == {'01', '27'}
    assert people_of('real/clip', expected_set('ffpp-raw').identity) == set()
    assert expected_set('dfdc').identity is None
    assert guess_identity(['real/012', 'fake/clip']) is None
    assert guess_identity(['real/id1_0001', 'fake/id1_id2_0001']) == expected_set('celebdf-v1').identity


def test_an_unfinished_preparation(tmp_path):
    labelled_set(tmp_path, CLEAN)
    (tmp_path / '.prepare').mkdir()
    assert set(found(check(tmp_path))) == {('warning', 'unfinished')}
    (tmp_path / 'prepare.json').write_text('{}')
    assert found(check(tmp_path)) == {}


def test_an_unfinished_preparation_of_a_domain(tmp_path):
    folders = [f'frame/casia/{s}/{c}' for s in ('train', 'test') for c in ('real', 'fake')]
    for number, folder in enumerate(folders):
        for frame in range(2):
            write_picture(tmp_path / folder / f'v_frame{frame}.png', drawn(2 * number + frame)[0])
    for domain in ('casia', 'msu'):  # of msu only the beginning: no lists, nothing listed
        (tmp_path / f'frame/{domain}/.prepare').mkdir(parents=True)
    (tmp_path / 'txt').mkdir()
    for s, c in itertools.product(('train', 'test'), ('real', 'fake')):
        (tmp_path / f'txt/casia_{c}_{s}.txt').write_text(f'casia/{s}/{c}/v_frame0.png\n')
    report = check(tmp_path, 'antispoof', protocol='MCIO')
    told = messages(report, 'unfinished')
    assert ['frame/casia is not' in told[0], 'frame/msu is not' in told[1]] == [True, True]


def test_published_counts(tmp_path):
    labelled_set(tmp_path, {'test/real_youtube': ['001', '002'], 'test/fake_FaceSwap': ['001_002']}, frames=2)
    report = check(tmp_path, expected=expected_set('ffpp-c23'))
    counts = messages(report, 'counts')
    assert len(counts) == 3
    assert "1 videos in fake_FaceSwap of 'test', but 140 are published" in counts[0]
    assert "2 videos in real_youtube of 'test', but 140 are published" in counts[1]
    assert counts[2].startswith("'test' has no Deepfakes, Face2Face, NeuralTextures: ")
    frames = messages(report, 'frames')
    assert '1 of 1 fake videos' in frames[0] and 'other than 32 frames' in frames[0]
    assert '2 of 2 real videos' in frames[1] and 'other than 128 frames' in frames[1]
    assert check(tmp_path).findings == []


def test_published_counts_are_met(tmp_path, monkeypatch):
    from fsfm_mm.doctor import expected as module

    monkeypatch.setattr(module.Expected, 'videos', lambda self, split: {'test': 2}[split])
    monkeypatch.setattr(module.Expected, 'frames', lambda self, class_name: 3)
    labelled_set(
        tmp_path,
        {'test/real_youtube': ['001', '002']}
        | {f'test/fake_{name}': ['001_002', '002_001'] for name in MANIPULATIONS},
        frames=3,
    )
    assert messages(check(tmp_path, expected=expected_set('ffpp-c23')), 'counts') == []
    shutil.rmtree(tmp_path / 'test/fake_NeuralTextures')
    (message,) = messages(check(tmp_path, expected=expected_set('ffpp-c23')), 'counts')
    assert message.startswith("'test' has no NeuralTextures: ")


def test_what_is_expected_of_the_published_sets():
    sets = expected_sets()
    others = {name.replace('_', '-') for name in PUBLISHED_SETS if name != 'ffpp'}
    assert set(sets) == {'ffpp-raw', 'ffpp-c23', 'ffpp-c40', *others} and 'celebdf-v2' in others
    ffpp = sets['ffpp-c40']
    assert [ffpp.videos(split) for split in ('train', 'val', 'test')] == [720, 140, 140] and ffpp.row.count_by
    assert sets['dfdc'].videos('test') == 5000 and not sets['dfdc'].row.count_by
    assert sets['celebdf-v2'].videos('test') is None
    assert (ffpp.frames('real'), ffpp.frames('fake')) == (128, 32)
    assert sets['diff'].frames('real') is None
    with pytest.raises(ValueError, match=r"--expect must be one of .* but is 'ff'"):
        expected_set('ff')


def test_source_layout_of_a_published_set(tmp_path):
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/test.json').write_text(json.dumps([['001', '002']]))
    (tmp_path / 'splits/train.json').write_text(json.dumps([['003', '004']]))
    real, fake = 'original_sequences/youtube/c23/videos', 'manipulated_sequences/{}/c23/videos'
    labelled_set(tmp_path, {real: ['001', '003']}, frames=1)
    names = ('Deepfakes', 'Face2Face', 'FaceSwap', 'NeuralTextures')
    for number, name in enumerate(names):
        labelled_set(tmp_path, {fake.format(name): ['001_002', '003_004']}, frames=1, first=2 + 2 * number)
    assert kind_of(str(tmp_path), expect='ffpp-c23') == 'deepfake'
    report = check(tmp_path, expected=expected_set('ffpp-c23'), splits=['train', 'test'])
    assert {row[:3] for row in report.tables[0].rows if row[0] == 'test'} == {
        ('test', 'real/original_sequences/youtube/c23', 'real'),
        *(('test', f'fake/manipulated_sequences/{name}/c23', 'fake') for name in names),
    }
    assert sum('published' in message for message in messages(report, 'counts')) == 10
    assert not messages(report, 'same person')
    with pytest.raises(ValueError, match=r'no split; expected .* together with --expect'):
        check(tmp_path)


def test_broken_flat_and_colliding_files(tmp_path):
    labelled_set(tmp_path, CLEAN)
    path = tmp_path / 'val/real/e_frame_0.png'
    path.write_bytes(path.read_bytes()[:50])
    write_picture(tmp_path / 'train/real/A_frame_0.png', drawn(20)[0])
    files = found(check(tmp_path))
    assert set(files) == {('error', 'unreadable picture'), ('warning', 'name collision')}
    assert files['warning', 'name collision'] == ['train/real/A_frame_0.png', 'train/real/a_frame_0.png']
    write_picture(tmp_path / 'train/real/a_frame_0.jpg', drawn(21)[0])
    report = check(tmp_path)
    assert 'differ in their extension only' in messages(report, 'unusable split')[0]
    assert {row[0] for row in report.tables[0].rows} == {'val', 'test'}  # the others are checked all the same


def test_empty_class_and_imbalance(tmp_path):
    labelled_set(tmp_path, {'train/real': ['a'], 'train/fake': ['b', 'c', 'd'], 'test/real': ['e']}, frames=1)
    (tmp_path / 'test/fake').mkdir()
    report = check(tmp_path)
    assert set(found(report)) == {('error', 'listing'), ('note', 'imbalance')}
    assert "no samples of class 'fake'" in messages(report, 'listing')[0]
    assert "'train' are uneven (3 fake, 1 real)" in messages(report, 'imbalance')[0]


def test_missing_split(tmp_path):
    labelled_set(tmp_path, CLEAN)
    report = check(tmp_path, splits=['train', 'dev'])
    assert "the split 'dev' cannot be listed" in messages(report, 'unusable split')[0]


def spoof_set(root, videos):
    """Frames 0 and 1 of ``{(domain, split, class): names}``, with lists."""
    (root / 'txt').mkdir(parents=True)
    number = 0
    for (domain, split, name), names in videos.items():
        lines = []
        for video in names:
            for frame in (0, 1):
                path = f'{domain}/{split}/{name}/{video}_frame{frame}.png'
                write_picture(root / 'frame' / path, drawn(number)[0])
                number += 1
            lines.append(f'{domain}/{split}/{name}/{video}_frame0.png\n')
        (root / 'txt' / f'{domain}_{name}_{split}.txt').write_text(''.join(lines))
    return root


def test_antispoofing_lists(tmp_path):
    videos = {
        (d, s, c): [f'a{d}{s}{c}', f'b{d}{s}{c}']
        for d in ('casia', 'msu')
        for s in ('train', 'test')
        for c in ('real', 'fake')
    }
    root = spoof_set(tmp_path / 'MCIO', videos)
    assert kind_of(str(root)) == 'antispoof'
    report = check(root, 'antispoof')
    assert found(report) == {}
    assert {row[:4] for row in report.tables[0].rows if row[2] == 'real'} == {
        (split, f'{domain}: {split}/real', 'real', pictures)
        for domain in ('casia', 'msu')
        for split, pictures in (('train', 2), ('test', 4))
    }
    (root / 'frame/msu/train/real/bmsutrainreal_frame0.png').unlink()
    report = check(root, 'antispoof')
    assert any('listed files are missing' in message for message in messages(report, 'listing'))
    with pytest.raises(ValueError, match='--protocol'):
        check(root.rename(tmp_path / 'mine'), 'antispoof')
    assert not check(tmp_path / 'mine', 'antispoof', protocol='MCIO').count('note')


def test_kinds_are_told_by_the_folders(tmp_path):
    with pytest.raises(ValueError, match='no such folder'):
        kind_of(str(tmp_path / 'nowhere'))
    (tmp_path / 'stuff').mkdir()
    with pytest.raises(ValueError, match=r"looks like no data set; .* found 'stuff'"):
        kind_of(str(tmp_path))
    assert kind_of(str(tmp_path), 'antispoof') == 'antispoof'
    for folder, kind in (('images', 'pretrain'), ('txt', 'antispoof'), ('train/real_x', 'deepfake')):
        root = tmp_path / kind
        (root / folder).mkdir(parents=True)
        assert kind_of(str(root)) == kind


@pytest.mark.faces
def test_real_faces(faces):
    report = check(faces / 'real_vs_t2i')
    # the generated portraits stand before other walls than the photographs
    assert {finding.check for finding in report.findings} == {'shortcut'}
    found = {f.message.partition(' alone')[0]: f.level for f in report.findings}
    walls = dict.fromkeys(('border colour', 'rim pixels', 'background'), 'warning')
    assert found == {'bytes per pixel': 'note', **walls}
    assert [row[3] for row in report.tables[0].rows] == [105, 105, 45, 45]
