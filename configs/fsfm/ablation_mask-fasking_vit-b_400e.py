"""Ablation of the masking strategy (FSFM section 5.3): face parts first (MARLIN's fasking on one image).

tools/dist_train.sh configs/fsfm/ablation_mask-fasking_vit-b_400e.py 4
Hardware, time: as the FSFM config. Result: not yet measured here.
"""

_base_ = './fsfm_vit-b_vggface2_400e.py'

train_dataloader = dict(dataset=dict(mask=dict(type='FaskingMask')))
