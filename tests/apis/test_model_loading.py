"""A checkpoint is enough to build its model anywhere, and what it does not say is asked for by name."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from tiny_run import tiny_runner

import fsfm_mm
from fsfm_mm.checkpoints import ModelCard, load_checkpoint_file, save_checkpoint_file
from fsfm_mm.checkpoints.model_settings import merged, plain_settings, settings_facts, value_at
from fsfm_mm.statistics import PUBLISHED

STATS = {'mean': [0.41, 0.42, 0.43], 'std': [0.21, 0.22, 0.23]}
ARCH = dict(embed_dim=48, depth=2, num_heads=6)


def classifier(stats, **backbone):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='FaceClsDataPreprocessor', stats=stats, num_classes=2),
        backbone=dict(
            type='FusedAttentionViT',
            arch=dict(ARCH),
            img_size=32,
            patch_size=8,
            out_type='avg_featmap',
            **backbone,
        ),
        neck=None,
        head=dict(
            type='LinearClsHead',
            num_classes=2,
            in_channels=48,
            init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
        ),
    )


@pytest.fixture
def saved(tmp_path):
    """A classifier with random weights and the file of it, whose statistics came from a file that is gone."""
    (tmp_path / 'mean_std.json').write_text(json.dumps(STATS))
    settings = classifier(
        str(tmp_path / 'mean_std.json'), init_cfg=dict(type='PretrainedBackbone', checkpoint='gone.pth')
    )
    model = MODELS.build(settings).eval()
    for value in model.parameters():
        value.data.normal_()
    card = ModelCard(classes=('fake', 'real'), model=plain_settings(settings))
    save_checkpoint_file(
        {'state_dict': model.state_dict(), 'card': card.to_dict()}, tmp_path / 'run' / 'epoch_1.pth'
    )
    (tmp_path / 'mean_std.json').unlink()
    return model, tmp_path / 'run'


def outputs(model):
    pixels = torch.arange(2 * 3 * 32 * 32, dtype=torch.uint8).view(2, 3, 32, 32)
    with torch.no_grad():
        return model(**model.data_preprocessor({'inputs': pixels}), mode='tensor')[0]


def test_a_file_or_folder_gives_its_model_anywhere(saved, tmp_path, monkeypatch):
    model, folder = saved
    content = torch.load(folder / 'epoch_1.pth', weights_only=True)
    settings = content['card']['model']
    assert 'gone.pth' not in json.dumps(settings) and 'mean_std' not in json.dumps(settings)
    assert settings['data_preprocessor']['mean'] == [255 * value for value in STATS['mean']]
    assert settings['head']['init_cfg']['type'] == 'TruncNormal'
    assert ModelCard.from_dict(json.loads(json.dumps(content['card']))).model == settings
    shutil.move(folder, tmp_path / 'moved')
    monkeypatch.chdir('/')
    for source in (tmp_path / 'moved', str(tmp_path / 'moved' / 'epoch_1.pth')):
        loaded, card = fsfm_mm.load(source, device='cpu')
        assert not loaded.training
        assert torch.equal(outputs(loaded), outputs(model))
        assert (card.num_heads, card.patch_size, card.input_size) == (6, 8, 32)
        assert card.mean == pytest.approx(STATS['mean']) and card.classes == ('fake', 'real')


def test_pretraining_gives_its_pretraining_model(tmp_path):
    runner = tiny_runner(tmp_path, max_iters=2, hooks=dict(card=dict(type='CardHook')))
    runner.train()
    model, card = fsfm_mm.load(tmp_path)
    assert type(model).__name__ == 'FSFM' and card.task == 'pretrain'
    assert all(
        torch.equal(value, model.state_dict()[key]) for key, value in runner.model.state_dict().items()
    )
    assert card.num_heads == model.backbone.num_heads


def test_what_a_file_does_not_say_is_asked_for(saved, tmp_path):
    model, folder = saved
    content = load_checkpoint_file(folder / 'epoch_1.pth')
    save_checkpoint_file({'state_dict': content['state_dict']}, tmp_path / 'bare.pth')
    with pytest.raises(
        ValueError, match=r'bare.pth has no card that says how to build its model .*statistics'
    ):
        fsfm_mm.load(tmp_path / 'bare.pth')
    (tmp_path / 'mean_std.json').write_text(json.dumps(STATS))
    config = dict(model=classifier(str(tmp_path / 'mean_std.json')))
    for given in (config, Config(config), config['model']):
        assert torch.equal(outputs(fsfm_mm.load(tmp_path / 'bare.pth', given)[0]), outputs(model))
    with pytest.raises(
        ValueError, match=r"does not hold this config's model: 1 of another shape: backbone\.pos_embed"
    ):
        fsfm_mm.load(tmp_path / 'bare.pth', merged(config['model'], {'backbone.img_size': 64}))
    with pytest.raises(ValueError, match='nowhere cannot be read'):
        fsfm_mm.load(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty is a folder without checkpoints'):
        fsfm_mm.load(tmp_path / 'empty')


def test_the_facts_of_a_card_win_over_a_config(saved, tmp_path):
    """A converted file: statistics, heads and sizes in its card, but not the model."""
    model, folder = saved
    content = load_checkpoint_file(folder / 'epoch_1.pth')
    facts = dict(mean=STATS['mean'], std=STATS['std'], num_heads=6, input_size=32, patch_size=8)
    save_checkpoint_file({**content, 'card': ModelCard(**facts).to_dict()}, tmp_path / 'converted.pth')
    config = merged(classifier('imagenet'), {'backbone.arch.num_heads': 3})
    assert torch.equal(outputs(fsfm_mm.load(tmp_path / 'converted.pth', config)[0]), outputs(model))
    assert settings_facts(config)['num_heads'] == 3  # what is given is not changed


def test_a_class_that_is_not_there_is_named(saved, tmp_path):
    _, folder = saved
    content = load_checkpoint_file(folder / 'epoch_1.pth')
    content['card']['model']['head']['type'] = 'HeadOfMine'
    save_checkpoint_file(content, tmp_path / 'mine.pth')
    with pytest.raises(ValueError, match=r'mine.pth asks for .HeadOfMine., .*: import the module'):
        fsfm_mm.load(tmp_path / 'mine.pth')


def test_settings_as_values():
    settings = plain_settings(classifier('imagenet'))
    mean, std = PUBLISHED['imagenet']
    assert settings['data_preprocessor']['std'] == [255 * value for value in std]
    facts = settings_facts(settings)
    assert facts['mean'] == pytest.approx(mean)
    assert (facts['input_size'], facts['depth'], facts['embed_dim'], facts['num_heads']) == (32, 2, 48, 6)
    changed = merged(settings, {'data_preprocessor.stats': 'vggface2', 'backbone.out_indices': [0]})
    assert set(changed['data_preprocessor']) == {'type', 'num_classes', 'stats'}
    assert value_at(changed, 'backbone.mlp_ratio') == 4.0 and value_at(changed, 'backbone.out_indices') == [0]
    with pytest.raises(ValueError, match=r'model\.head\.loss is a function'):
        plain_settings(dict(head=dict(loss=plain_settings)))


@pytest.mark.parametrize('settings', [{'backbone': 'x'}, {'data_preprocessor': 3}, {'backbone': {'type': 3}}])
def test_settings_of_other_kinds_are_told_with_the_file(tmp_path, settings):
    torch.save({'state_dict': {'x': torch.zeros(1)}, 'card': {'model': settings}}, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=r'odd\.pth'):
        fsfm_mm.load(tmp_path / 'odd.pth')
