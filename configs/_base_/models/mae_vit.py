"""MAE with ViT-B/16: the same pieces without the target and the region loss."""

model = dict(
    type='FaceMAE',
    data_preprocessor=dict(type='FaceDataPreprocessor', stats='vggface2'),
    backbone=dict(type='FusedAttentionViT', arch='base', img_size=224, patch_size=16),
    pixel_decoder=dict(type='MAEPixelDecoder', embed_dim=512, depth=8, num_heads=16),
    loss_rec=dict(type='MaskedReconstructionLoss', loss_weight=1.0),
    norm_pix=True,
)
