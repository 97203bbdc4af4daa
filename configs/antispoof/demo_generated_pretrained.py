"""As demo_generated.py, from the encoder that the pretraining demo left.

python tools/train.py configs/antispoof/demo_generated_pretrained.py
Needs work_dirs/demo (make demo). Hardware: two CPU cores. Time: about a minute.
"""

_base_ = './demo_generated.py'

model = dict(
    backbone=dict(
        init_cfg=dict(_delete_=True, type='PretrainedBackbone', checkpoint='work_dirs/demo')
    ),
)
