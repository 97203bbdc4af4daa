"""One whole pretraining step against the reference's float64 values."""

import numpy as np
import pytest
import torch
from golden import fsfm_config, load_pretrain_golden, tensors
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import from_reference
from fsfm_mm.checkpoints.name_maps import _rename
from fsfm_mm.engine.optim import AutocastOptimWrapper, MergedGroupsConstructor
from fsfm_mm.models.losses import similarity
from fsfm_mm.ops.patches import split_mask

TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4}


@pytest.fixture(scope='module', params=[torch.float64, torch.float32], ids=['float64', 'float32'])
def step(request):
    """Model with the golden weights, its batch, and the losses after backward."""
    dtype = request.param
    arrays, meta = load_pretrain_golden()
    model = MODELS.build(fsfm_config(meta)).to(dtype)
    state = from_reference(tensors(arrays, 'online/', dtype), tensors(arrays, 'target/', dtype))
    model.load_state_dict(state, strict=True)
    batch = dict(
        inputs=torch.from_numpy(arrays['in/img']).to(dtype),
        mask=torch.from_numpy(arrays['in/img_mask']).bool(),
        region_mask=torch.from_numpy(arrays['in/region_mask']).bool(),
    )
    losses = model(**batch, mode='loss')
    sum(losses.values()).backward()
    return model, batch, losses, arrays, meta, TOLERANCE[dtype]


def close(found, expected, tolerance):
    found = found.detach().double().numpy() if isinstance(found, torch.Tensor) else found
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def test_latent_and_prediction(step):
    model, batch, _, arrays, _, tolerance = step
    patches, split = model.patches_and_split(batch['inputs'], batch['mask'])
    latent = model.backbone.encode(patches, split)
    close(latent[:, 0], arrays['out/cls_token_latent'], tolerance)
    pred = model.pixel_decoder(latent, split, model.mask_token, all_patches=True)
    close(pred, arrays['out/pred'].astype(np.float64), max(tolerance, 1e-5))
    masked = model.pixel_decoder(latent, split, model.mask_token)
    expected = arrays['out/pred'][batch['mask'].numpy()].reshape(masked.shape)
    close(masked, expected.astype(np.float64), max(tolerance, 1e-5))


def test_features_and_every_loss(step):
    model, batch, losses, arrays, meta, tolerance = step
    patches, split = model.patches_and_split(batch['inputs'], batch['mask'])
    q, z = model.features(patches, model.backbone.encode(patches, split), split)
    close(similarity.normalised(q), arrays['out/feat_online'], tolerance)
    close(similarity.normalised(z), arrays['out/feat_target'], tolerance)
    close(losses['loss_rec'], arrays['out/loss_rec_all'], tolerance)
    close(losses['loss_region'], meta['w_region'] * arrays['out/loss_rec_region'], tolerance)
    close(losses['loss_sim'], meta['w_sim'] * arrays['out/loss_simsiam'], tolerance)
    close(sum(losses.values()), arrays['out/loss_total'], tolerance)
    for name, function in (
        ('simsiam', similarity.simsiam),
        ('byol', similarity.byol),
        ('infonce', similarity.info_nce),
        ('mocov3', similarity.moco_v3),
        ('simclr', similarity.simclr),
    ):
        close(function(q, z), arrays[f'out/loss_{name}'], tolerance)


def test_every_gradient_norm(step):
    model, _, _, arrays, _, tolerance = step
    expected = {_rename(k[len('gradnorm/') :]): v for k, v in arrays.items() if k.startswith('gradnorm/')}
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(trainable) == set(expected)
    for name, parameter in trainable.items():
        close(parameter.grad.norm(), expected[name], tolerance)


def test_optimiser_momentum_and_next_losses(step):
    model, batch, _, arrays, meta, tolerance = step
    wrapper_cfg = dict(
        type='AutocastOptimWrapper',
        dtype='float32',
        optimizer=dict(
            type='AdamW', lr=meta['lr'], betas=meta['betas'], weight_decay=meta['weight_decay'], fused=True
        ),
        clip_grad=dict(max_norm=meta['clip']),
    )
    wrapper = MergedGroupsConstructor(wrapper_cfg)(model)
    assert isinstance(wrapper, AutocastOptimWrapper)
    assert len(wrapper.optimizer.param_groups) == 2
    wrapper.step()
    close(wrapper.grad_norm, arrays['out/grad_norm_before_clip'], tolerance)
    model.target.update(meta['momentum'])
    state = model.state_dict()
    for key, expected in arrays.items():
        part, _, name = key.removeprefix('after_step/').partition('/')
        if not key.startswith('after_step/') or not name:
            continue
        if name == 'mask_token' and part == 'target':
            continue  # stored by the reference, used by nobody
        ours = _rename(name) if part == 'online' else f'target.{_rename(name)}'
        close(state[ours], expected, tolerance)
    with torch.no_grad():
        losses = model(**batch, mode='loss')
    close(losses['loss_rec'], arrays['after_step/loss_rec_all'], tolerance)
    close(losses['loss_region'] / meta['w_region'], arrays['after_step/loss_rec_region'], tolerance)
    close(losses['loss_sim'] / meta['w_sim'], arrays['after_step/loss_simsiam'], tolerance)


def test_split_is_ascending():
    mask = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0]]).bool()
    split = split_mask(mask)
    assert split.visible.tolist() == [[1, 3], [0, 3]]
    assert split.masked.tolist() == [[0, 2], [1, 2]]
