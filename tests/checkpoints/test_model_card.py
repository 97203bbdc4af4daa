"""Cards: checked, stored as plain values, made by the runs, and compared with what callers do."""

import json
import warnings

import pytest
import torch
from foreign_checkpoints import backbone_config, golden
from mmengine.runner.checkpoint import load_checkpoint
from mmpretrain.registry import DATASETS, HOOKS, MODELS
from tiny_run import tiny_config, tiny_runner
from torch import nn

from fsfm_mm.apis.testing import check_view
from fsfm_mm.checkpoints import (
    CardHook,
    ModelCard,
    check_model,
    load_checkpoint_file,
    model_facts,
    preprocessor_statistics,
    read_card,
    save_checkpoint_file,
)
from fsfm_mm.checkpoints.card import text_hash
from fsfm_mm.checkpoints.picture_settings import picture_view, set_view
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.statistics import PUBLISHED

MEAN, STD = PUBLISHED['vggface2']


def card(**changes):
    facts = dict(
        classes=['fake', 'real'],
        positive_class='real',
        mean=list(MEAN),
        std=list(STD),
        input_size=224,
        patch_size=16,
        crop_margin=1.3,
        detector='dlib',
        view='whole',
        threshold=0.5,
        task='deepfake',
        config='model = 1\n',
        versions={'torch': '2'},
    )
    return ModelCard(**{**facts, **changes})


def test_round_trip_through_every_form(tmp_path):
    one = card(input_size=(224, 192))
    content = one.to_dict()
    assert ModelCard.from_dict(content) == one
    assert ModelCard.from_dict(json.loads(json.dumps(content))) == one
    assert content['classes'] == ['fake', 'real'] and content['input_size'] == [224, 192]
    assert content['config_hash'] == text_hash('model = 1\n') and len(content['config_hash']) == 64
    assert content['aggregation'] == 'mean'
    for name in ('x.pth', 'x.safetensors'):
        save_checkpoint_file({'state_dict': {'a': torch.zeros(1)}, 'card': content}, tmp_path / name)
        assert read_card(tmp_path / name) == one
    torch.load(tmp_path / 'x.pth', weights_only=True)
    assert read_card({'state_dict': {}}) is None
    assert ModelCard.from_dict(ModelCard().to_dict()) == ModelCard()


@pytest.mark.parametrize(
    'changes, sentence',
    [
        (dict(classes=['fake', 'fake']), "'classes' must be different class names"),
        (dict(classes='fake'), "'classes' must be"),
        (dict(classes=[], positive_class=None), "'classes' must be"),
        (dict(classes=['fake', 1]), "'classes' must be"),
        (dict(positive_class='Real'), r"'positive_class' must be one of the classes .*found 'Real'"),
        (dict(classes=None), "'positive_class' must be one of the classes None"),
        (dict(mean=[139.8, 107.9, 93.2]), "'mean' must be three numbers in 0..1 .*divide by 255"),
        (dict(mean=[0.1, 0.2]), "'mean' must be"),
        (dict(mean=None), "'mean and std' must be both or neither"),
        (dict(std=[0.1, 0.0, 0.1]), "'std' must be positive"),
        (dict(std=[0.1, float('nan'), 0.1]), "'std' must be three numbers"),
        (dict(input_size=0), "'input_size' must be"),
        (dict(input_size=30000), "'input_size' must be a side in pixels up to 4096"),
        (dict(input_size=10**400), "'input_size' must be a side in pixels up to 4096"),
        (dict(input_size=224.0), "'input_size' must be"),
        (dict(input_size=[1, 2, 3]), "'input_size' must be"),
        (dict(patch_size='16'), "'patch_size' must be"),
        (dict(crop_margin=-1), "'crop_margin' must be a number from 0 to inf"),
        (dict(threshold=1.5), "'threshold' must be a number from 0 to 1, found 1.5"),
        (dict(threshold=True), "'threshold' must be"),
        (dict(detector=3), "'detector' must be a text"),
        (dict(versions=['torch']), "'versions' must be"),
    ],
)
def test_wrong_values_are_refused_by_field(changes, sentence):
    with pytest.raises(ValueError, match=f'card: {sentence}'):
        card(**changes)


def test_what_a_later_version_added_is_left_out_aloud():
    with pytest.warns(UserWarning, match=r"does not know: \['licence'\]"):
        assert ModelCard.from_dict({**card().to_dict(), 'licence': 'x'}) == card()
    with pytest.raises(ValueError, match='must be a dict, found a list'):
        ModelCard.from_dict(['fake'])


