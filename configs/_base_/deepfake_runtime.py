"""Runtime of forgery detectors: the best checkpoint has the least cross entropy on validation frames.

The published choice, and sound where validation videos are of the source domain.
"""

_base_ = './default_runtime.py'

default_hooks = dict(
    checkpoint=dict(save_best='loss', rule='less'),
    card=dict(type='CardHook', task='deepfake', crop_margin=1.3),
)
