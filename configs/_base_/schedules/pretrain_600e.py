"""FS-VFM's pretraining schedule: as FSFM's, for 600 epochs."""

_base_ = './pretrain_400e.py'

max_epochs = 600
param_scheduler = dict(total=max_epochs)
train_cfg = dict(max_epochs=max_epochs)