@pytest.mark.parametrize(
    'caller, sentence',
    [
        (dict(classes=('real', 'fake')), r'card says classes \(fake, real\), but here it is \(real, fake\)'),
        (dict(positive_class='fake'), "positive_class 'real', but here it is 'fake'"),
        (dict(mean=[0.485, 0.456, 0.406]), r'mean \(0.5482, .*but here it is \(0.485'),
        (dict(std=[0.229, 0.224, 0.225]), 'std'),
        (dict(input_size=256), r'input_size \(224, 224\), but here it is \(256, 256\)'),
        (dict(patch_size=14), 'patch_size 16, but here it is 14'),
        (dict(crop_margin=1.2), 'crop_margin 1.3, but here it is 1.2'),
        (dict(detector='mtcnn'), "detector 'dlib', but here it is 'mtcnn'"),
        (dict(view='centre'), "view 'whole', but here it is 'centre'"),
        (dict(aggregation='max'), "aggregation 'mean', but here it is 'max'"),
    ],
)
def test_contradictions(caller, sentence):
    with pytest.warns(UserWarning, match=sentence):
        found = card().check_against(**caller)
    assert len(found) == 1
    with pytest.raises(ValueError, match=sentence.replace('here', 'in the test set')):
        card().check_against(**caller, reaction='error', where='in the test set')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert card().check_against(**caller, reaction='return') == found
        assert ModelCard().check_against(**{**caller, 'aggregation': None}) == []


def test_no_contradiction():
    rounded = [round(255 * value, 3) / 255 for value in MEAN]  # as a config on the 0..255 scale has it
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        agreeing = dict(classes=['fake', 'real'], positive_class='real', mean=rounded, input_size=(224, 224))
        assert card().check_against(**agreeing, crop_margin=1.3, detector='dlib') == []
        assert card().check_against() == []
    with pytest.raises(ValueError, match='reaction must be one of'):
        card().check_against(reaction='shout')
    with pytest.raises(TypeError, match=r'a card is compared by classes, .*, found epochs'):
        card().check_against(epochs=3)


def preprocessor(**kwargs):
    return MODELS.build(dict(type='ClsDataPreprocessor', **kwargs))


def test_statistics_of_preprocessors():
    ours = MODELS.build(dict(type='FaceDataPreprocessor', stats='vggface2'))
    assert preprocessor_statistics(ours) == (
        [float(f'{v:.9g}') for v in MEAN],
        [float(f'{v:.9g}') for v in STD],
    )
    theirs = preprocessor(mean=[139.796, 107.968, 93.194], std=[71.124, 62.183, 59.908], to_rgb=True)
    mean, std = preprocessor_statistics(theirs)
    assert mean == [139.796 / 255, 107.968 / 255, 93.194 / 255]
    assert std == [71.124 / 255, 62.183 / 255, 59.908 / 255]
    assert preprocessor_statistics(preprocessor()) is None
    assert preprocessor_statistics(None) is None
    with pytest.raises(
        ValueError, match=r'ClsDataPreprocessor has to_rgb=False: set data_preprocessor\.to_rgb'
    ):
        preprocessor_statistics(preprocessor(mean=[1.0, 2, 3], std=[1.0, 1, 1]))


def test_facts_of_a_model_and_the_check():
    _, _, meta = golden('vit_cls_avg')
    config = dict(
        type='ImageClassifier',
        backbone=backbone_config(meta),
        data_preprocessor=dict(mean=[127.5] * 3, std=[51.0] * 3, to_rgb=True),
    )
    model = MODELS.build(config)
    assert model_facts(model) == dict(mean=[0.5] * 3, std=[0.2] * 3, input_size=32, patch_size=8, num_heads=3)
    assert model_facts(nn.Linear(1, 1)) == {}
    right = dict(mean=[0.5] * 3, std=[0.2] * 3, input_size=32, patch_size=8)
    assert check_model(card(**right), model, classes=('fake', 'real')) == []
    with pytest.warns(UserWarning, match='input_size'):
        assert len(check_model(card(**{**right, 'input_size': 64}), model)) == 1


def test_pretraining_runs_save_cards(tmp_path):
    runner = tiny_runner(tmp_path, max_iters=2, hooks=dict(card=dict(type='CardHook')))
    runner.train()
    path = tmp_path / 'iter_2.pth'
    found = read_card(path)  # weights-only: mmengine's own checkpoint passes the loader
    assert found.classes is None and found.positive_class is None and found.threshold is None
    assert found.task == 'pretrain' and found.source == 'trained with fsfm_mm'
    assert (found.mean, found.std) == ((0.0,) * 3, (1.0,) * 3)
    assert (found.input_size, found.patch_size) == (32, 8)
    assert found.config == runner.cfg.pretty_text and found.config_hash == text_hash(found.config)
    assert found.versions['torch'] == torch.__version__
    assert load_checkpoint_file(path)['message_hub']['log_scalars']
    load_checkpoint(runner.model, str(path), strict=True)


