"""FSFM with ViT-B/16 at the paper's sizes; other sizes change ``arch``."""

model = dict(
    type='FSFM',
    data_preprocessor=dict(type='FaceDataPreprocessor', stats='vggface2'),
    backbone=dict(type='FusedAttentionViT', arch='base', img_size=224, patch_size=16),
    pixel_decoder=dict(type='MAEPixelDecoder', embed_dim=512, depth=8, num_heads=16),
    rep_decoder=dict(type='SiameseRepDecoder', depth=2, num_heads=16, positions='sincos'),
    projector=dict(type='ProjectionMLP', hidden_dim=4096, out_dim=256),
    predictor=dict(type='ProjectionMLP', hidden_dim=4096),
    target=dict(type='MomentumTarget', base_momentum=0.996, end_momentum=1.0, start='online'),
    loss_rec=dict(type='MaskedReconstructionLoss', loss_weight=1.0),
    loss_region=dict(type='RegionReconstructionLoss', loss_weight=0.007),
    loss_sim=dict(type='SimSiamLoss', loss_weight=0.1),
    norm_pix=True,
)
