"""Runtime of face anti-spoofing: by iterations; the best checkpoint has the least HTER in validation.

The metric's 'target' is whatever it is given: validation is on held-out videos of the source domains.
"""

_base_ = './default_runtime.py'

# the published runs chose, among all evaluations, the checkpoint with the least HTER on the *target*, the last
# of equals: tools/test.py repeats that (and marks it) when it is given all checkpoints, so all are kept
published_checkpoint = 'HTER@target-EER'
published_ties = 'last'

default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=-1, save_best='HTER@target-EER', rule='less'),
    card=dict(type='CardHook', task='antispoof'),
)
log_processor = dict(by_epoch=False)
