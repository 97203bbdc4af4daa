"""Importing this module registers every component: ``custom_imports = dict(imports=['fsfm_mm.components'])``.

A component is registered because it is a public name of its room (or a module of ``engine``): what a room's
``__init__`` names is loaded here, so there is no second list. It also makes the models of the model index known to
mmpretrain: ``mmpretrain.list_models('*fsfm*')``. ``fsfm_mm.load`` is found through here, so that what a checkpoint is
made of is registered before it is built.
"""

from types import ModuleType

from fsfm_mm._startup import import_third_parties

import_third_parties()  # first: filters import noise


import mmpretrain.registry  # noqa: E402
from mmpretrain.apis import ModelHub  # noqa: E402

from fsfm_mm import checkpoints, datasets, drawn, evaluation, models, registry  # noqa: E402
from fsfm_mm.apis.loading import load  # noqa: E402
from fsfm_mm.checkpoints.plain_loading import check_initialised, check_loaded  # noqa: E402
from fsfm_mm.datasets import transforms  # noqa: E402
from fsfm_mm.engine import fsdp, hooks, loops, optim  # noqa: E402
from fsfm_mm.engine.third_party import look_at_cards  # noqa: E402
from fsfm_mm.engine.weighed_loading import weigh_loaded_weights  # noqa: E402
from fsfm_mm.settings.config_files import CONFIGS  # noqa: E402

__all__ = [
    'checkpoints',
    'datasets',
    'drawn',
    'evaluation',
    'fsdp',
    'hooks',
    'load',
    'loops',
    'models',
    'optim',
    'transforms',
]


def _load(room: ModuleType) -> None:
    """Import what a room names."""
    for name in room.__all__:
        getattr(room, name)


for _room in (checkpoints, datasets, transforms, drawn, evaluation, models):
    _load(_room)

look_at_cards(check_initialised, check_loaded)
weigh_loaded_weights()

# for names with mmpretrain's prefix, type='mmpretrain.CRFRPMask', in other projects
for _ours, _theirs in (
    (registry.DATASETS, mmpretrain.registry.DATASETS),
    (registry.TRANSFORMS, mmpretrain.registry.TRANSFORMS),
):
    for _name, _kind in _ours.module_dict.items():
        if _kind.__module__.startswith('fsfm_mm.'):
            _theirs.register_module(_name, module=_kind)

# so that get_model and list_models know our models
ModelHub.register_model_index(CONFIGS.parent / 'model-index.yml', config_prefix=CONFIGS.parent)
