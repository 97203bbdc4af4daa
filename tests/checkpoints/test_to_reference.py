"""Our checkpoints as the reference's own files: the same tensors under the same names after a round trip."""

import dataclasses

import pytest
import torch
from foreign_checkpoints import golden
from golden import load_pretrain_golden
from torch.testing import assert_close

from fsfm_mm.checkpoints import ModelCard, heads
from fsfm_mm.checkpoints.convert import convert
from fsfm_mm.checkpoints.convert_files import convert_file
from fsfm_mm.checkpoints.to_reference import to_reference, write_reference_files
from fsfm_mm.commands import convert as command
from fsfm_mm.files.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from fsfm_mm.statistics import load_mean_std

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


def test_the_command_writes_what_the_reference_reads(tmp_path, capsys):
    """Its own form and names, and the statistics beside it, which come in again; other classes are refused."""
    theirs = golden('vit_cls_avg')[0]
    ours, _ = convert(theirs, 'fsfm-finetuned')
    card = ModelCard(classes=('fake', 'real'), mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1), num_heads=3)
    save_checkpoint_file({'state_dict': ours, 'card': card.to_dict()}, tmp_path / 'ours.pth')
    options = ['--from', 'fsfm_mm', '--to', 'fsfm-finetuned']
    assert command.main([str(tmp_path / 'ours.pth'), str(tmp_path / 'out' / 'best.pth'), *options]) == 0
    assert_same(load_checkpoint_file(tmp_path / 'out' / 'best.pth')['model'], theirs)
    statistics = load_mean_std(tmp_path / 'out' / 'pretrain_ds_mean_std.txt')
    assert statistics == {'mean': [0.5, 0.4, 0.3], 'std': [0.3, 0.2, 0.1]}
    assert capsys.readouterr().out.count('written: ') == 2
    swapped = dataclasses.replace(card, classes=('real', 'fake'))
    save_checkpoint_file({'state_dict': ours, 'card': swapped.to_dict()}, tmp_path / 'swapped.pth')
    with pytest.raises(SystemExit, match="but the reference's labels are"):
        command.main([str(tmp_path / 'swapped.pth'), str(tmp_path / 'other.pth'), *options])
    with pytest.raises(SystemExit, match='--from fsfm_mm alone'):
        command.main([str(tmp_path / 'ours.pth'), str(tmp_path / 'x.pth'), *options, '--num-heads', '3'])
