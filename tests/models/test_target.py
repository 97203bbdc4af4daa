"""The momentum target: how it starts, how it moves, and what a checkpoint without it does."""

import copy

import pytest
import torch
from golden import build_tiny_fsfm, fsfm_config, load_pretrain_golden
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS
from torch import nn

PARTS = ('backbone', 'rep_decoder', 'projector')


def shift(model):
    """Move the online weights, so that the target differs from them."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith('target.') and not name.endswith('pos_embed'):
                parameter.add_(torch.randn_like(parameter))
    return model


def pairs(model):
    """(name, target's tensor, online tensor), by name."""
    online = dict(model.named_parameters())
    for name, parameter in model.target.named_parameters():
        yield name, parameter, online[name]


def same_as_online(model):
    return all(torch.equal(target, online) for _, target, online in pairs(model))


def random_batch(n=2):
    mask = torch.stack([torch.randperm(16) < 12 for _ in range(n)])
    return dict(inputs=torch.randn(n, 3, 32, 32), mask=mask, region_mask=mask & (torch.rand(n, 16) < 0.5))


def test_it_starts_as_a_copy_of_its_own():
    model = build_tiny_fsfm()
    names = [name for name, target, online in pairs(model) if target.data_ptr() != online.data_ptr()]
    assert names == [name for name, _ in model.target.named_parameters()]
    assert {name.split('.')[0] for name in names} == set(PARTS)
    assert same_as_online(model)
    assert not any(key.startswith('target._online') for key in model.state_dict())
    assert len({id(p) for p in model.parameters()}) == len(list(model.parameters()))


@pytest.mark.parametrize('momentum', [0.0, 0.3, 0.996, 1.0])
def test_update_is_the_formula_and_skips_fixed_positions(momentum):
    model = shift(build_tiny_fsfm().double())
    with torch.no_grad():
        model.target.backbone.pos_embed.fill_(5.0)
        model.target.rep_decoder.pos_embed.fill_(7.0)
    before = {name: target.clone() for name, target, _ in pairs(model)}
    online_before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        model.target.update(momentum)
    for name, target, online in pairs(model):
        expected = before[name]
        if not name.endswith('pos_embed'):
            for _ in range(2):
                expected = momentum * expected + (1 - momentum) * online
        torch.testing.assert_close(target, expected.detach(), rtol=1e-12, atol=1e-14, msg=name)
    for key, value in model.state_dict().items():
        assert key.startswith('target.') or torch.equal(value, online_before[key]), key


def test_trained_positions_are_followed():
    _, meta = load_pretrain_golden()
    vit = dict(fsfm_config(meta)['backbone'], trainable_positions=True)
    model = build_tiny_fsfm(backbone=vit)
    with torch.no_grad():
        model.backbone.pos_embed.add_(1.0)
    expected = model.target.backbone.pos_embed + 0.25
    model.target.update(0.75)
    torch.testing.assert_close(model.target.backbone.pos_embed, expected)


def test_update_survives_a_change_of_dtype():
    model = build_tiny_fsfm()
    model.target.update(0.5)
    shift(model.double())
    model.target.update(0.0)
    assert all(target.dtype == torch.float64 for _, target, _ in pairs(model))
    assert same_as_online(model)


def test_momentum_of_the_schedule_and_of_a_frozen_target():
    target = build_tiny_fsfm(target=dict(type='MomentumTarget', base_momentum=0.9, end_momentum=0.98)).target
    found = [target.momentum(update, 101) for update in (0, 50, 100)]
    assert found[0] == pytest.approx(0.9)
    assert found[0] < found[1] < found[2] <= 0.98
    assert (
        build_tiny_fsfm(target=dict(type='MomentumTarget', base_momentum=None)).target.momentum(0, 10) is None
    )


def test_random_start_is_fresh_and_initialised_alike():
    model = build_tiny_fsfm(target=dict(type='MomentumTarget', start='random'))
    before = copy.deepcopy(model.target.state_dict())
    for name, target, online in pairs(model):
        vector = target.ndim == 1
        assert torch.equal(target, online) is (vector or name.endswith('pos_embed')), name
        if not vector:
            torch.testing.assert_close(target.std(), online.std(), rtol=0.3, atol=0)
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.target.state_dict().items())
    with pytest.raises(ValueError, match="a target starts 'online' or 'random', found 'zeros'"):
        build_tiny_fsfm(target=dict(type='MomentumTarget', start='zeros'))


@pytest.mark.parametrize('start', ['online', 'random'])
def test_init_weights_follows_a_loaded_backbone(tmp_path, start):
    source, file = shift(build_tiny_fsfm()), tmp_path / 'source.pth'
    torch.save({'state_dict': {f'backbone.{k}': v for k, v in source.backbone.state_dict().items()}}, file)
    _, meta = load_pretrain_golden()
    init_cfg = dict(type='Pretrained', checkpoint=str(file), prefix='backbone.')
    vit = dict(fsfm_config(meta)['backbone'], init_cfg=init_cfg)
    model = build_tiny_fsfm(backbone=vit, target=dict(type='MomentumTarget', start=start))
    weight = source.backbone.blocks[1].mlp.fc1.weight
    assert not torch.equal(model.backbone.blocks[1].mlp.fc1.weight, weight)
    model.init_weights()
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value), key
    assert same_as_online(model) is (start == 'online')
    assert torch.equal(model.target.backbone.blocks[1].mlp.fc1.weight, weight) is (start == 'online')


