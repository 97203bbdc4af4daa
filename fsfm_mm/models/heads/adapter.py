"""FS-Adapter: a bottleneck beside a frozen backbone, trained with real samples as anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import nn

from fsfm_mm.registry import MODELS


class BottleneckAdapter(nn.Module):
    """Two linear layers without bias, each followed by ReLU: D -> D/r -> D.

    Args:
        embed_dim: Width D.
        reduction: r.
    """

    def __init__(self, embed_dim: int, reduction: int):
        super().__init__()
        self.down = nn.Linear(embed_dim, embed_dim // reduction, bias=False)
        self.up = nn.Linear(embed_dim // reduction, embed_dim, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bottleneck (N, D/r) and adapted feature (N, D) of features (N, D)."""
        bottleneck = F.relu(self.down(x))
        return bottleneck, F.relu(self.up(bottleneck))


@MODELS.register_module()
class AdapterHead(ClsHead):
    """Head of FS-Adapter (FS-VFM, arXiv 2510.10663) on the pooled feature f of a frozen backbone.

    ``b = ReLU(W1 f)``, ``a = ReLU(W2 b)``, ``logits = fc([f, a])``; in training also
    ``z = L2norm(projector(b))``. The objective is the classification loss (on mixed labels, where a batch
    augment mixes) plus the contrastive loss of z on the samples' own labels.

    The backbone is to be frozen by its own ``frozen_stages=depth``, which also keeps it in evaluation. The
    adapter starts as torch's linear layers do, ``fc`` as in fine-tuning: truncated normal 2e-5, bias 0.

    Args:
        num_classes: Number of classes.
        in_channels: Width D of the pooled feature, a multiple of ``reduction``.
        reduction: D over the width of the bottleneck.
        real_label: Index of the real class; 1 when classes are in alphabetical order ('fake', 'real').
        contrast: The contrastive loss, called with (z, labels, real).
        **kwargs: ``loss``, ``topk``, ``cal_acc``, ``init_cfg`` of mmpretrain's ClsHead.

    Raises:
        ValueError: When ``reduction`` does not divide ``in_channels``, or ``real_label`` is no class.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        reduction: int = 4,
        real_label: int = 1,
        contrast: dict | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if in_channels % reduction:
            raise ValueError(f'in_channels={in_channels} is not a multiple of reduction={reduction}')
        if not 0 <= real_label < num_classes:
            raise ValueError(f'real_label must be in 0..{num_classes - 1}, found {real_label}')
        self.num_classes = num_classes
        self.real_label = real_label
        self._unchecked = {'real', 'fake'}
        self.adapter = BottleneckAdapter(in_channels, reduction)
        self.projector = nn.Linear(in_channels // reduction, in_channels // reduction)
        self.fc = nn.Linear(2 * in_channels, num_classes)
        nn.init.trunc_normal_(self.fc.weight, std=2e-5)
        nn.init.zeros_(self.fc.bias)
        self.contrast = MODELS.build(contrast or dict(type='RealAnchorContrastiveLoss'))

    def pre_logits(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """[f, a] (N, 2D) of the last stage's pooled feature (N, D)."""
        return torch.cat([feats[-1], self.adapter(feats[-1])[1]], dim=1)

    def forward(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (N, classes) of a tuple of features, the last one (N, D)."""
        return self.classify(self.pre_logits(feats))

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of [f, a] (N, 2D)."""
        return self.fc(x)

    def project(self, bottleneck: torch.Tensor) -> torch.Tensor:
        """z: (N, D/r) to unit vectors (N, D/r)."""
        return F.normalize(self.projector(bottleneck), dim=1)

    def loss(self, feats: Sequence[torch.Tensor], data_samples: list[DataSample], **kwargs: Any) -> dict:
        """Both losses.

        Args:
            feats: Tuple of features, the last one (N, D).
            data_samples: ``gt_label``: the class of the picture itself; ``gt_score`` too where mixed.
            **kwargs: Passed to the classification loss.

        Returns:
            ``loss``, ``loss_real_anchor``, and accuracies where asked for.

        Raises:
            ValueError: When the samples' class names contradict ``real_label``.
        """
        bottleneck, adapted = self.adapter(feats[-1])
        logits = self.classify(torch.cat([feats[-1], adapted], dim=1))
        losses = self._get_loss(logits, data_samples, **kwargs)
        labels = torch.cat([sample.gt_label for sample in data_samples])
        self._check_names(data_samples, labels)
        losses['loss_real_anchor'] = self.contrast(self.project(bottleneck), labels, self.real_label)
        return losses

    def _check_names(self, data_samples: list[DataSample], labels: torch.Tensor) -> None:
        """Refuse swapped classes (trained with fakes as anchors, nothing would look wrong).

        Looks until it has seen a 'real' and a 'fake', since reading labels makes the host wait.
        """
        names = [sample.get('class_name') for sample in data_samples]
        if self._unchecked.isdisjoint(names):
            return
        found = dict(zip(names, labels.tolist()))
        if found.get('real', self.real_label) != self.real_label or found.get('fake') == self.real_label:
            raise ValueError(
                f'AdapterHead has real_label={self.real_label}, but the samples are labelled {found}'
            )
        self._unchecked -= set(names)
