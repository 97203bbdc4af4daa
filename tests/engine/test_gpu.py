"""What only a CUDA device can show: the golden step there, and no waiting for the device in a step."""

import pytest
import torch
from golden import fsfm_config, load_pretrain_golden, tensors
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import from_reference
from fsfm_mm.engine.optim import MergedGroupsConstructor

pytestmark = pytest.mark.gpu


def golden_model():
    arrays, meta = load_pretrain_golden()
    model = MODELS.build(fsfm_config(meta))
    online, target = (tensors(arrays, f'{part}/', torch.float32) for part in ('online', 'target'))
    model.load_state_dict(from_reference(online, target))
    batch = dict(
        inputs=torch.from_numpy(arrays['in/img']).float(),
        mask=torch.from_numpy(arrays['in/img_mask']).bool(),
        region_mask=torch.from_numpy(arrays['in/region_mask']).bool(),
    )
    return model.cuda(), batch, arrays


def wrapper_for(model, dtype):
    config = dict(
        type='AutocastOptimWrapper',
        dtype=dtype,
        optimizer=dict(type='AdamW', lr=1e-3, fused=True),
        clip_grad=dict(max_norm=1.0),
    )
    return MergedGroupsConstructor(config)(model)


def test_golden_losses_on_cuda():
    model, batch, arrays = golden_model()
    losses = model(**model.data_preprocessor(batch), mode='loss')
    total = sum(losses.values()).item()
    assert total == pytest.approx(float(arrays['out/loss_total']), rel=1e-4)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_step_never_waits_for_the_device(dtype):
    model, batch, _ = golden_model()
    wrapper = wrapper_for(model, dtype)
    batch = {key: value.pin_memory() for key, value in batch.items()}
    model.train_step(dict(batch), wrapper)  # the first step allocates
    model.target.update(0.99)
    torch.cuda.set_sync_debug_mode('error')
    try:
        model.train_step(dict(batch), wrapper)
        model.target.update(0.99)
    finally:
        torch.cuda.set_sync_debug_mode('default')
