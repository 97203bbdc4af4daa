"""FF++ DeepFakes c23 for training and validation; tested on the four subsets of DiFF, which share their real images.

Metrics are of single images. ``published_sets`` are DiFF's validation images, for runs that chose on them.
"""

_base_ = './ffpp_c23.py'

data_root = 'data/ffpp_df'
test_root = 'data/diff'

ffpp = dict(_delete_=True, type='LabelledFaces', data_root=data_root, classes=('fake', 'real'))
diff = dict(type='LabelledFaces', data_root=test_root, classes=('fake', 'real'), pipeline={{_base_.val_pipeline}})
subsets = ('T2I', 'I2I', 'FS', 'FE')

train_dataloader = dict(
    dataset=dict(
        **ffpp, split='train', pipeline=[dict(type='LoadFace'), {{_base_.augment}}, {{_base_.pack}}]
    )
)
val_dataloader = dict(dataset=dict(**ffpp, split='val', pipeline={{_base_.val_pipeline}}))
test_sets = {}
published_sets = {}
for subset in subsets:
    part = dict(**diff, domain=subset, ignore=[f'fake_{other}' for other in subsets if other != subset])
    test_sets[subset] = dict(**part, split='test')
    published_sets[subset] = dict(**part, split='val')
del subset, part
test_dataloader = dict(dataset=dict(_delete_=True, **test_sets['T2I']))
test_evaluator = dict(level=('frame',))
