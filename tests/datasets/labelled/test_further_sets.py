"""Sets whose layouts are known from their documentation: which videos, which classes, what is refused."""

import pytest

from fsfm_mm.preparation.sources.forgeries import forgery_listing


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return str(root)


def keys(listing):
    return [item.key for item in listing.items]


def test_ffiw(tmp_path):
    root = touch(
        tmp_path,
        *(f'{f}/{s}/00{n}.mp4' for f in ('source', 'target') for s in ('train', 'val') for n in (1, 2)),
    )
    listing = forgery_listing('ffiw', root)
    assert listing.videos == {(s, c): 2 for s in ('train', 'val') for c in ('real', 'fake')}
    assert keys(listing)[:2] == ['train/real/001', 'train/real/002']
    assert 'no folders source/test and target/test' in listing.notes[0]
    with pytest.raises(ValueError, match='no folders source/test'):
        forgery_listing('ffiw', root, ['test'])


def test_uadfv(tmp_path):
    root = touch(tmp_path, 'real/0000.mp4', 'fake/0000_fake.mp4')
    assert keys(forgery_listing('uadfv', root)) == ['test/real/0000', 'test/fake/0000_fake']


def test_fakeavceleb_goes_by_what_is_seen(tmp_path):
    kinds = [f'{v}Video-{a}Audio' for v in ('Real', 'Fake') for a in ('Real', 'Fake')]
    root = touch(tmp_path, *(f'{kind}/African/men/id00076/00109.mp4' for kind in kinds))
    assert keys(forgery_listing('fakeavceleb', root)) == [
        f'test/{c}_{c}video_{a}audio/African/men/id00076/00109'
        for c in ('real', 'fake')
        for a in ('real', 'fake')
    ]
    (tmp_path / kinds[3] / 'African/men/id00076/00109.mp4').unlink()
    assert forgery_listing('fakeavceleb', root).missing == ['test/FakeVideo-FakeAudio/*']


def test_deepfake_eval_2024(tmp_path):
    root = touch(tmp_path, 'video-data/a.mp4', 'video-data/b.mp4', 'video-data/c.mp4')
    table = tmp_path / 'video-metadata-publish.csv'
    head = 'Filename,Video Ground Truth,Audio Ground Truth,Finetuning Set\n'
    table.write_text(
        f'{head}a.mp4,Real,Fake,Test\nb.mp4,Fake,Real,Train\nc.mp4,Unknown,Real,Test\nd.mp4,Fake,Fake,Test\n'
    )
    listing = forgery_listing('deepfake_eval_2024', root, ['test'])
    assert keys(listing) == ['test/real/a'] and listing.missing == ['test/video-data/d']
    for content, message in (
        (head + 'a.mp4,Maybe,Real,Test\n', r"publish\.csv:2: expected Real, Fake or Unknown.*'Maybe'"),
        ('File,Truth\na,Real\n', 'expected the columns Filename, Video Ground Truth and Finetuning Set'),
    ):
        table.write_text(content)
        with pytest.raises(ValueError, match=message):
            forgery_listing('deepfake_eval_2024', root, ['test'])
    table.unlink()
    with pytest.raises(ValueError, match=r'no video-metadata-publish\.csv'):
        forgery_listing('deepfake_eval_2024', root, ['test'])
