"""Our sizes among timm's models: ``timm.create_model('fsfm_vit_small_patch16_224', checkpoint_path=FILE)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from timm.models import build_model_with_cfg, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn

from fsfm_mm.models.backbones.fused_attention_vit import ARCHS

#: Our name of an architecture -> its name in timm; sides of patches and images are the papers'.
TIMM_NAMES = {arch: f'fsfm_vit_{arch}_patch{14 if arch == "huge" else 16}_224' for arch in ARCHS}


class FsfmViT(VisionTransformer):
    """timm's ViT, whose head and pooling follow the weights that are loaded.

    ``create_model(..., checkpoint_path=...)`` builds before it reads, so that otherwise the caller has to know whether
    a file has a head, of how many classes, and what it stands on. What he says is kept: a file that contradicts it does
    not load.
    """

    #: What the caller of ``create_model`` left open: the pooling, the head, the statistics of the pictures.
    pooling_is_open = False
    head_is_open = False
    statistics_are_open = False

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As torch's, after head and pooling have been made what the weights have."""
        if self.pooling_is_open:
            self._follow_pooling(pools_mean='fc_norm.weight' in state_dict)
        if self.head_is_open:
            head = state_dict.get('head.weight')
            classes = 0 if head is None else len(head)
            if classes != self.num_classes:
                self.reset_classifier(classes)
        if self.statistics_are_open:
            warnings.warn(
                'these weights were trained on images normalised with statistics of their own, which a file of '
                "weights does not tell timm (its default are ImageNet's): pass pretrained_cfg_overlay=dict(mean=..., "
                "std=...) as fsfm-mm convert printed it, or load a folder that it wrote ('local-dir:FOLDER').",
                stacklevel=3,
            )
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def _follow_pooling(self, pools_mean: bool) -> None:
        """One norm after the blocks: over the mean of the patch tokens, or over all tokens."""
        norms = [norm for norm in (self.norm, self.fc_norm) if not isinstance(norm, nn.Identity)]
        norm = norms[0] if norms else nn.Identity()
        self.norm, self.fc_norm = (nn.Identity(), norm) if pools_mean else (norm, nn.Identity())
        self.reset_classifier(self.num_classes, 'avg' if pools_mean else 'token')


#: Pictures as ``ResizeFace`` makes them: resized to the input's sides as a whole, whatever their own are.
WHOLE_PICTURE = {'crop_pct': 1.0, 'crop_mode': 'squash', 'interpolation': 'bicubic'}
#: What timm's ``register_model`` reads of a model besides its arguments: without a head, as most of our files are.
default_cfgs = {
    name: {
        'num_classes': 0,
        'input_size': (3, 224, 224),
        'fixed_input_size': True,
        **WHOLE_PICTURE,
        'first_conv': 'patch_embed.proj',
        'classifier': 'head',
    }
    for name in TIMM_NAMES.values()
}


def _entrypoint(name: str, arch: str) -> Callable[..., nn.Module]:
    width, depth, num_heads = ARCHS[arch]
    sizes = {
        'patch_size': 14 if arch == 'huge' else 16,
        'embed_dim': width,
        'depth': depth,
        'num_heads': num_heads,
    }

    def build(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        model = build_model_with_cfg(
            FsfmViT,
            name,
            pretrained,
            pretrained_filter_fn=checkpoint_filter_fn,
            feature_cfg={'out_indices': 3, 'feature_cls': 'getter'},
            **{**sizes, **kwargs},
        )
        if isinstance(model, FsfmViT):
            given = {**(kwargs.get('pretrained_cfg') or {}), **(kwargs.get('pretrained_cfg_overlay') or {})}
            model.pooling_is_open = 'global_pool' not in kwargs
            model.head_is_open = 'num_classes' not in kwargs
            model.statistics_are_open = 'mean' not in given
        return model

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""ViT-{arch} of fsfm_mm: width {width}, {depth} blocks, {num_heads} heads."""
    return build


#: Name in timm -> what makes the model; registered when this module is imported.
TIMM_MODELS = {name: register_model(_entrypoint(name, arch)) for arch, name in TIMM_NAMES.items()}
