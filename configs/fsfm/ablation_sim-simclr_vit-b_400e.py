"""Ablation of the similarity loss (FSFM section 5.3): SimCLR's NT-Xent.

tools/dist_train.sh configs/fsfm/ablation_sim-simclr_vit-b_400e.py 4
Hardware, time: as the FSFM config. Result: not yet measured here.
"""

_base_ = './fsfm_vit-b_vggface2_400e.py'

model = dict(loss_sim=dict(type='SimCLRLoss', gather=False))
