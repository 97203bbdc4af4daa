"""How faces are cut for a model where its card names crops that cannot be made here."""

import pytest

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.prediction.cropping import crop_settings


def test_published_anti_spoofing_weights_take_yunets_landmarks():
    card = ModelCard(detector='mtcnn, aligned with padding 0.37', input_size=224)
    for typed in (None, 'yunet'):
        settings, notes = crop_settings(card, typed)
        assert (settings.detector, settings.chip_padding) == ({'type': 'YuNet'}, 0.37)
        assert notes == (
            "the card's faces are of mtcnn, aligned with padding 0.37; yunet, aligned with padding 0.37 comes "
            'nearest and is taken',
        )
    with pytest.raises(ValueError, match='but a margin was typed'):
        crop_settings(card, 'yunet', margin=1.3)


def test_without_dlib_yunet_is_typed_and_has_its_margin():
    card = ModelCard(detector='dlib', crop_margin=1.3)
    assert crop_settings(card)[0].detector == {'type': 'DlibFrontal'}
    for margin in (None, 1.02):
        settings, (note,) = crop_settings(card, 'yunet', margin=margin)
        assert (settings.detector, settings.margin) == ({'type': 'YuNet'}, 1.02)
        assert note == "the card's faces are of dlib 1.3; yunet 1.02 comes nearest and is taken"
    with pytest.raises(ValueError, match="card says detector 'dlib', but 'yunet' was typed"):
        crop_settings(card, 'yunet', margin=1.3)
