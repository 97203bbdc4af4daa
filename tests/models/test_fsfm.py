"""The self-supervisors: losses, gradients, pictures and the batch's way onto the device."""

import copy

import pytest
import torch
import torch.nn.functional as F
from golden import build_tiny_fsfm, fsfm_config, load_pretrain_golden
from mmpretrain.registry import MODELS
from torch import nn

from fsfm_mm.models import losses
from fsfm_mm.ops.patches import patchify

SIMILARITIES = [name for name in losses.__all__ if hasattr(getattr(losses, name), 'function')]
#: mean and deviation that are neither 0 nor 1
STATS = dict(type='FaceDataPreprocessor', mean=[0.5, 0.4, 0.3], std=[0.25, 0.2, 0.1])


def build_mae(**changes):
    _, meta = load_pretrain_golden()
    config = fsfm_config(meta, type='FaceMAE', **changes)
    online_only = ('rep_decoder', 'projector', 'predictor', 'target', 'loss_sim')
    return MODELS.build({key: value for key, value in config.items() if key not in online_only})


def random_batch(model, n=3, ratio=0.75, dtype=torch.float64):
    rows, columns = model.grid
    length, p = rows * columns, model.patch_size
    hidden = round(length * ratio)
    mask = torch.stack([torch.randperm(length) < hidden for _ in range(n)])
    region = mask & (torch.rand(n, length) < 0.4)
    return dict(inputs=torch.randn(n, 3, rows * p, columns * p, dtype=dtype), mask=mask, region_mask=region)


def plain_losses(model, inputs, mask, region_mask):
    """Unweighted losses by looping over images and patches; the mask is applied as late as possible."""
    vit, p = model.backbone, model.patch_size
    tokens = vit.patch_embed.proj(inputs).flatten(2).transpose(1, 2) + vit.pos_embed[:, 1:]
    hidden_errors, region_errors, cosines = [], [], []
    for image, row, hidden, region in zip(inputs, tokens, mask, region_mask):
        latent = torch.cat([vit.cls_token[0] + vit.pos_embed[0, :1], row[~hidden]])[None]
        for block in vit.blocks:
            latent = block(latent)
        latent = vit.norm(latent)[0]
        full = model.mask_token[0].repeat(1 + len(hidden), 1)
        full[0], full[1:][~hidden] = latent[0], latent[1:]
        decoder = model.pixel_decoder
        x = decoder.embed(full[None]) + decoder.pos_embed
        for block in decoder.blocks:
            x = block(x)
        pred = decoder.pred(decoder.norm(x))[0, 1:]
        for i, (found, target) in enumerate(zip(pred, patchify(image[None], p)[0])):
            if model.norm_pix:
                target = (target - target.mean()) / (target.var(correction=1) + 1e-6).sqrt()
            error = (found - target).square().mean()
            hidden_errors += [error] if hidden[i] else []
            region_errors += [error] if region[i] else []
        if hasattr(model, 'rep_decoder'):
            z = plain_feature(model.target, row_tokens(model.target.backbone, image), None, None)
            q = model.predictor(plain_feature(model, latent, hidden, model.mask_token[0]))
            cosines.append(F.cosine_similarity(q, z).item())
    mean = [sum(errors) / max(len(errors), 1) for errors in (hidden_errors, region_errors)]
    return mean[0], mean[1], -0.5 * sum(cosines) / max(len(cosines), 1)


def row_tokens(vit, image):
    tokens = (
        torch.cat([vit.cls_token[0], vit.patch_embed.proj(image[None]).flatten(2)[0].T]) + vit.pos_embed[0]
    )
    tokens = tokens[None]
    for block in vit.blocks:
        tokens = block(tokens)
    return vit.norm(tokens)[0]


def plain_feature(parts, latent, hidden, mask_token):
    decoder = parts.rep_decoder
    tokens = decoder.embed(latent)
    if hidden is not None:
        full = mask_token.repeat(1 + len(hidden), 1)
        full[0], full[1:][~hidden] = tokens[0], tokens[1:]
        tokens = full
    tokens = (tokens + decoder.pos_embed[0])[None]
    for block in decoder.blocks:
        tokens = block(tokens)
    return parts.projector(decoder.pred(decoder.norm(tokens)).mean(dim=1))


