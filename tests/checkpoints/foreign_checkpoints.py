"""Small checkpoints in the forms that users have on disk, and the models that they belong to."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from mmpretrain.registry import MODELS

DATA = Path(__file__).resolve().parents[1] / 'data'


def golden(name):
    """(state dict in timm's names, all arrays, meta) of a golden classifier."""
    with np.load(DATA / f'{name}.npz') as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != 'meta'}
        meta = json.loads(str(file['meta']))
    return {k.removeprefix('sd/'): v for k, v in arrays.items() if k.startswith('sd/')}, arrays, meta


def backbone_config(meta, out_type='avg_featmap', **changes):
    arch = {key: meta[key] for key in ('embed_dim', 'depth', 'num_heads')}
    return dict(
        type='FusedAttentionViT',
        arch=arch,
        img_size=meta['img_size'],
        patch_size=meta['patch_size'],
        out_type=out_type,
        **changes,
    )


def build_classifier(meta, out_type='avg_featmap', head=None, **changes):
    """ImageClassifier of a golden file's sizes, in evaluation mode, with fresh weights."""
    head = head or dict(type='LinearClsHead', num_classes=2, in_channels=meta['embed_dim'])
    config = dict(type='ImageClassifier', backbone=backbone_config(meta, out_type, **changes), head=head)
    return MODELS.build(config).eval()


def reference_checkpoint(state, **args):
    """What the reference saves: model, optimizer, epoch, scaler, args."""
    return {
        'model': state,
        'optimizer': {'state': {}, 'param_groups': [{'lr': 1e-3, 'params': [0]}]},
        'epoch': 7,
        'scaler': {'scale': 65536.0, '_growth_tracker': 3},
        'args': argparse.Namespace(batch_size=64, device='cuda', clip_grad=None, **args),
    }


def sharpened(model, seed=0):
    """The model with weights as after training: attention far from uniform, so that a wrong number of heads shows.

    Features keep a scale of about one. Fresh weights attend to all tokens alike, whatever the number of heads.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if 'norm' in name:
            value.copy_(0.1 * noise + name.endswith('weight'))
        elif value.dim() == 1:
            value.copy_(0.1 * noise)
        else:
            fan_in = value[0].numel() if name.endswith('weight') else 1
            value.copy_(noise * (2 if 'qkv' in name else 1) / fan_in**0.5)
    return model.eval()
