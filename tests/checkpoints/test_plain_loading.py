"""mmengine and mmpretrain without our tools: a checkpoint goes into the model that its card means, or not at all."""

import cv2
import numpy as np
import pytest
import torch
from golden import build_tiny_fsfm, load_pretrain_golden
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.registry import MODELS

import fsfm_mm
from fsfm_mm.checkpoints import ModelCard, save_checkpoint_file
from fsfm_mm.checkpoints.model_settings import merged, plain_settings
from fsfm_mm.datasets.transforms import ResizeFace
from fsfm_mm.drawn.face_drawing import draw_face

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.15)


def classifier(init_cfg=None, mean=MEAN, std=STD, **arch):
    _, meta = load_pretrain_golden()
    sizes = {key: meta[key] for key in ('embed_dim', 'depth', 'num_heads')}
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(
            type='FaceClsDataPreprocessor', mean=[255 * v for v in mean], std=[255 * v for v in std]
        ),
        backbone=dict(
            type='FusedAttentionViT',
            arch={**sizes, **arch},
            img_size=meta['img_size'],
            patch_size=meta['patch_size'],
            out_type='avg_featmap',
            init_cfg=init_cfg,
        ),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=meta['embed_dim']),
    )


@pytest.fixture
def encoder(tmp_path):
    card = ModelCard(mean=MEAN, std=STD, num_heads=load_pretrain_golden()[1]['num_heads'])
    save_checkpoint_file(
        {'state_dict': build_tiny_fsfm().state_dict(), 'card': card.to_dict()}, tmp_path / 'e.pth'
    )
    return str(tmp_path / 'e.pth')


@pytest.mark.parametrize(
    'kind', [dict(type='PretrainedBackbone'), dict(type='Pretrained', prefix='backbone.')]
)
def test_an_encoder_in_a_model_of_other_statistics_is_refused(encoder, kind):
    init = dict(**kind, checkpoint=encoder)
    MODELS.build(classifier(init)).init_weights()
    model = MODELS.build(classifier(init, mean=(0.485, 0.456, 0.406)))
    with pytest.raises(
        ValueError, match=r'e.pth is loaded into differs .*mean \(0.485.*the card says \(0.5, 0.4, 0.3\)'
    ):
        model.init_weights()
    model.init_weights()  # a second call initialises nothing
    if kind['type'] == 'PretrainedBackbone':
        init['differing'] = ('mean',)
        MODELS.build(classifier(init, mean=(0.485, 0.456, 0.406))).init_weights()
    else:
        with pytest.raises(ValueError, match=r'num_heads 6 \(the card says 3\)'):
            MODELS.build(classifier(init, num_heads=6)).init_weights()
    MODELS.build(classifier(init)['backbone']).init_weights()  # a backbone by itself normalises nothing


@pytest.fixture
def detector(tmp_path):
    """A config with its checkpoint, as a run leaves them."""
    settings = classifier()
    model = MODELS.build(settings).eval()
    for value in model.parameters():
        value.data.normal_()
    card = ModelCard(
        classes=('fake', 'real'),
        positive_class='real',
        mean=MEAN,
        std=STD,
        num_heads=3,
        model=plain_settings(settings),
    )
    meta = {'dataset_meta': {'classes': ['fake', 'real']}}
    content = {'state_dict': model.state_dict(), 'card': card.to_dict(), 'meta': meta}
    save_checkpoint_file(content, tmp_path / 'd.pth')
    pipeline = [
        dict(type='LoadFace'),
        dict(type='ResizeFace', size=model.backbone.img_size[0]),
        dict(type='PackInputs'),
    ]
    config = Config(
        dict(model=settings, test_dataloader=dict(dataset=dict(type='LabelledFaces', pipeline=pipeline)))
    )
    return config, str(tmp_path / 'd.pth')


def test_mmpretrains_inferencer_gives_the_same_numbers(detector, tmp_path):
    config, checkpoint = detector
    picture = draw_face(3, 64)[0]
    cv2.imwrite(str(tmp_path / 'face.png'), picture)
    scores = ImageClassificationInferencer(config, checkpoint, device='cpu')(str(tmp_path / 'face.png'))[0]
    model, card = fsfm_mm.load(checkpoint, device='cpu')
    pixels = ResizeFace(card.input_size).transform({'img': picture})['img']
    batch = {'inputs': [torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))]}
    expected = model.test_step(batch)[0].pred_score
    assert scores['pred_scores'] == pytest.approx(expected.detach().numpy(), abs=1e-6)
    assert scores['pred_class'] == card.classes[int(expected.argmax())]


@pytest.mark.parametrize(
    'change, sentence',
    [
        ({'data_preprocessor.stats': 'imagenet'}, r'mean \(0\.485.*the card says \(0\.5, 0\.4, 0\.3\)'),
        ({'backbone.arch.num_heads': 6}, r'num_heads 6 \(the card says 3\)'),
        ({'backbone.arch.depth': 1}, r'depth 1 \(the card says 2\)'),
    ],
)
def test_another_model_is_not_filled_in_silence(detector, change, sentence):
    config, checkpoint = detector
    config.model = merged(config.model, change)
    with pytest.raises(
        ValueError, match=f'the checkpoint is loaded into differs from its card: .*{sentence}'
    ):
        ImageClassificationInferencer(config, checkpoint, device='cpu')
    with pytest.raises(ValueError, match=sentence):
        load_checkpoint(MODELS.build(config.model), checkpoint)