def test_target_sees_the_whole_face_in_evaluation_mode_without_gradient():
    _, meta = load_pretrain_golden()
    vit = dict(fsfm_config(meta)['backbone'], drop_path_rate=0.9)
    model = build_tiny_fsfm(backbone=vit).train()
    assert model.backbone.blocks[1].drop_path.training
    assert not any(module.training for module in model.target.modules())
    patches, _ = model.patches_and_split(**{k: random_batch()[k] for k in ('inputs', 'mask')})
    patches.requires_grad_()
    z = model.target(patches)
    assert not z.requires_grad
    assert torch.equal(z, model.target(patches))
    expected = model.eval().projector(model.rep_decoder(model.backbone.encode(patches)))
    torch.testing.assert_close(z, expected.detach())


@pytest.mark.parametrize('loader', ['torch', 'torch with a prefix', 'mmengine'])
def test_a_checkpoint_without_a_target_starts_it_from_its_online_weights(tmp_path, loader):
    source, model = shift(build_tiny_fsfm()), build_tiny_fsfm()
    state = {key: value for key, value in source.state_dict().items() if not key.startswith('target.')}
    keys = list(state)
    if loader == 'torch':
        model.load_state_dict(state, strict=True)
    elif loader == 'torch with a prefix':
        wrapped = nn.ModuleDict(dict(module=model))
        wrapped.load_state_dict({f'module.{key}': value for key, value in state.items()}, strict=True)
    else:
        torch.save({'state_dict': state}, tmp_path / 'source.pth')
        load_checkpoint(model, str(tmp_path / 'source.pth'), strict=True)
    assert list(state) == keys
    assert torch.equal(model.projector.fc1.weight, source.projector.fc1.weight)
    assert same_as_online(model)
    model.target.update(0.5)  # copies: moving the target moves nothing else
    assert torch.equal(model.projector.fc1.weight, state['projector.fc1.weight'])


def test_a_checkpoint_of_mae_starts_the_encoders_only(tmp_path):
    _, meta = load_pretrain_golden()
    config = fsfm_config(meta, type='FaceMAE')
    for key in ('rep_decoder', 'projector', 'predictor', 'target', 'loss_sim'):
        del config[key]
    mae, model = shift(MODELS.build(config)), build_tiny_fsfm()
    torch.save({'state_dict': mae.state_dict()}, tmp_path / 'mae.pth')
    load_checkpoint(model, str(tmp_path / 'mae.pth'), strict=False)
    assert torch.equal(model.target.backbone.patch_embed.proj.bias, mae.backbone.patch_embed.proj.bias)
    assert same_as_online(model)


def test_a_checkpoint_with_half_a_target_is_refused():
    source = build_tiny_fsfm().state_dict()
    half = {key: value for key, value in source.items() if not key.startswith('target.projector.')}
    with pytest.raises(RuntimeError, match=r'target\.projector\.fc1\.weight'):
        build_tiny_fsfm().load_state_dict(half, strict=True)


def test_a_checkpoint_keeps_its_own_target():
    source = build_tiny_fsfm()
    shift(source).target.update(0.5)
    model = build_tiny_fsfm()
    model.load_state_dict(source.state_dict(), strict=True)
    assert not same_as_online(model)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


def test_a_deep_copy_is_independent_and_equal():
    model = shift(build_tiny_fsfm())
    model.target.update(0.5)  # fills the cache of pairs
    before, batch = copy.deepcopy(model.state_dict()), random_batch()
    twin = copy.deepcopy(model)
    assert twin(**batch, mode='loss') == model(**batch, mode='loss')
    shift(twin).target.update(0.0)
    assert same_as_online(twin)
    twin.load_state_dict({k: v for k, v in before.items() if not k.startswith('target.')}, strict=True)
    assert same_as_online(twin)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_random_target_stays_when_a_checkpoint_has_none():
    source = build_tiny_fsfm().state_dict()
    model = build_tiny_fsfm(target=dict(type='MomentumTarget', start='random'))
    before = {key: value.clone() for key, value in model.target.state_dict().items()}
    model.load_state_dict({k: v for k, v in source.items() if not k.startswith('target.')}, strict=False)
    assert all(torch.equal(value, before[key]) for key, value in model.target.state_dict().items())


def test_checkpoint_of_another_grid_resizes_every_table():
    _, meta = load_pretrain_golden()
    small = MODELS.build(fsfm_config(meta))
    large = MODELS.build(fsfm_config({**meta, 'img_size': 48}))
    large.load_state_dict(small.state_dict(), strict=True)
    for name in ('backbone', 'pixel_decoder', 'rep_decoder', 'target.backbone', 'target.rep_decoder'):
        source, table = small.get_submodule(name).pos_embed, large.get_submodule(name).pos_embed
        assert table.shape[1] == 1 + 36
        expected = torch.nn.functional.interpolate(
            source[0, 1:].T.reshape(1, -1, 4, 4), size=(6, 6), mode='bicubic', align_corners=False
        )
        torch.testing.assert_close(table[0, 1:].T.reshape_as(expected), expected)
