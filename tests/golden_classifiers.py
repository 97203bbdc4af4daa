"""Golden values of classifiers (float64 reference), and the models that they belong to."""

import json

import numpy as np
import torch
from golden import DATA
from mmpretrain.registry import MODELS

#: Parts of the reference's names in ours; everything else belongs to the backbone.
HEAD_NAMES = {
    'head.': 'head.fc.',
    'adapter.linear1.': 'head.adapter.down.',
    'adapter.linear2.': 'head.adapter.up.',
    'projector.': 'head.projector.',
    'embedder.bottleneck_layer_fc.': 'head.spoof.bottleneck.',
    'classifier.classifier_layer.': 'head.spoof.fc.',
}
#: Stored and never used: the bottleneck a second time, and the head of a ViT that another head follows.
UNUSED = ('embedder.bottleneck_layer.0.', 'backbone.vit.head.')


def our_name(name):
    """Our name of a parameter of the reference; None where it is stored and not used."""
    if name.startswith(UNUSED):
        return None
    name = name.removeprefix('backbone.vit.')
    for theirs, ours in HEAD_NAMES.items():
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    return f'backbone.{name}'


def load(file):
    """(arrays as float64 tensors, state dict in our names, meta) of a golden file."""
    with np.load(DATA / file) as arrays:
        meta = json.loads(str(arrays['meta']))
        values = {key: torch.from_numpy(arrays[key]) for key in arrays.files if key != 'meta'}
    values = {key: value.double() if value.is_floating_point() else value for key, value in values.items()}
    state = {our_name(key[3:]): value for key, value in values.items() if key.startswith('sd/')}
    state.pop(None, None)
    return values, state, meta


def build(meta, head, **backbone):
    """An ImageClassifier of the golden file's sizes, float64, in evaluation mode."""
    config = dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='FaceClsDataPreprocessor', stats='vggface2', num_classes=2),
        backbone=dict(
            type='FusedAttentionViT',
            arch=dict(embed_dim=meta['embed_dim'], depth=meta['depth'], num_heads=meta['num_heads']),
            img_size=meta['img_size'],
            patch_size=meta['patch_size'],
            **backbone,
        ),
        head=dict(num_classes=meta.get('num_classes', 2), in_channels=meta['embed_dim'], **head),
    )
    return MODELS.build(config).double().eval()


def samples(labels, scores=None, names=None):
    """Data samples with hard labels and, where given, mixed scores and class names."""
    from mmpretrain.structures import DataSample

    made = [DataSample().set_gt_label(torch.as_tensor([int(label)])) for label in labels]
    for i, sample in enumerate(made):
        if scores is not None:
            sample.set_gt_score(scores[i])
        if names is not None:
            sample.set_metainfo(dict(class_name=names[i]))
    return made
