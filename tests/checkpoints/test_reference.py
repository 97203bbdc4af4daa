"""The reference's checkpoints by name: every key has a place, and nothing else passes."""

import pytest
import torch
from golden import build_tiny_fsfm, load_pretrain_golden, tensors
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import from_reference
from fsfm_mm.checkpoints.name_maps import REFERENCE_NAMES, TARGET_PARTS


@pytest.fixture(scope='module')
def states():
    arrays, _ = load_pretrain_golden()
    return tensors(arrays, 'online/', torch.float32), tensors(arrays, 'target/', torch.float32)


def hand_written_name(key):
    """The same renaming as method text, one rule after the other."""
    for head in ('projector', 'predictor'):
        for theirs, ours in (('0', 'fc1'), ('1', 'norm'), ('3', 'fc2')):
            if key.startswith(f'{head}.projection_head.{theirs}.'):
                return f'{head}.{ours}.{key.rsplit(".", 1)[1]}'
    if key.startswith('rep_decoder_'):
        return 'rep_decoder.' + key.removeprefix('rep_decoder_')
    if key.startswith('decoder_'):
        return 'pixel_decoder.' + key.removeprefix('decoder_')
    return key if key == 'mask_token' else f'backbone.{key}'


def test_round_trip_of_every_tensor(states):
    online, target = states
    state = from_reference(online, target)
    model = build_tiny_fsfm()
    assert set(state) == set(model.state_dict())
    model.load_state_dict(state, strict=True)
    loaded = model.state_dict()
    for key, value in online.items():
        assert torch.equal(loaded[hand_written_name(key)], value), key
        assert state[hand_written_name(key)] is value  # shared, not copied
    for key, value in target.items():
        if key != 'mask_token':  # stored by the reference, used by nobody
            assert torch.equal(loaded[f'target.{hand_written_name(key)}'], value), key
    assert len(state) == len(online) + len(target) - 1


def test_the_caller_s_dictionaries_stay_as_they_are(states):
    online, target = states
    before = list(online), list(target)
    from_reference(online, target)
    from_reference(online)
    assert (list(online), list(target)) == before


def test_without_a_target_it_starts_from_the_online_weights(states):
    online, _ = states
    state = from_reference(online)
    assert set(state) == set(build_tiny_fsfm().state_dict())
    followers = [key for key in state if key.startswith('target.')]
    assert followers
    for key in followers:
        source = state[key.removeprefix('target.')]
        assert torch.equal(state[key], source)
        assert state[key].data_ptr() != source.data_ptr()


@pytest.mark.parametrize(
    'key', ['fc_norm.weight', 'head.weight', 'decoder_blocks', 'module.cls_token', 'pos_embed.x']
)
def test_unknown_keys_are_named(states, key):
    online, target = states
    with pytest.raises(ValueError, match=rf"the online state dict has 1 keys .* not have: \['{key}'\]"):
        from_reference({**online, key: torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"the target state dict has 1 keys .* not have: \['{key}'\]"):
        from_reference(online, {**target, key: torch.zeros(1)})


def test_whole_checkpoints_are_refused(states):
    online, target = states
    with pytest.raises(
        ValueError, match=r"the online state dict is a whole checkpoint.*checkpoint\['model'\]"
    ):
        from_reference({'model': online, 'epoch': 400})
    with pytest.raises(ValueError, match='the target state dict is a whole checkpoint'):
        from_reference(online, {'model': target})


def test_an_online_network_is_no_target(states):
    online, _ = states
    with pytest.raises(ValueError, match=r'keys of the online network only: \[.pixel_decoder.blocks.0'):
        from_reference(online, online)


def test_no_prefix_hides_another():
    for key in REFERENCE_NAMES:
        others = [other for other in REFERENCE_NAMES if other.endswith('.') and other != key]
        assert not any(key.startswith(other) for other in others), key


#: arch: (tensors online, tensors of the target with its unused mask token, million parameters online)
SIZES = {'small': (297, 188, 56.24), 'base': (297, 188, 133.73), 'large': (441, 332, 364.40)}


@pytest.mark.parametrize('arch', SIZES)
def test_number_of_tensors_and_parameters(arch):
    with torch.device('meta'):
        model = MODELS.build(
            dict(
                type='FSFM',
                data_preprocessor=dict(type='FaceDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3),
                backbone=dict(type='FusedAttentionViT', arch=arch),
                pixel_decoder=dict(type='MAEPixelDecoder'),
                rep_decoder=dict(type='SiameseRepDecoder'),
                projector=dict(type='ProjectionMLP'),
                predictor=dict(type='ProjectionMLP'),
                target=dict(type='MomentumTarget'),
                loss_sim=dict(type='SimSiamLoss'),
            )
        )
    state = model.state_dict()
    online = {key: value for key, value in state.items() if not key.startswith('target.')}
    target = [key.removeprefix('target.') for key in state if key.startswith('target.')]
    num_online, num_target, millions = SIZES[arch]
    assert len(online) == num_online
    assert len(target) + 1 == num_target
    assert sorted(target) == sorted(key for key in online if key.startswith(TARGET_PARTS))
    assert round(sum(value.numel() for value in online.values()) / 1e6, 2) == millions
