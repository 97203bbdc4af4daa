"""Ablation of the masking strategy (FSFM section 5.3): every region at the same ratio, none covered.

tools/dist_train.sh configs/fsfm/ablation_mask-frp_vit-b_400e.py 4
Hardware, time: as the FSFM config. Result: not yet measured here.
"""

_base_ = './fsfm_vit-b_vggface2_400e.py'

train_dataloader = dict(dataset=dict(mask=dict(type='FRPMask')))
