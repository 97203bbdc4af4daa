"""Fully sharded data parallel training: weights, gradients and optimiser state cut over the processes.

mmengine's own ``FSDPStrategy`` wraps torch's first FSDP, which flattens parameters: ours would need its names,
groups, momentum target and clipping translated, and its resume passes arguments in the wrong order. torch's
second (``fully_shard``) keeps every parameter, under its own name, as a distributed tensor: hooks, parameter
groups and the momentum target work on it as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.registry import STRATEGIES
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from fsfm_mm.models.layers import Block


def gathered(state: Any) -> Any:
    """A (nested) state dict with whole tensors on the CPU; every process must call it.

    Args:
        state: Dicts, lists and anything in them.

    Returns:
        The same structure; sharded tensors are None on all processes but the first, which writes files.
    """
    if isinstance(state, DTensor):
        whole = state.full_tensor()
        return whole.cpu() if is_main_process() else None
    if isinstance(state, Mapping):
        return {key: gathered(value) for key, value in state.items()}
    if isinstance(state, list):
        return [gathered(value) for value in state]
    return state


def shard_like(whole: torch.Tensor, parameter: DTensor) -> DTensor:
    """This process's part of a whole tensor (same on all processes), cut as a parameter is; no exchange."""
    mesh = parameter.device_mesh
    return distribute_tensor(whole.to(parameter.device), mesh, parameter.placements, src_data_rank=None)


def _shard_loaded(module: nn.Module, state_dict: dict, prefix: str, *args: Any) -> None:
    """Let whole tensors be loaded: runs after the module's other hooks, which want them whole."""
    for name, parameter in module.named_parameters(recurse=False):
        value = state_dict.get(prefix + name)
        if not isinstance(parameter, DTensor) or not isinstance(value, torch.Tensor):
            continue
        if value.shape == parameter.shape and not isinstance(value, DTensor):  # torch reports other shapes
            state_dict[prefix + name] = shard_like(value, parameter)


def shard(model: nn.Module) -> nn.Module:
    """Shard a model in place over all processes: every transformer block by itself, then the rest.

    Args:
        model: On its device, the same weights on every process.

    Returns:
        The model; its ``state_dict`` has the same keys and loads whole tensors.

    Raises:
        ValueError: A part of it overwrites its weights in ``forward``, which would be lost with the gathered ones.
    """
    for name, module in model.named_modules():
        if getattr(module, 'writes_its_weights', False):
            raise ValueError(
                f'model.{name} ({type(module).__name__}) overwrites its weights in training, which sharding (FSDP) '
                'would lose without a word: leave _base_/fsdp.py out of the config, or take another form of it'
            )
    mesh = init_device_mesh(get_device().split(':')[0], (get_world_size(),))
    for module in list(model.modules()):
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        module.register_load_state_dict_pre_hook(_shard_loaded)
    if hasattr(model, 'reconstruct'):  # an entry beside forward: it needs the weights gathered, too
        register_fsdp_forward_method(model, 'reconstruct')
    return model


@STRATEGIES.register_module()
class FullyShardStrategy(DDPStrategy):
    """FSDP for mmengine's FlexibleRunner, on GPUs or CPUs: ``_base_/fsdp.py`` is all that a config needs.

    Checkpoints are single files with the names and layout of a run with DDP or in one process: either kind
    of run resumes the other's, with any number of processes.

    Args:
        **kwargs: mmengine's, filled in by its FlexibleRunner.

    Raises:
        ValueError: Without a launcher.
    """

    _model_state: dict
    _optim_state: dict

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if not self.distributed:
            raise ValueError(
                'sharding (FSDP) needs a process group, also for one process: start with '
                'tools/dist_train.sh CONFIG PROCESSES, or leave _base_/fsdp.py out of the config'
            )

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        return shard(model.to(get_device()))

    def save_checkpoint(self, filename: str, *, save_optimizer: bool = True, **kwargs: Any) -> None:
        """Gather on all processes, write on the first; arguments are mmengine's."""
        self._model_state = gathered(self.model.state_dict())
        self._optim_state = gathered(self.optim_wrapper.state_dict()) if save_optimizer else {}
        super().save_checkpoint(filename, save_optimizer=save_optimizer, **kwargs)
        self._model_state, self._optim_state = {}, {}  # the whole model again: not to be kept

    def model_state_dict(self) -> dict:
        """Whole weights, while a checkpoint is written."""
        return self._model_state

    def optim_state_dict(self) -> dict:
        """Whole optimiser state, while a checkpoint is written."""
        return self._optim_state

    def load_checkpoint(self, filename: str, *, map_location: Any = 'cpu', **kwargs: Any) -> dict:
        """Read a file, always to the CPU: a device that needs sharding has no room for the whole."""
        return super().load_checkpoint(filename, map_location='cpu', **kwargs)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load a whole optimiser state, from a run with or without sharding."""
        groups = self.optim_wrapper.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group['params']]
        state = {
            index: {
                name: shard_like(value, parameters[index]) if name != 'step' else value
                for name, value in values.items()
            }
            for index, values in state_dict['state'].items()
        }
        self.optim_wrapper.load_state_dict({**state_dict, 'state': state})
