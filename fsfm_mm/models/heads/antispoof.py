"""The face anti-spoofing heads: an embedding of moderated length, compared with one direction a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from torch import nn

from fsfm_mm.models.heads.adapter import AdapterHead
from fsfm_mm.registry import MODELS

FORMS = ('published', 'repaired')


def root_norm(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Divide x by ``sqrt(2 * L2 norm)`` along one axis; vectors keep a length of sqrt(norm / 2)."""
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / (2 * norm.clamp(min=1e-12)).sqrt()


class SpoofClassifier(nn.Module):
    """Linear, ReLU, dropout, division by sqrt(2 * L2 norm), and a classifier, in one of two forms.

    - ``form='published'``: the norm is taken over axis 1, whatever that is. For pooled features (N, D) these are the
      features of a sample; for tokens (N, 1 + L, D) the *tokens of the image*, so that each of the 512 features is
      divided by its own length over the picture (a slip: code written for pooled features). Row 0 is read then.
      Before every forward in training, the classifier's weight (classes, 512) is **overwritten** by itself with each of
      its 512 columns scaled to unit length over the classes; so what Adam has moved is projected at the next forward.
      It has a trained bias, zero at the start.
    - ``form='repaired'``: pooled features only, norm over the features, unit *class* vectors, no bias.

    Evaluation computes with the same scaled weight but does not write it: scaling twice moves the last digit, and a
    run that validates would not train as one that does not. Under FSDP the overwriting would be lost with
    the gathered weights (``writes_its_weights``): the published form is refused there.

    Args:
        in_channels: Width of the input.
        num_classes: Number of classes.
        hidden_dim: Width of the embedding.
        dropout: Probability of dropping a feature in training.
        form: One of :data:`FORMS`.

    Raises:
        ValueError: For another ``form``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int = 2,
        hidden_dim: int = 512,
        dropout: float = 0.5,
        form: str = 'published',
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f'form must be one of {FORMS}, found {form!r}')
        self.form = form
        self.writes_its_weights = form == 'published'
        self.bottleneck = nn.Linear(in_channels, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden_dim, num_classes, bias=form == 'published')
        nn.init.normal_(self.bottleneck.weight, std=0.005)
        nn.init.constant_(self.bottleneck.bias, 0.1)
        if form == 'published':
            nn.init.zeros_(self.fc.bias)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Embedding (N, hidden_dim) of features (N, D), or of the first of tokens (N, 1 + L, D).

        Raises:
            ValueError: For an input of another rank, or for tokens in the repaired form.
        """
        ranks = (2, 3) if self.form == 'published' else (2,)
        if x.ndim not in ranks:
            wanted = 'pooled features (N, D)' + (' or tokens (N, 1 + L, D)' if 3 in ranks else '')
            raise ValueError(
                f'the anti-spoofing head in its {self.form} form takes {wanted}, found {tuple(x.shape)}: change the '
                "backbone's out_type, or the head's form"
            )
        x = root_norm(self.dropout(F.relu(self.bottleneck(x))), dim=1)
        return x if x.ndim == 2 else x[:, 0]

    def classify(self, embedding: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of embeddings (N, hidden_dim)."""
        if self.form == 'repaired':
            return F.linear(embedding, F.normalize(self.fc.weight, dim=1))
        scaled = F.normalize(self.fc.weight.detach(), dim=0)
        if not self.training:
            return F.linear(embedding, scaled, self.fc.bias)
        with torch.no_grad():
            self.fc.weight.copy_(scaled)
        return self.fc(embedding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of features (N, D) or tokens (N, 1 + L, D)."""
        return self.classify(self.embed(x))


@MODELS.register_module()
class AntiSpoofHead(ClsHead):
    """Head of face anti-spoofing's full fine-tuning: :class:`SpoofClassifier` on what the backbone hands on.

    The published recipes give it a backbone with ``out_type='pooled_tokens'``; the repaired form takes
    ``out_type='avg_featmap'``.

    Args:
        in_channels: Width D.
        num_classes: Number of classes.
        hidden_dim: Width of the embedding.
        dropout: Probability of dropping a feature in training.
        form: 'published' or 'repaired', see :class:`SpoofClassifier`.
        **kwargs: ``loss``, ``topk``, ``cal_acc``, ``init_cfg`` of mmpretrain's ClsHead.

    Raises:
        ValueError: For another ``form``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int = 2,
        hidden_dim: int = 512,
        dropout: float = 0.5,
        form: str = 'published',
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.spoof = SpoofClassifier(in_channels, num_classes, hidden_dim, dropout, form)

    def pre_logits(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """Embedding (N, hidden_dim) of the last stage's features, (N, D) or (N, 1 + L, D)."""
        return self.spoof.embed(feats[-1])

    def forward(self, feats: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (N, classes)."""
        return self.spoof(feats[-1])


@MODELS.register_module()
class AntiSpoofAdapterHead(AdapterHead):
    """Head of FS-Adapter in face anti-spoofing: the adapter's [f, a] (N, 2D) into :class:`SpoofClassifier`.

    Args:
        num_classes: Number of classes.
        in_channels: Width D of the pooled feature.
        hidden_dim: Width of the embedding.
        dropout: Probability of dropping a feature in training.
        form: 'published' or 'repaired', see :class:`SpoofClassifier`.
        **kwargs: Of :class:`~fsfm_mm.models.heads.adapter.AdapterHead`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        hidden_dim: int = 512,
        dropout: float = 0.5,
        form: str = 'published',
        **kwargs: Any,
    ):
        super().__init__(num_classes, in_channels, **kwargs)
        del self.fc
        self.spoof = SpoofClassifier(2 * in_channels, num_classes, hidden_dim, dropout, form)

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of [f, a] (N, 2D)."""
        return self.spoof(x)
