"""Activation checkpointing: the same numbers bit for bit, and less kept for the backward pass."""

import copy

import pytest
import torch
from golden import build_tiny_fsfm, fsfm_config, load_pretrain_golden

from fsfm_mm.models.layers import Block

META = load_pretrain_golden()[1]
CONFIG = fsfm_config(META)
PARTS = ('backbone', 'pixel_decoder', 'rep_decoder')


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def switched(model, with_cp):
    """A copy of a model with checkpointing on or off in all its blocks."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, Block):
            module.with_cp = with_cp
    return model


def batch(n=4):
    side, grid = META['img_size'], META['img_size'] // META['patch_size']
    mask = torch.rand(n, grid**2).argsort(dim=1) < grid**2 * 3 // 4
    region = mask & (torch.rand(n, grid**2) < 0.3)
    return dict(inputs=torch.randn(n, 3, side, side), mask=mask, region_mask=region)


def step(model, data):
    """Losses, gradients by name, and bytes of activations kept for the backward pass."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address is used twice
        return tensor

    model.zero_grad()
    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = model(**data, mode='loss')
    size = sum(nbytes for nbytes, _ in kept.values())
    kept.clear()
    torch.stack(list(losses.values())).sum().backward()
    return losses, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, size


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize('drop_path', [0.0, 0.5])
def test_same_losses_and_gradients_bit_for_bit(drop_path):
    backbone = dict(CONFIG['backbone'], drop_path_rate=drop_path)
    model = build_tiny_fsfm(backbone=backbone).train()
    data = batch()
    losses, gradients, plain_bytes = step(switched(model, False), data)
    cp_losses, cp_gradients, cp_bytes = step(switched(model, True), data)
    assert_equal(cp_losses, losses)
    assert_equal(cp_gradients, gradients)
    assert len(gradients) > 50
    assert cp_bytes < 0.5 * plain_bytes


def test_random_numbers_after_the_step_are_the_same():
    """The second pass of a block with stochastic depth gives the generator back as it was."""
    model = build_tiny_fsfm(backbone=dict(CONFIG['backbone'], drop_path_rate=0.5)).train()
    data, after = batch(), []
    for with_cp in (False, True):
        step(switched(model, with_cp), data)
        after.append(torch.rand(4))
    assert torch.equal(*after)


def test_the_options_reach_every_block_but_the_target_keeps_nothing():
    model = build_tiny_fsfm(**{part: dict(CONFIG[part], with_cp=True) for part in PARTS})
    assert all(block.with_cp for block in model.modules() if isinstance(block, Block))
    for part in PARTS:
        model = build_tiny_fsfm(**{part: dict(CONFIG[part], with_cp=True)})
        inside = [block for block in getattr(model, part).modules() if isinstance(block, Block)]
        assert inside
        assert all(block.with_cp for block in inside)
    calls = []
    model = switched(build_tiny_fsfm(), True)
    for block in model.target.modules():
        if isinstance(block, Block):
            block.register_forward_hook(lambda *args: calls.append(args[2].requires_grad))
    step(model, batch())
    assert calls  # once each: no second pass
    assert len(calls) == sum(isinstance(block, Block) for block in model.target.modules())
    assert not any(calls)


def test_only_inputs_of_blocks_are_kept():
    """What a block keeps is its input, whatever its depth."""
    block = Block(dim=32, num_heads=4, with_cp=True)
    x = torch.randn(2, 10, 32, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        block(x).sum()
    assert sum(tensor.numel() for tensor in kept) <= x.numel()


@pytest.mark.slow
@pytest.mark.parametrize('first_query', [0, 3])
def test_works_in_compiled_blocks(first_query):
    """In one graph, as ``compile_blocks`` makes it (without its code generator, which takes half a minute)."""
    block = Block(dim=32, num_heads=4, with_cp=True)
    x = torch.randn(2, 10, 32, requires_grad=True)

    def gradients():
        out = block(x, first_query)
        return [out, *torch.autograd.grad(out.square().sum(), [x, *block.parameters()])]

    expected = gradients()
    torch.compiler.reset()
    block.compile(backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(gradients(), expected, rtol=1e-10, atol=1e-12)
