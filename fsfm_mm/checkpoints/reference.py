"""Names of the FSFM / FS-VFM reference's pretraining checkpoints, mapped to ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch

#: Reference prefix (with a dot) or whole name -> ours; none of them is the start of another.
REFERENCE_NAMES: dict[str, str] = {
    'cls_token': 'backbone.cls_token',
    'pos_embed': 'backbone.pos_embed',
    'patch_embed.': 'backbone.patch_embed.',
    'blocks.': 'backbone.blocks.',
    'norm.': 'backbone.norm.',
    'mask_token': 'mask_token',
    'decoder_pos_embed': 'pixel_decoder.pos_embed',
    'decoder_embed.': 'pixel_decoder.embed.',
    'decoder_blocks.': 'pixel_decoder.blocks.',
    'decoder_norm.': 'pixel_decoder.norm.',
    'decoder_pred.': 'pixel_decoder.pred.',
    'rep_decoder_pos_embed': 'rep_decoder.pos_embed',
    'rep_decoder_embed.': 'rep_decoder.embed.',
    'rep_decoder_blocks.': 'rep_decoder.blocks.',
    'rep_decoder_norm.': 'rep_decoder.norm.',
    'rep_decoder_pred.': 'rep_decoder.pred.',
    'projector.projection_head.0.': 'projector.fc1.',
    'projector.projection_head.1.': 'projector.norm.',
    'projector.projection_head.3.': 'projector.fc2.',
    'predictor.projection_head.0.': 'predictor.fc1.',
    'predictor.projection_head.1.': 'predictor.norm.',
    'predictor.projection_head.3.': 'predictor.fc2.',
}
#: Parts that the target has in the reference and here; its mask token is stored but never used.
TARGET_PARTS = ('backbone.', 'rep_decoder.', 'projector.')


def _rename(key: str) -> str | None:
    """Our name of a reference key, or None when it is not one."""
    for theirs, ours in REFERENCE_NAMES.items():
        if key == theirs or (theirs.endswith('.') and key.startswith(theirs)):
            return ours + key[len(theirs) :]
    return None


def _renamed(state: Mapping[str, torch.Tensor], what: str) -> dict[str, torch.Tensor]:
    if 'model' in state and not isinstance(state['model'], torch.Tensor):
        raise ValueError(f"{what} is a whole checkpoint, not a state dict: pass checkpoint['model']")
    names = {key: _rename(key) for key in state}
    unknown = sorted(key for key, name in names.items() if name is None)
    if unknown:
        raise ValueError(f'{what} has {len(unknown)} keys that the reference does not have: {unknown[:8]}')
    return {str(names[key]): value for key, value in state.items()}


def from_reference(
    online: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Turn the reference's pretraining state dicts into the state dict of :class:`FSFM`.

    Args:
        online: State dict of the online network (``checkpoint['model']`` of ``checkpoint-*.pth``).
        target: State dict of the target network (``checkpoint-te-*.pth``); without it the target
            starts from the online weights.

    Returns:
        A state dict for ``FSFM.load_state_dict(..., strict=True)``; tensors are shared, not copied
        (where the target starts from the online weights they are cloned).

    Raises:
        ValueError: When a key is not one of the reference's, naming it.
    """
    state = _renamed(online, 'the online state dict')
    if target is None:
        following = {k: v.clone() for k, v in state.items() if k.startswith(TARGET_PARTS)}
    else:
        following = _renamed(target, 'the target state dict')
        following.pop('mask_token', None)
        strangers = sorted(key for key in following if not key.startswith(TARGET_PARTS))
        if strangers:
            raise ValueError(f'the target state dict has keys of the online network only: {strangers[:8]}')
    return {**state, **{f'target.{key}': value for key, value in following.items()}}
