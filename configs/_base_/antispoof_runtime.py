"""Runtime of face anti-spoofing: by iterations; the best checkpoint has the least HTER in validation.

The metric's 'target' is whatever it is given: validation is on held-out videos of the source domains.
"""

_base_ = './default_runtime.py'

default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=100, save_best='HTER@target-EER', rule='less'),
    card=dict(type='CardHook', task='antispoof'),
)
log_processor = dict(by_epoch=False)
