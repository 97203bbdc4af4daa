"""What timm's files say of a network beside its weights, and what ours for timm have to say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.checkpoints.grids import input_size
from fsfm_mm.checkpoints.heads import width_and_depth
from fsfm_mm.checkpoints.timm_models import TIMM_NAMES, WHOLE_PICTURE
from fsfm_mm.files.broken import parse_json, reading
from fsfm_mm.files.opening import MAX_TEXT, read_bytes
from fsfm_mm.models.backbones.fused_attention_vit import ARCHS
from fsfm_mm.models.layers import LAYER_NORM_EPS

#: Files of a folder that timm reads as 'local-dir:FOLDER': the arguments, and the weights in its order.
CONFIG_FILE = 'config.json'
WEIGHTS_FILES = ('model.safetensors', 'pytorch_model.bin', 'pytorch_model.pth', 'model.pth')
#: Name under which a file that we write for timm keeps what ``config.json`` holds in a folder.
CONFIG_KEY = 'timm_config'


def weights_file(path: Path) -> Path:
    """The weights of a folder in timm's form; another path is returned as it is.

    Raises:
        ValueError: When a folder has none.
    """
    if not path.is_dir():
        return path
    for name in WEIGHTS_FILES:
        if (path / name).is_file():
            return path / name
    raise ValueError(f'{path} is a folder without weights: expected one of {", ".join(WEIGHTS_FILES)} in it.')


def facts_of_timm(
    checkpoint: Mapping[str, Any], state: Mapping[str, torch.Tensor], path: Path
) -> dict[str, Any]:
    """What a timm file says for the card, beside what its shapes show.

    Looked for in the file (what timm's training or we wrote into it) and in ``config.json`` beside it.

    Args:
        checkpoint: The file's content.
        state: Its state dict in our names.
        path: The file.

    Returns:
        ``num_heads``; ``input_size``, ``mean``, ``std`` and ``classes`` where they are stated.

    Raises:
        ValueError: When the network that it names is not this one, or computes something else than ours would.
    """
    config = _config_of(checkpoint, path)
    name = str(config.get('architecture') or '').partition('.')[0]
    if not timm.is_model(name):  # '' and names of other projects
        return {}
    with torch.device('meta'):
        model = timm.create_model(name, **config.get('model_args') or {})
    if not isinstance(model, VisionTransformer):
        raise ValueError(f'{path} names the architecture {name!r}, which is no plain ViT of timm.')
    width, depth = width_and_depth(state)
    if (model.embed_dim, len(model.blocks)) != (width, depth):
        raise ValueError(
            f'{path} names the architecture {name!r} of width {model.embed_dim} and {len(model.blocks)} blocks, but '
            f'its weights have width {width} and {depth} blocks.'
        )
    others = _differences(model, has_head='head.fc.weight' in state)
    if others:
        raise ValueError(
            f'{path} is of the architecture {name!r}, whose weights would give other features here: '
            f'{"; ".join(others)}.'
        )
    stated = config.get('pretrained_cfg') or {}
    names = config.get('label_names')
    classes = len(state['head.fc.weight']) if 'head.fc.weight' in state else 0
    block: Any = model.blocks[0]
    facts: dict[str, Any] = {'num_heads': block.attn.num_heads}
    places = model.patch_embed.grid_size
    if places is not None and places[0] * places[1] + 1 == state['backbone.pos_embed'].shape[1]:
        facts['input_size'] = input_size(places, state['backbone.patch_embed.proj.weight'].shape[-1])
    if stated.get('mean') is not None and stated.get('std') is not None:
        facts.update(mean=tuple(stated['mean']), std=tuple(stated['std']))
    if isinstance(names, list | tuple) and len(names) == classes:
        facts['classes'] = tuple(map(str, names))
    return facts


def other_pictures(checkpoint: Mapping[str, Any], path: Path) -> str | None:
    """How a file says that its pictures are resized, where that is not how ``ResizeFace`` does; else None."""
    stated = _config_of(checkpoint, path).get('pretrained_cfg') or {}
    found = {key: stated[key] for key in WHOLE_PICTURE if stated.get(key) is not None}
    if found.items() <= WHOLE_PICTURE.items():
        return None
    others = ', '.join(f'{key}={value!r}' for key, value in found.items() if value != WHOLE_PICTURE[key])
    return f"its pictures were made with timm's {others}; ResizeFace of our pipelines resizes them whole, by 'bicubic'"


def _config_of(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Architecture, arguments and statistics that come with a file, as ``config.json`` has them."""
    own = checkpoint.get(CONFIG_KEY)
    if isinstance(own, Mapping):
        return dict(own)
    args = checkpoint.get('args')
    name = checkpoint.get('arch') or getattr(args, 'model', None)
    if isinstance(name, str):  # what timm's training script saves
        statistics = {key: getattr(args, key, None) for key in ('mean', 'std', *WHOLE_PICTURE)}
        return {
            'architecture': name,
            'model_args': dict(getattr(args, 'model_kwargs', None) or {}),
            'pretrained_cfg': statistics,
        }
    beside = path.parent / CONFIG_FILE
    if path.name not in WEIGHTS_FILES or not beside.is_file():
        return {}
    with reading(beside, ': cannot be read'):
        data = read_bytes(beside, MAX_TEXT)
    config = parse_json(data, beside)
    # timm's older files have all in one
    return config if 'pretrained_cfg' in config else {**config, 'pretrained_cfg': config}


def _differences(model: VisionTransformer, has_head: bool) -> list[str]:
    """What a network computes otherwise than ours although names and shapes of its weights are the same."""
    found = []
    eps = {layer.eps for layer in model.modules() if isinstance(layer, nn.LayerNorm)} - {LAYER_NORM_EPS}
    if eps:
        found.append(f'its LayerNorm has eps {min(eps):g}, ours {LAYER_NORM_EPS:g}')
    block = model.blocks[0]
    activation = getattr(getattr(block, 'mlp', None), 'act', None)
    if not isinstance(activation, nn.GELU) or activation.approximate != 'none':
        found.append(f'its activation is {activation}, ours GELU')
    if type(block) is not Block:
        found.append(f'its blocks are {type(block).__name__}')
    if has_head:
        norm_first = not isinstance(model.norm, nn.Identity)
        if model.global_pool != ('token' if norm_first else 'avg') or model.pool_include_prefix:
            found.append(
                f'its head stands on global_pool={model.global_pool!r} of tokens with{"" if norm_first else "out"} norm'
            )
    return found


def timm_config(state: Mapping[str, torch.Tensor], card: ModelCard) -> dict[str, Any]:
    """What timm's ``config.json`` says of exported weights; enough for ``create_model`` without fsfm_mm.

    Args:
        state: The weights in timm's names.
        card: Their card.

    Raises:
        ValueError: When the card lacks something that timm would otherwise fill in by itself, naming it.
    """
    missing = [name for name in ('num_heads', 'input_size', 'mean', 'std') if getattr(card, name) is None]
    if missing:
        raise ValueError(
            f'nothing says {", ".join(missing)} of these weights, and timm would take its own: give '
            f'--card {" ".join(f"{name}=..." for name in missing)} (mean and std of RGB in 0..1 as [r,g,b]).'
        )
    width, depth = width_and_depth(state)
    size = card.input_size
    sides = list(size) if isinstance(size, tuple) else [size, size]
    channels, patch = state['patch_embed.proj.weight'].shape[1:3]
    hidden = state['blocks.0.mlp.fc1.weight'].shape[0]
    classes = len(state['head.weight']) if 'head.weight' in state else 0
    pool = 'avg' if 'fc_norm.weight' in state else 'token'
    arguments: dict[str, Any] = {
        'img_size': sides[0] if sides[0] == sides[-1] else sides,
        'patch_size': patch,
        'in_chans': channels,
        'embed_dim': width,
        'depth': depth,
        'num_heads': card.num_heads,
        'mlp_ratio': hidden / width,
        'qkv_bias': 'blocks.0.attn.qkv.bias' in state,
        'global_pool': pool,
    }
    if not {'norm.weight', 'fc_norm.weight'} & set(state):
        arguments['final_norm'] = False
    input_size = [channels, sides[0], sides[-1]]
    return {
        'architecture': _timm_base(width, depth),
        'num_classes': classes,
        'num_features': width,
        'global_pool': pool,
        **({'label_names': list(card.classes)} if card.classes and len(card.classes) == classes else {}),
        'model_args': arguments,
        'pretrained_cfg': {
            'input_size': input_size,
            'fixed_input_size': True,
            'mean': list(card.mean or ()),
            'std': list(card.std or ()),
            **WHOLE_PICTURE,
            'num_classes': classes,
            'first_conv': 'patch_embed.proj',
            'classifier': 'head',
        },
    }


def _timm_base(width: int, depth: int) -> str:
    """The model of timm that has size, or ViT-B, whose sizes the arguments replace."""
    for arch, sizes in ARCHS.items():
        if sizes[:2] == (width, depth):
            return f'vit_{arch}_patch{14 if arch == "huge" else 16}_224'
    return 'vit_base_patch16_224'


def create_call(config: Mapping[str, Any], out: Path) -> str:
    """The line of Python that builds an export in timm and loads it.

    Args:
        config: From :func:`timm_config`.
        out: The file or folder that was written.
    """
    if out.suffix == '':
        return f"timm.create_model('local-dir:{out}', pretrained=True)"
    arguments = dict(config['model_args'])
    sizes = tuple(arguments.pop(key) for key in ('embed_dim', 'depth', 'num_heads'))
    ours = next((name for arch, name in TIMM_NAMES.items() if ARCHS[arch] == sizes), None)
    usual = {'img_size': 224, 'patch_size': 14 if sizes[0] == 1280 else 16, 'in_chans': 3, 'mlp_ratio': 4.0}
    given = {key: value for key, value in arguments.items() if usual.get(key, True) != value}
    overlaid: dict[str, Any] = {key: tuple(config['pretrained_cfg'][key]) for key in ('mean', 'std')}
    if ours is None:
        overlaid.update(WHOLE_PICTURE)
        given.update(zip(('embed_dim', 'depth', 'num_heads'), sizes), num_classes=config['num_classes'])
    else:
        given.pop('global_pool')  # ours follows the file
    text = ', '.join(f'{key}={value!r}' for key, value in given.items())
    overlay = ', '.join(f'{key}={value!r}' for key, value in overlaid.items())
    return (
        f'timm.create_model({ours or config["architecture"]!r}, checkpoint_path={str(out)!r}, {text}'
        f'{", " if text else ""}pretrained_cfg_overlay=dict({overlay}))'
        + ('  # after import fsfm_mm.components' if ours else '')
    )