@pytest.mark.parametrize(
    'img_size, patch_size, ratio, norm_pix',
    [
        (32, 8, 0.75, True),
        ((16, 40), 8, 0.5, False),
        ((28, 42), 14, 0.9, True),
        ((42, 14), 7, 0.25, True),
        ((8, 12), 4, 1.0, False),
    ],
)
def test_losses_of_any_geometry_are_the_plain_ones(img_size, patch_size, ratio, norm_pix):
    _, meta = load_pretrain_golden()
    vit = dict(fsfm_config(meta)['backbone'], img_size=img_size, patch_size=patch_size)
    model = build_tiny_fsfm(backbone=vit, norm_pix=norm_pix).double()
    for name, parameter in model.named_parameters():
        if not name.endswith('pos_embed'):
            nn.init.normal_(parameter, std=0.2)
    batch = random_batch(model, ratio=ratio)
    rec, region, sim = plain_losses(model, **batch)
    found = model(**batch, mode='loss')
    assert set(found) == {'loss_rec', 'loss_region', 'loss_sim'}
    torch.testing.assert_close(found['loss_rec'], rec, rtol=1e-9, atol=0)
    torch.testing.assert_close(found['loss_region'], 0.007 * region, rtol=1e-9, atol=0)
    assert found['loss_sim'].item() == pytest.approx(0.1 * sim, rel=1e-9)
    batch['num_masked'] = int(batch['mask'][0].sum())
    assert model(**batch, mode='loss') == found


def test_losses_are_float32_under_autocast():
    model = build_tiny_fsfm()
    batch = random_batch(model, dtype=torch.float32)
    expected = model(**batch, mode='loss')
    with torch.autocast('cpu', torch.bfloat16):
        found = model(**batch, mode='loss')
    for name, loss in found.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=0.02, atol=1e-3)


def check_gradients(model):
    batch = random_batch(model)
    sum(model(**batch, mode='loss').values()).backward()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
            assert name.startswith('target.') or name.endswith('pos_embed'), name
            continue
        gradient = parameter.grad
        assert torch.isfinite(gradient).all(), name
        if name.endswith('qkv.bias'):
            # softmax does not feel a constant added to a row of scores, so a key's bias does nothing
            q, k, v = gradient.chunk(3)
            assert q.abs().max() > 1e-10 and v.abs().max() > 1e-10, name
            assert k.abs().max() < 1e-6 * gradient.abs().max(), name
        else:
            assert gradient.abs().max() > 1e-10, name


@pytest.mark.parametrize('similarity', SIMILARITIES)
def test_every_trainable_parameter_of_fsfm_gets_a_gradient(similarity):
    model = build_tiny_fsfm(loss_sim=dict(type=similarity)).double().train()
    check_gradients(model)
    assert model.training and not any(module.training for module in model.target.modules())
    assert not any(parameter.requires_grad for parameter in model.target.parameters())


def test_every_parameter_of_mae_gets_a_gradient():
    check_gradients(build_mae().double().train())


def test_mae_is_fsfm_without_the_similarity():
    fsfm, mae = build_tiny_fsfm().double(), build_mae().double()
    mae.load_state_dict({k: v for k, v in fsfm.state_dict().items() if k in mae.state_dict()}, strict=True)
    batch = random_batch(mae)
    expected = fsfm(**batch, mode='loss')
    del expected['loss_sim']
    assert mae(**batch, mode='loss') == expected
    assert torch.equal(mae(batch['inputs'])[0], fsfm.backbone(batch['inputs'])[0])


def test_empty_region_is_no_region_term():
    model = build_tiny_fsfm().double()
    plain = copy.deepcopy(model)
    plain.loss_region = None
    batch = random_batch(model)
    batch['region_mask'][:] = False
    with_region, without = model(**batch, mode='loss'), plain(**batch, mode='loss')
    assert set(without) == {'loss_rec', 'loss_sim'}
    assert with_region.pop('loss_region').item() == 0.0
    assert with_region == without
    sum(model(**batch, mode='loss').values()).backward()
    sum(without.values()).backward()
    for (name, a), b in zip(model.named_parameters(), plain.parameters()):
        assert (a.grad is None) == (b.grad is None), name
        assert a.grad is None or torch.equal(a.grad, b.grad), name


def test_missing_and_wrong_inputs_are_refused():
    model = build_tiny_fsfm()
    batch = random_batch(model, dtype=torch.float32)
    with pytest.raises(ValueError, match="the batch has no 'mask': put a mask transform"):
        model(batch['inputs'], mode='loss')
    with pytest.raises(ValueError, match="loss_region needs 'region_mask' in the batch"):
        model(batch['inputs'], batch['mask'], mode='loss')
    with pytest.raises(ValueError, match="mode must be 'loss' or 'tensor', found 'predict'"):
        model(**batch, mode='predict')
    with pytest.raises(ValueError, match=r'the model has 16 patches .* images have 16 and the masks 15'):
        model(batch['inputs'], batch['mask'][:, 1:], batch['region_mask'], mode='loss')
    with pytest.raises(ValueError, match='images have 20 and the masks 16'):
        model(torch.zeros(3, 3, 32, 40), batch['mask'], batch['region_mask'], mode='loss')


