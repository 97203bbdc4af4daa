"""Face anti-spoofing, leave OULU-NPU out: FSFM ViT-B/16 on the other three of MCIO plus CelebA-Spoof.

python tools/train.py configs/antispoof/fsfm_vit-b_mcio-o.py
Seeds 0 to 4 (--cfg-options randomness.seed=1). Hardware, time and result: not yet measured here.
Published HTER 7.68 %, AUC 97.11 %.
The published HTER has threshold and checkpoint from the target itself; this config chooses on source videos.
"""

_base_ = [
    '../_base_/models/vit_antispoof.py',
    '../_base_/datasets/antispoof.py',
    '../_base_/schedules/antispoof_4000i.py',
    '../_base_/antispoof_runtime.py',
]
