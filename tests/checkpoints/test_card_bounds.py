"""A small file cannot ask for a model of gigabytes, and weights that are not finite are refused."""

import pytest
import torch
from prediction.squares import save_model

import fsfm_mm
from fsfm_mm.checkpoints import load_checkpoint_file, save_checkpoint_file


@pytest.fixture
def checkpoint(tmp_path):
    save_model(tmp_path / 'm.pth')
    return tmp_path / 'm.pth', load_checkpoint_file(tmp_path / 'm.pth')


@pytest.mark.parametrize(
    'part, changes',
    [
        ('backbone', {'img_size': 30000}),
        ('backbone', {'img_size': 10**9}),
        ('backbone', {'img_size': [4096, 4096], 'patch_size': 1}),
        ('backbone', {'arch': {'embed_dim': 48, 'depth': 10**7, 'num_heads': 6}}),
        ('backbone', {'arch': {'embed_dim': 4096, 'depth': 4000, 'num_heads': 8}}),
        ('backbone', {'arch': {'embed_dim': 96000, 'depth': 2, 'num_heads': 6}}),
        ('head', {'in_channels': 10**9}),
        ('head', {'num_classes': 10**9}),
        ('head', {'in_channels': 60000, 'num_classes': 60000}),
    ],
)
def test_a_card_cannot_ask_for_more_than_the_file_holds(checkpoint, part, changes, monkeypatch):
    path, content = checkpoint
    content['card']['model'][part].update(changes)
    save_checkpoint_file(content, path)
    monkeypatch.setattr('fsfm_mm.apis.loading._build', None)  # nothing is built
    with pytest.raises(
        ValueError, match=rf'the card of {path} asks for a model with .* numbers only'
    ) as error:
        fsfm_mm.load(path, device='cpu')
    assert len(str(error.value)) <= 300


def test_weights_that_are_not_finite_are_refused(checkpoint):
    path, content = checkpoint
    content['state_dict']['head.fc.bias'][0] = torch.nan
    save_checkpoint_file(content, path)
    with pytest.raises(ValueError, match=r'm.pth holds weights that are not finite \(head.fc.bias\)'):
        fsfm_mm.load(path, device='cpu')
