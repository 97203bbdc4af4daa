"""Classifiers: golden logits, normalisation, timm's batch augmentations, and labels kept beside them."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_classifiers import build, load, samples
from mmpretrain.models.utils.batch_augments import RandomBatchAugment
from mmpretrain.registry import BATCH_AUGMENTS, MODELS
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing
from timm.loss import SoftTargetCrossEntropy

from fsfm_mm.statistics import PUBLISHED

CLOSE = dict(rtol=1e-5, atol=1e-5)
LINEAR = dict(type='LinearClsHead')
POOLS = {'vit_cls_avg.npz': 'avg_featmap', 'vit_cls_token.npz': 'cls_token'}


@pytest.mark.parametrize(('file', 'out_type'), POOLS.items())
def test_golden_logits(file, out_type):
    values, state, meta = load(file)
    model = build(meta, LINEAR, out_type=out_type)
    model.load_state_dict(state, strict=True)
    torch.testing.assert_close(model(values['in/img']), values['out/logits'], **CLOSE)
    predicted = model(values['in/img'], samples([0, 0, 0]), mode='predict')
    scores = torch.stack([sample.pred_score for sample in predicted])
    torch.testing.assert_close(scores, values['out/logits'].softmax(dim=1), **CLOSE)


@pytest.mark.parametrize(
    ('file', 'out_type', 'first'), [('vit_cls_avg.npz', 'pooled_tokens', 1), ('vit_cls_token.npz', 'raw', 0)]
)
def test_golden_last_tokens(file, out_type, first):
    """After the last block, which only a classifier on the class token follows by a norm; pooled, row 0 is replaced."""
    values, state, meta = load(file)
    model = build(meta, LINEAR, out_type=out_type)
    model.load_state_dict(state, strict=True)
    tokens = model.extract_feat(values['in/img'])[-1]
    torch.testing.assert_close(tokens[:, first:], values['out/tokens_last'][:, first:], **CLOSE)


def augment(**options):
    return BATCH_AUGMENTS.build(dict(type='TimmBatchAugment', **options))


def seeded(function, seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return function()


@pytest.mark.parametrize('seed', range(6))
def test_batch_augment_is_timms_recipe(seed):
    """The same numbers as erasing image by image, then Mixup with smoothing and soft targets."""
    images, labels = torch.randn(8, 3, 20, 20), torch.randint(0, 2, (8,))
    logits = torch.randn(8, 2)

    def timm_recipe():
        erase = RandomErasing(0.25, mode='pixel', max_count=1, num_splits=0, device='cpu')
        mixup = Mixup(0.8, 1.0, None, 1.0, 0.5, 'batch', label_smoothing=0.1, num_classes=2)
        return mixup(torch.stack([erase(image) for image in images.clone()]), labels)

    expected_images, expected_targets = seeded(timm_recipe, seed)
    mixed, scores = seeded(lambda: augment()(images.clone(), F.one_hot(labels, 2)), seed)
    torch.testing.assert_close(mixed, expected_images, rtol=0, atol=0)
    loss = MODELS.build(dict(type='LabelSmoothLoss', label_smooth_val=0.1))(logits, scores)
    torch.testing.assert_close(loss, SoftTargetCrossEntropy()(logits, expected_targets))
    assert not torch.equal(mixed, images)


def test_erasing_only_changes_boxes_of_a_quarter_of_the_images():
    images = torch.full((400, 1, 16, 16), 7.0)
    scores = F.one_hot(torch.zeros(400, dtype=torch.long), 2)
    erased, same = augment(mixup=0.0, cutmix=0.0)(images.clone(), scores)
    share = (erased != 7).flatten(1).any(dim=1).float().mean().item()
    assert share == pytest.approx(0.25, abs=0.06)
    torch.testing.assert_close(same, scores.float())


def test_off_means_untouched():
    images, scores = torch.randn(3, 3, 8, 8), torch.eye(3)
    same_images, same_scores = augment(erasing=0.0, mixup=0.0, cutmix=0.0)(images.clone(), scores)
    assert torch.equal(same_images, images)
    assert torch.equal(same_scores, scores)


def test_odd_batches_cannot_be_mixed():
    with pytest.raises(ValueError, match='even number of images in a batch, found 3'):
        augment()(torch.zeros(3, 3, 8, 8), torch.eye(3))


def test_it_goes_into_train_cfg():
    wrapped = RandomBatchAugment(augments=dict(type='TimmBatchAugment', erasing=0.0, cutmix=0.0))
    images = torch.randn(2, 3, 8, 8)
    mixed, scores = wrapped(images.clone(), torch.eye(2))
    lam = scores[0, 0]
    torch.testing.assert_close(mixed, lam * images + (1 - lam) * images.flip(0))


@pytest.mark.parametrize('name', PUBLISHED)
def test_preprocessor_normalises_bgr_bytes(name):
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    preprocessor = MODELS.build(dict(type='FaceClsDataPreprocessor', stats=name))
    batch = preprocessor(dict(inputs=pixels, data_samples=samples([0, 1])), training=False)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in PUBLISHED[name])
    expected = (pixels.flip(1) / 255.0 - mean) / std
    torch.testing.assert_close(batch['inputs'], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(preprocessor.mean, 255 * mean)


def test_mean_and_std_may_be_given():
    given = MODELS.build(dict(type='FaceClsDataPreprocessor', mean=[127.5] * 3, std=[51.0] * 3))
    batch = given(dict(inputs=torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)))
    torch.testing.assert_close(batch['inputs'], torch.full((1, 3, 4, 4), 2.5))
    for wrong in (dict(), dict(mean=[0.0] * 3), dict(stats='vggface2', mean=[0.0] * 3, std=[1.0] * 3)):
        with pytest.raises(ValueError, match='give either stats'):
            MODELS.build(dict(type='FaceClsDataPreprocessor', **wrong))


def tiny_classifier(head, **options):
    return MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='vggface2', num_classes=2),
            backbone=dict(
                type='FusedAttentionViT',
                arch=dict(embed_dim=16, depth=2, num_heads=2),
                img_size=16,
                patch_size=4,
                out_type='avg_featmap',
                trainable_positions=True,
            ),
            head=dict(in_channels=16, num_classes=2, **head),
            train_cfg=dict(augments=dict(type='TimmBatchAugment')),
            **options,
        )
    )


def test_hard_labels_stay_beside_mixed_scores():
    model = tiny_classifier(LINEAR)
    labels = [0, 1, 1, 0]
    data = dict(inputs=torch.zeros(4, 3, 16, 16, dtype=torch.uint8), data_samples=samples(labels))
    batch = model.data_preprocessor(data, training=True)
    assert [int(sample.gt_label) for sample in batch['data_samples']] == labels
    scores = torch.stack([sample.gt_score for sample in batch['data_samples']])
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(4))
    evaluated = model.data_preprocessor(
        dict(inputs=torch.zeros(4, 3, 16, 16, dtype=torch.uint8), data_samples=samples(labels)),
        training=False,
    )
    torch.testing.assert_close(
        torch.stack([s.gt_score for s in evaluated['data_samples']]), F.one_hot(torch.tensor(labels), 2)
    )


@pytest.mark.parametrize(
    'head',
    [LINEAR, dict(type='AdapterHead'), dict(type='AntiSpoofHead'), dict(type='AntiSpoofAdapterHead')],
    ids=lambda head: head['type'],
)
def test_every_trainable_parameter_gets_a_gradient(head):
    model = tiny_classifier(head).train()
    for parameter in model.head.parameters():  # a head that starts at zero passes nothing on
        torch.nn.init.normal_(parameter, std=0.3)
    data = dict(
        inputs=torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8), data_samples=samples([0, 1, 1, 0])
    )
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