@DATASETS.register_module()
class CardTestFaces(torch.utils.data.Dataset):
    metainfo = dict(classes=('fake', 'real'), positive_class='real', crop_margin=1.3)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        from mmpretrain.structures import DataSample

        sample = DataSample().set_gt_label(index % 2)
        return dict(inputs=torch.full((3, 32, 32), 60 * index, dtype=torch.uint8), data_samples=sample)


def classifier_config(work_dir, to_rgb=True, **card_hook):
    _, _, meta = golden('vit_cls_avg')
    model = dict(
        type='ImageClassifier',
        backbone=backbone_config(meta),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=48),
        data_preprocessor=dict(mean=[127.5] * 3, std=[51.0] * 3, to_rgb=to_rgb),
    )
    config = tiny_config(work_dir, max_iters=2)
    config.model = model
    config.train_dataloader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='CardTestFaces'),
        collate_fn=dict(type='default_collate'),
    )
    config.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False),
        card=dict(type='CardHook', **card_hook),
    )
    return config


def test_crops_are_as_the_training_set_was_prepared(tmp_path, monkeypatch):
    (tmp_path / 'prepare.json').write_text('{"detector_name": "yunet", "margin": 1.02}')
    monkeypatch.setattr(CardTestFaces, 'data_roots', [str(tmp_path)], raising=False)
    config = classifier_config(tmp_path, crop_margin=1.3)
    tested = dict(type='LabelledFaces', pipeline=[dict(type='ResizeFace', size=32, view='centre')])
    runner = build_runner(config)
    runner.cfg.test_dataloader = dict(dataset=tested)
    runner.train()
    found = read_card(tmp_path / 'iter_2.pth')
    assert (found.detector, found.crop_margin) == ('yunet', 1.02)
    assert found.view == 'centre'  # what the run's tests show


def test_the_view_of_data_sets():
    def part(**step):
        return dict(type='LabelledFaces', pipeline=[dict(type='LoadFace'), step])

    whole, centre = part(type='ResizeFace', size=32), part(type='ResizeFace', size=32, view='centre')
    drawn = dict(type='GeneratedForgeries', img_size=32)
    both = dict(type='ConcatDataset', datasets=[whole, centre])
    assert [picture_view(one) for one in (whole, centre, both, drawn)] == ['whole', 'centre', None, None]
    set_view(both, 'centre')
    assert picture_view(both) == 'centre' and whole['pipeline'][1]['view'] == 'centre'
    with pytest.raises(
        ValueError, match=r'^view: the view is an .* pipeline of GeneratedForgeries has no step'
    ):
        set_view(drawn, 'centre')
    with pytest.raises(ValueError, match='has CenterCrop: put a ResizeFace into it'):
        set_view(part(type='CenterCrop', crop_size=32), 'whole')
    assert check_view(card(), whole | part(type='ResizeFace', size=32), 'a') == ()
    with pytest.raises(ValueError, match="card says view 'whole', but in test set 'a' it is 'centre'"):
        check_view(card(), centre, 'a')
    (note,) = check_view(card(), centre, 'a', override=True)
    assert note.startswith('the card was overridden: ')


def test_classifier_runs_save_cards(tmp_path):
    runner = build_runner(classifier_config(tmp_path, task='deepfake', detector='dlib', threshold=0.25))
    runner.train()
    found = read_card(tmp_path / 'iter_2.pth')
    assert (found.classes, found.positive_class) == (('fake', 'real'), 'real')
    assert (found.mean, found.std) == ((0.5,) * 3, (0.2,) * 3)
    assert (found.crop_margin, found.detector, found.threshold) == (1.3, 'dlib', 0.25)
    assert (found.task, found.input_size, found.patch_size) == ('deepfake', 32, 8)


def test_a_card_that_cannot_be_made_stops_the_run_at_its_start(tmp_path):
    runner = build_runner(classifier_config(tmp_path, to_rgb=False))
    with pytest.raises(ValueError, match='networks that see RGB'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))


def test_the_hook_checks_its_arguments():
    assert HOOKS.get('CardHook') is CardHook
    with pytest.raises(ValueError, match="'threshold' must be"):
        CardHook(threshold=2)
    with pytest.raises(TypeError, match='margin'):
        CardHook(margin=1.3)
