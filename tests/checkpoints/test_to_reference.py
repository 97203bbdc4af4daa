"""Our checkpoints as the reference's own files: the same tensors under the same names after a round trip."""

import pytest
import torch
from foreign_checkpoints import golden
from golden import load_pretrain_golden
from torch.testing import assert_close

from fsfm_mm.checkpoints import heads
from fsfm_mm.checkpoints.convert import convert
from fsfm_mm.checkpoints.convert_files import convert_file
from fsfm_mm.checkpoints.to_reference import to_reference, write_reference_files
from fsfm_mm.files.checkpoint_files import load_checkpoint_file, save_checkpoint_file

FILES = {
    'fsfm-finetuned': 'vit_cls_avg',
    'fs-adapter': 'fs_adapter',
    'fsfm-fas': 'fas_full',
    'fs-adapter-fas': 'fas_adapter',
}
#: Stored in the reference and read by nothing: not kept on the way.
UNUSED = ('backbone.vit.head.',)


def pretraining():
    arrays, _ = load_pretrain_golden()
    part = lambda prefix: {  # noqa: E731
        key.removeprefix(prefix): torch.from_numpy(value) if not torch.is_tensor(value) else value
        for key, value in arrays.items()
        if key.startswith(prefix)
    }
    return part('online/'), part('target/')


def assert_same(found, expected):
    assert set(found) == set(expected)
    for key, value in expected.items():
        if key.startswith(UNUSED):
            assert found[key].shape == value.shape and not found[key].any()
        else:
            assert_close(found[key], value, rtol=0, atol=0)


@pytest.mark.parametrize('kind', FILES)
def test_round_trip_is_exact(kind):
    theirs = golden(FILES[kind])[0]
    ours, _ = convert(theirs, kind)
    back, second = to_reference({'state_dict': ours}, kind)
    assert second is None
    assert_same(back, theirs)
    assert_same(convert(back, kind)[0], ours)


def test_pretraining_is_two_files(tmp_path):
    online, target = pretraining()
    for name, state in (('checkpoint-400.pth', online), ('checkpoint-te-400.pth', target)):
        save_checkpoint_file({'model': state}, tmp_path / name)
    convert_file(
        tmp_path / 'checkpoint-400.pth',
        tmp_path / 'ours.pth',
        'fsfm-pretrain',
        target_file=tmp_path / 'checkpoint-te-400.pth',
        facts={'num_heads': 3},
    )
    files = write_reference_files(tmp_path / 'ours.pth', tmp_path / 'back.pth', 'fsfm-pretrain')
    assert [path.name for path in files] == ['back.pth', 'back-te.pth']
    assert_same(load_checkpoint_file(files[0])['model'], online)
    found = load_checkpoint_file(files[1])['model']
    if 'mask_token' in found and 'mask_token' not in target:
        del found['mask_token']
    unused = {'mask_token': online['mask_token']} if 'mask_token' in target else {}
    assert_same(found, {**target, **unused})


def test_heads_that_the_reference_does_not_have_are_refused(tmp_path, monkeypatch):
    ours, _ = convert(golden('vit_cls_avg')[0], 'fsfm-finetuned')
    save_checkpoint_file({'state_dict': ours, 'card': {'num_heads': 3}}, tmp_path / 'ours.pth')
    files = write_reference_files(tmp_path / 'ours.pth', tmp_path / 'back.pth', 'fsfm-finetuned')
    card, _ = convert_file(files[0], tmp_path / 'again.pth', 'fsfm-finetuned')
    assert card.num_heads == 3  # the card went along
    monkeypatch.setitem(heads.REFERENCE, heads.width_and_depth(ours), 12)
    with pytest.raises(
        ValueError, match=r'weights of 3 attention heads, but the reference builds .* with 12'
    ):
        write_reference_files(tmp_path / 'ours.pth', tmp_path / 'no.pth', 'fsfm-finetuned')
    assert not (tmp_path / 'no.pth').exists()


def test_weights_of_another_kind_are_refused(tmp_path):
    ours, _ = convert(golden('fs_adapter')[0], 'fs-adapter')
    with pytest.raises(ValueError, match=r"could become 'fsfm-fas': .*unexpected: head\.fc"):
        to_reference(ours, 'fsfm-fas')
    with pytest.raises(ValueError, match="'mae' is no kind of file of the reference: choose one of"):
        to_reference(ours, 'mae')
    save_checkpoint_file({'state_dict': ours}, tmp_path / 'ours.pth')
    with pytest.raises(ValueError, match='could become'):
        write_reference_files(tmp_path / 'ours.pth', tmp_path / 'out.pth', 'fsfm-pretrain')
    assert [path.name for path in tmp_path.iterdir()] == ['ours.pth']
