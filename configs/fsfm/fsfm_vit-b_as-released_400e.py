"""FSFM as the released weights were trained: frozen random target, rep decoder without positions.

The reference's multi-GPU runs never updated the target and never filled the rep decoder's position table.
(There each process even kept a random target of its own; here all processes share one.)

tools/dist_train.sh configs/fsfm/fsfm_vit-b_as-released_400e.py 4
Hardware, time: as the FSFM config. Result: not yet measured here.
"""

_base_ = './fsfm_vit-b_vggface2_400e.py'

model = dict(
    rep_decoder=dict(positions='zeros'),
    target=dict(start='random', base_momentum=None),
)
