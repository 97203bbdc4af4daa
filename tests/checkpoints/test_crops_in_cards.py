"""Who cut the faces, how, and what of them is shown: in cards of published and converted weights, and compared."""

import json

import pytest
import torch
from foreign_checkpoints import golden, reference_checkpoint
from mmengine.config import Config

from fsfm_mm.apis import testing
from fsfm_mm.checkpoints import pretrained
from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.checkpoints.convert_files import convert_file
from fsfm_mm.checkpoints.encoder_settings import tell_other_crops
from fsfm_mm.checkpoints.zoo import zoo_names
from fsfm_mm.datasets.labelled.crops import are_nearest


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    lines = []
    for module in (testing, __import__('fsfm_mm.checkpoints.encoder_settings', fromlist=['x'])):
        monkeypatch.setattr(module, 'print_log', lambda text, *args, **kwargs: lines.append(text))
    return lines


def prepared(folder, **about):
    folder.mkdir()
    (folder / 'prepare.json').write_text(json.dumps(about))
    return str(folder)


@pytest.mark.parametrize('name', zoo_names())
def test_published_weights_say_the_published_crops(name, monkeypatch):
    monkeypatch.setattr(pretrained, 'fetch', lambda name: 'x.pth')
    _, _, facts = pretrained.locate(name, '')
    assert (facts['detector'], facts['crop_margin']) == ('dlib', 1.3)


def test_a_converted_file_says_what_is_usual_and_that_it_was_taken_for_granted(tmp_path):
    state, *_ = golden('vit_cls_avg')
    torch.save(reference_checkpoint(state), tmp_path / 'best.pth')

    def convert(**facts):
        given = {'num_heads': 3, **facts}
        return convert_file(tmp_path / 'best.pth', tmp_path / 'o.pth', 'fsfm-finetuned', facts=given)

    card, report = convert()
    assert (card.detector, card.crop_margin, card.view) == ('dlib', 1.3, None)
    text = report.summary()
    assert "detector='dlib' crop_margin=1.3, as published for fsfm-finetuned; --card says otherwise" in text
    assert 'say --card view=whole' in text
    card, report = convert(detector='yunet', crop_margin=1.2, view='centre')
    assert (card.detector, card.crop_margin, card.view) == ('yunet', 1.2, 'centre')
    assert 'as published' not in report.summary() and 'view=' not in report.summary()


@pytest.mark.parametrize('kind', ['fsfm-fas', 'fs-adapter-fas'])
def test_converted_anti_spoofing_says_aligned_chips(kind, tmp_path):
    import numpy as np
    from golden import DATA

    file = 'fas_full.npz' if kind == 'fsfm-fas' else 'fas_adapter.npz'
    with np.load(DATA / file) as arrays:
        state = {k[3:]: torch.from_numpy(arrays[k]) for k in arrays.files if k.startswith('sd/')}
    torch.save({'state_dict': state}, tmp_path / 'fas.pth')
    card, _ = convert_file(tmp_path / 'fas.pth', tmp_path / 'o.pth', kind, facts={'num_heads': 3})
    assert (card.detector, card.crop_margin, card.view) == ('mtcnn, aligned with padding 0.37', None, 'whole')


@pytest.mark.parametrize(
    'card, data, nearest',
    [
        (('dlib', 1.3), ('yunet', 1.02), True),
        (('yunet', 1.02), ('dlib', 1.3), True),
        (('dlib', None), ('yunet', 1.02), True),
        (('dlib', 1.3), ('yunet', 1.3), False),
        (('dlib', 1.3), ('dlib', 1.3), False),
        (('dlib', 1.3), ('retinaface', 1.02), False),
        (('mtcnn, aligned with padding 0.37', None), ('yunet, aligned with padding 0.37', None), True),
        (('mtcnn, aligned with padding 0.37', None), ('yunet, aligned with padding 0.2', None), False),
        ((None, 1.3), ('yunet', 1.02), False),
    ],
)
def test_the_nearest_crops_are_warned_of_and_others_refused(card, data, nearest, said):
    card, facts = ({'detector': who, 'crop_margin': margin} for who, margin in (card, data))
    assert are_nearest(card, facts) == are_nearest(facts, card) == nearest
    if nearest:
        assert testing.check_card(ModelCard(**card), facts, 'DFDC') == ()
        assert any(
            f"says detector '{card['detector']}', but in test set 'DFDC' it is" in line for line in said
        )
    elif card != facts:
        with pytest.raises(ValueError, match="in test set 'DFDC' it is"):
            testing.check_card(ModelCard(**card), facts, 'DFDC')


def test_fine_tuning_on_other_crops_than_the_encoders_is_warned_of(tmp_path, said):
    ours = prepared(tmp_path / 'ours', detector_name='yunet', margin=1.3)
    chips = prepared(tmp_path / 'chips', detector_name='yunet', chip_padding=0.37)
    card = ModelCard(detector='dlib', crop_margin=1.3)

    def tell(**dataset):
        said.clear()
        tell_other_crops(Config(dict(train_dataloader=dict(dataset=dataset))), card, 'fsfm-vit-base-vggface2')
        return said

    assert tell(data_root=ours) == [
        f"the encoder fsfm-vit-base-vggface2: its card says detector 'dlib', but in {ours} it is 'yunet'."
    ]
    assert tell(data_root=[ours, chips]) == tell(data_root=chips) == tell(length=3) == []
    assert len(tell(datasets=[dict(data_root=ours)])) == 1
