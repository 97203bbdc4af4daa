"""The plain implementation computes what the library computes; otherwise a speed-up over it means nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from bench import build_step, face_maps, mask_transform, random_batch
from bench.stored_pictures import store
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.ops.masks import crfr_p_masks
from fsfm_mm.ops.region_tables import patch_labels
from plain import (
    PlainCollate,
    PlainFaces,
    PlainFSFM,
    PlainTraining,
    plain_crfr_p,
    plain_masks,
)

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'fsfm' / 'fsfm_demo.py'


@pytest.fixture
def cfg():
    config = Config.fromfile(CONFIG)
    config.optim_wrapper.dtype = 'float32'
    config.model.norm_pix = True
    config.model.backbone.img_size = 64
    return config


@pytest.fixture
def step(cfg):
    return build_step(cfg, random_batch(mask_transform(cfg), face_maps(3, 64), 8, 3), 'cpu')


def plain_batch(step):
    image = step.model.data_preprocessor.normalise(step.batch['inputs'])
    return dict(image=image, mask=step.batch['mask'], region_mask=step.batch['region_mask'])


def test_losses_and_every_gradient_are_the_librarys(step):
    step.model.double()
    training = PlainTraining(PlainFSFM(step.model).double())
    # another target, so that the similarity is not trivial
    with torch.no_grad():
        for model in (step.model, training.model):
            torch.manual_seed(1)
            for parameter in model.target.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    data = step.model.data_preprocessor(step.batch, True)
    data['inputs'] = data['inputs'].double()
    ours = step.model(**data, mode='loss')
    plain = training.losses({**plain_batch(step), 'image': data['inputs']})
    assert set(ours) == set(plain) == {'loss_rec', 'loss_region', 'loss_sim'}
    for name in ours:
        # the similarity is float32 in the plain arm
        torch.testing.assert_close(plain[name].double(), ours[name].double(), rtol=1e-6, atol=1e-9)
    sum(ours.values()).backward()
    sum(plain.values()).backward()
    gradients = {n: p.grad for n, p in training.model.named_parameters() if p.requires_grad}
    expected = {n: p.grad for n, p in step.model.named_parameters() if p.requires_grad}
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        scale = float(expected[name].abs().max()) + 1e-12
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-5 * scale, msg=name)


def test_one_whole_step_leaves_the_same_weights(step):
    """Clipping, AdamW with its decay and the momentum update; in float64, where rounding moves nothing."""
    step.model.double()
    training = PlainTraining(PlainFSFM(step.model).double(), lr=1e-3, max_norm=1.0)
    start = {name: value.clone() for name, value in step.model.state_dict().items()}
    for group in step.optim.param_groups:
        group['lr'] = 1e-3
    step.whole()
    training.step(plain_batch(step))
    plain, ours = training.model.state_dict(), step.model.state_dict()
    for name, value in ours.items():
        torch.testing.assert_close(plain[name], value, rtol=0, atol=1e-6, msg=name)
        assert (value != start[name]).any() != name.endswith('pos_embed'), name
    assert set(training.log) == {'loss_rec', 'loss_region', 'loss_sim'}


def test_only_the_papers_losses(cfg):
    cfg.model.loss_sim.type = 'BYOLLoss'
    other = build_step(cfg, random_batch(mask_transform(cfg), face_maps(2, 64), 8, 2), 'cpu')
    with pytest.raises(ValueError, match=r'loss_sim SimSiamLoss .* found BYOLLoss'):
        PlainFSFM(other.model)


def test_masks_keep_the_contract_and_cover_one_whole_region():
    maps = np.stack([draw_face(i, 96)[1] for i in range(24)])
    mask, region_mask = (m.numpy() for m in plain_masks(maps, 8, 0.75, np.random.default_rng(0)))
    tables = patch_labels(maps, 8)
    assert mask.sum(1).tolist() == [108] * 24 and not (region_mask & ~mask).any()
    for table, row in zip(tables.reshape(24, -1), region_mask):
        covers = [
            crfr_p_masks(table.reshape(1, 12, 12), 108, np.random.default_rng(0), r)[1][0] for r in range(6)
        ]
        assert any((row == cover).all() for cover in covers) and row.any()


def test_masks_are_as_frequent_as_the_librarys():
    """Patch by patch, over 600 draws: within five standard errors of the difference."""
    labels, draws = draw_face(5, 64)[1], 600
    rng = np.random.default_rng(0)
    plain = np.stack([plain_crfr_p(labels, 8, 0.75, rng)[0] for _ in range(draws)]).mean(0)
    tables = np.repeat(patch_labels(labels, 8)[None], draws, axis=0)
    ours = crfr_p_masks(tables, 48, rng)[0].mean(0)
    error = np.sqrt((plain * (1 - plain) + ours * (1 - ours)) / draws)
    assert (np.abs(plain - ours) <= 5 * error + 1e-9).all()


@pytest.mark.parametrize('value, covered', [(10, True), (1, False)], ids=['all hair', 'all skin'])
def test_masks_of_odd_faces(value, covered):
    """One region everywhere: K random patches of it; no facial region: K random patches, nothing covered."""
    mask, region = plain_crfr_p(np.full((64, 64), value, np.uint8), 8, 0.75, np.random.default_rng(0))
    assert mask.sum() == 48
    assert (region == mask).all() if covered else not region.any()


def test_loader_gives_the_librarys_pixels(tmp_path, cfg):
    faces = [draw_face(i, 64) for i in range(4)]
    roots = store(faces, tmp_path, 8)
    data = PlainFaces(roots['png'], 64, [0.5] * 3, [0.25] * 3)
    batch = PlainCollate(8, 0.75)([data[i] for i in range(4)])
    pixels = torch.stack([torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy()) for image, _ in faces])
    torch.testing.assert_close(batch['image'], (pixels / 255 - 0.5) / 0.25)
    assert batch['image'].dtype == torch.float32 and batch['mask'].sum(1).tolist() == [48] * 4
    np.testing.assert_array_equal(batch['parsing_map'], np.stack([labels for _, labels in faces]))
    assert [s.sample_idx for s in batch['samples']] == [0, 1, 2, 3]
    assert torch.equal(batch['samples'][2].mask, batch['mask'][2])
    smaller = PlainFaces(roots['png'], 32, [0.5] * 3, [0.25] * 3)[0]
    assert smaller['image'].shape == (3, 32, 32) and smaller['parsing_map'].shape == (32, 32)
    assert smaller['sample'].img_path == '000000.png'
