"""Golden values of one pretraining step (float64 reference), and the model that they belong to."""

import json
from pathlib import Path

import numpy as np
import torch
from mmpretrain.registry import MODELS

DATA = Path(__file__).parent / 'data'


def load_pretrain_golden():
    with np.load(DATA / 'pretrain_tiny.npz') as file:
        arrays = {key: file[key] for key in file.files if key != 'meta'}
        return arrays, json.loads(str(file['meta']))


def tensors(arrays, prefix, dtype=torch.float64):
    return {
        k[len(prefix) :]: torch.from_numpy(v).to(dtype) for k, v in arrays.items() if k.startswith(prefix)
    }


def fsfm_config(meta, **changes):
    """FSFM of the golden file's sizes; keyword arguments replace whole parts."""
    config = dict(
        type='FSFM',
        data_preprocessor=dict(type='FaceDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3),
        backbone=dict(
            type='FusedAttentionViT',
            arch=dict(embed_dim=meta['embed_dim'], depth=meta['depth'], num_heads=meta['num_heads']),
            img_size=meta['img_size'],
            patch_size=meta['patch_size'],
        ),
        pixel_decoder=dict(
            type='MAEPixelDecoder',
            embed_dim=meta['decoder_embed_dim'],
            depth=meta['decoder_depth'],
            num_heads=meta['decoder_num_heads'],
        ),
        rep_decoder=dict(
            type='SiameseRepDecoder', depth=meta['rep_decoder_depth'], num_heads=meta['rep_decoder_num_heads']
        ),
        projector=dict(
            type='ProjectionMLP', hidden_dim=meta['projection_hidden_size'], out_dim=meta['projection_size']
        ),
        predictor=dict(type='ProjectionMLP', hidden_dim=meta['projection_hidden_size']),
        target=dict(type='MomentumTarget', base_momentum=meta['momentum']),
        loss_rec=dict(type='MaskedReconstructionLoss'),
        loss_region=dict(type='RegionReconstructionLoss', loss_weight=meta['w_region']),
        loss_sim=dict(type='SimSiamLoss', loss_weight=meta['w_sim']),
        norm_pix=meta['norm_pix_loss'],
    )
    return {**config, **changes}


def build_tiny_fsfm(**changes):
    """An FSFM with the golden file's sizes and fresh weights."""
    _, meta = load_pretrain_golden()
    return MODELS.build(fsfm_config(meta, **changes))