def test_preprocessor_scales_normalises_and_counts():
    preprocessor = MODELS.build(STATS)
    batch = random_batch(build_tiny_fsfm())
    raw = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    data = dict(inputs=raw, mask=batch['mask'], region_mask=batch['region_mask'])
    found = preprocessor(data)
    for channel in range(3):
        expected = (raw[:, channel].double() / 255 - STATS['mean'][channel]) / STATS['std'][channel]
        torch.testing.assert_close(found['inputs'][:, channel].double(), expected, rtol=1e-5, atol=1e-5)
    assert found['inputs'].dtype == torch.float32
    assert found['num_masked'] == 12
    assert torch.equal(found['mask'], batch['mask']) and torch.equal(
        found['region_mask'], batch['region_mask']
    )
    assert data['inputs'] is raw and raw.dtype == torch.uint8 and 'num_masked' not in data
    floats = preprocessor(dict(inputs=raw.float() / 255))
    torch.testing.assert_close(floats['inputs'], found['inputs'], rtol=1e-5, atol=1e-6)
    assert set(floats) == {'inputs'}
    back = preprocessor.denormalise(found['inputs'])
    torch.testing.assert_close(back, raw.float() / 255, rtol=0, atol=1e-6)
    data['mask'][1] = True
    with pytest.raises(ValueError, match='hide the same number of patches, found 12 to 16'):
        preprocessor(data)


@pytest.mark.parametrize(
    'options', [{}, dict(stats='imagenet', mean=[0.5] * 3, std=[1] * 3), dict(mean=[0.5] * 3)]
)
def test_preprocessor_wants_one_kind_of_statistics(options):
    with pytest.raises(ValueError, match='give either stats=<name or file>, or both mean and std'):
        MODELS.build(dict(type='FaceDataPreprocessor', **options))


@pytest.mark.parametrize('norm_pix', [True, False])
@pytest.mark.parametrize('builder', [build_tiny_fsfm, build_mae])
def test_reconstruction_pictures(builder, norm_pix):
    model = builder(norm_pix=norm_pix, data_preprocessor=STATS).double()
    raw, mask = torch.rand(3, 3, 32, 32).double(), random_batch(model)['mask']
    raw[0, :, :8, :8] = 0.3  # a flat patch has no deviation
    inputs = model.data_preprocessor.normalise(raw)
    pictures = model.reconstruct(inputs, mask)
    given = pictures.pop('given', None)
    assert list(pictures) == ['original', 'masked', 'reconstructed'] and (given is not None) == norm_pix
    patches, split = model.patches_and_split(inputs, mask)
    pred = model.pixel_decoder(model.backbone.encode(patches, split), split, model.mask_token)
    mean, std = torch.tensor(STATS['mean']).double(), torch.tensor(STATS['std']).double()
    for n in range(3):
        hidden = iter(pred[n])
        for patch in range(16):
            y, x = patch // 4 * 8, patch % 4 * 8
            original, masked, rebuilt = (p[n, :, y : y + 8, x : x + 8].double() for p in pictures.values())
            true = raw[n, :, y : y + 8, x : x + 8]
            torch.testing.assert_close(original, true, rtol=0, atol=1e-6)
            if not mask[n, patch]:
                assert torch.equal(masked, original) and torch.equal(rebuilt, original)
                continue
            torch.testing.assert_close(masked, torch.full_like(true, 0.5), rtol=0, atol=1e-6)
            values = next(hidden)
            if norm_pix:
                truth = inputs[n, :, y : y + 8, x : x + 8]
                values = values * (truth.var(correction=1) + 1e-6).sqrt() + truth.mean()
                alone = (truth.mean() * std + mean).clamp(0, 1).view(3, 1, 1).expand(3, 8, 8)
                torch.testing.assert_close(
                    given[n, :, y : y + 8, x : x + 8].double(), alone, rtol=0, atol=1e-6
                )
            expected = (values.view(8, 8, 3) * std + mean).permute(2, 0, 1).clamp(0, 1)
            torch.testing.assert_close(rebuilt, expected, rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_model_and_losses():
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        model = build_tiny_fsfm()
        results.append((model.state_dict(), model(**random_batch(model, dtype=torch.float32), mode='loss')))
    (state, losses), (again, losses_again) = results
    assert losses == losses_again
    assert all(torch.equal(value, again[key]) for key, value in state.items())
    torch.manual_seed(4)
    assert not torch.equal(build_tiny_fsfm().mask_token, state['mask_token'])
