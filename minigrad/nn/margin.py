r"""Losses of pairs, triples and margins, focal losses, and likelihoods, as modules.

Belongs here: thin layers around ``ops/margin.py``; the losses of every day are in ``losses.py``.
"""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor
from .losses import _Loss, _WeightedLoss
from .module import Module

__all__ = [
    "CapsuleMarginLoss",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "FocalLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "PairwiseDistance",
    "PoissonNLLLoss",
    "SigmoidFocalLoss",
    "SoftMarginLoss",
    "TripletMarginLoss",
]


class CosineSimilarity(Module):
    r"""The cosine of the angle between two tensors along ``dim``; lengths below ``eps`` count as
    ``eps``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return ops.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    r"""The p-norm of the difference of two tensors over the last axis; ``eps`` is added to the
    difference."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return ops.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class _MarginLoss(_Loss):
    def __init__(self, margin: float, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin


class CosineEmbeddingLoss(_MarginLoss):
    r""":math:`1 - \cos` of pairs that belong together (target 1), :math:`\max(0, \cos - m)` of
    others (target -1), m = ``margin``. Inputs are (N, D) and (N, D), the target (N,)."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return ops.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


class HingeEmbeddingLoss(_MarginLoss):
    r"""The distance x of pairs that belong together (target 1), :math:`\max(0, m - x)` of others
    (target -1). Reference: Hadsell et al., Dimensionality reduction by learning an invariant
    mapping, 2006 (there squared)."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.hinge_embedding_loss(input, target, self.margin, self.reduction)


class MarginRankingLoss(_MarginLoss):
    r""":math:`\max(0, m - t (x_1 - x_2))`: where the target t is 1, the first should be larger,
    where it is -1, the second."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return ops.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)


class TripletMarginLoss(_MarginLoss):
    r""":math:`\max(0, d(a, p) - d(a, n) + m)` of anchors, positive and negative examples (N, D).

    Args:
        margin: m.
        p: of the norm; ``eps`` is added to differences.
        swap: take :math:`d(p, n)` where it is smaller than :math:`d(a, n)`.
        reduction: "mean", "sum" or "none".

    Reference: Schroff et al., FaceNet, 2015; Balntas et al., 2016, for ``swap``.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, reduction)
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return ops.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


class SoftMarginLoss(_Loss):
    r""":math:`\ln(1 + e^{-t x})` for targets t = ±1."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.soft_margin_loss(input, target, self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    r"""The binary cross-entropy of each class of logits (N, C) against 0 or 1, averaged over the
    classes."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.multilabel_soft_margin_loss(input, target, self.weight, self.reduction)


class MultiMarginLoss(_WeightedLoss):
    r"""The hinge loss of several classes, :math:`\frac1C \sum_{j \ne t} w_t \max(0, m - x_t +
    x_j)^p`, of scores (N, C) and classes (N,).

    Args:
        p: 1 or 2.
        margin: m.
        weight: (C,).
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: expected p to be 1 or 2, got {p!r}")
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, self.reduction
        )


class MultiLabelMarginLoss(_Loss):
    r""":math:`\frac1C \sum_{t \in T} \sum_{j \notin T} \max(0, 1 - x_t + x_j)`; a row of the target
    holds its labels T and then -1."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.multilabel_margin_loss(input, target, self.reduction)


class FocalLoss(_Loss):
    r"""Cross-entropy of logits (N, C, ...) and classes (N, ...) in which what is already right
    counts less: :math:`-\alpha_t (1 - p_t)^\gamma \ln p_t`.

    Args:
        alpha: a number or a weight for each class (C,); None for 1.
        gamma: 0 gives α times the cross-entropy.
        ignore_index: a label whose places count for nothing.
        reduction: "mean" (over the places that count), "sum" or "none".

    Reference: Lin et al., Focal loss for dense object detection, 2017.
    """

    def __init__(
        self,
        alpha: float | Tensor | None = None,
        gamma: float = 2.0,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if isinstance(alpha, Tensor):
            self.register_buffer("alpha", alpha)
        else:
            self.alpha = alpha
        self.gamma = gamma
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.focal_loss(
            input, target, self.alpha, self.gamma, self.ignore_index, self.reduction
        )


class SigmoidFocalLoss(_Loss):
    r"""The focal loss of independent logits and targets in [0, 1]; target 1 weighs α, target 0
    :math:`1 - \alpha`."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.sigmoid_focal_loss(input, target, self.alpha, self.gamma, self.reduction)


class CapsuleMarginLoss(_Loss):
    r""":math:`\sum_c T_c \max(0, m^+ - x_c)^2 + \lambda (1 - T_c) \max(0, x_c - m^-)^2` of capsule
    lengths (N, C), against classes (N,) or T (N, C).

    Args:
        positive, negative: :math:`m^+` and :math:`m^-`.
        down_weight: :math:`\lambda`, so that absent classes do not shrink all lengths at first.
        reduction: "mean", "sum" or "none".

    Reference: Sabour et al., Dynamic routing between capsules, 2017.
    """

    def __init__(
        self,
        positive: float = 0.9,
        negative: float = 0.1,
        down_weight: float = 0.5,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.positive = positive
        self.negative = negative
        self.down_weight = down_weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.capsule_margin_loss(
            input, target, self.positive, self.negative, self.down_weight, self.reduction
        )


class PoissonNLLLoss(_Loss):
    r"""The negative log-likelihood of counts t under Poisson distributions, :math:`e^x - t x`.

    Args:
        log_input: x is the logarithm of the rate; otherwise the rate itself.
        full: add Stirling's approximation of ln t!.
        eps: keeps the logarithm of a rate finite.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.poisson_nll_loss(
            input, target, self.log_input, self.full, self.eps, self.reduction
        )


class GaussianNLLLoss(_Loss):
    r"""The negative log-likelihood of targets under normal distributions with means ``input`` and
    variances ``var``, :math:`\tfrac12 (\ln \sigma^2 + (x - t)^2 / \sigma^2)`.

    Args:
        full: add :math:`\tfrac12 \ln 2\pi`.
        eps: variances count as at least this.
        reduction: "mean", "sum" or "none".

    Reference: Nix and Weigend, Estimating the mean and variance of the target distribution, 1994.
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return ops.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)
