r"""Losses as modules. Each is a thin layer around the function of the same family in ``ops``."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    reductions: tuple[str, ...] = ("none", "mean", "sum")

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in self.reductions:
            raise ValueError(
                f"{type(self).__name__}: expected reduction to be one of {self.reductions}, "
                f"got {reduction!r}"
            )
        self.reduction = reduction


class _WeightedLoss(_Loss):
    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    r"""Cross-entropy of logits (N, C, ...) against classes (N, ...) or probabilities (N, C, ...).

    .. math:: \ell_n = -w_{t_n} \log \frac{e^{x_{n, t_n}}}{\sum_c e^{x_{n c}}}

    Args:
        weight: (C,), a weight for each class; the mean is then weighted.
        ignore_index: a label whose places count for nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: mix the target with this much of the uniform distribution.

    >>> import minigrad as mg
    >>> loss = CrossEntropyLoss()(mg.zeros(3, 10), mg.tensor([1, 2, 3]))
    >>> round(loss.item(), 4)  # log 10
    2.3026
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropyLoss: expected label_smoothing in [0, 1], got {label_smoothing!r}"
            )
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(_WeightedLoss):
    r"""Negative log-likelihood :math:`-w_{t_n} x_{n, t_n}` of log-probabilities (N, C, ...)."""

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(_WeightedLoss):
    r"""Binary cross-entropy :math:`-w (t \log x + (1 - t) \log(1 - x))` of probabilities. Prefer
    :class:`BCEWithLogitsLoss`, which takes the logits and does not saturate."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    r"""Binary cross-entropy of logits: :math:`-w (p\, t \log \sigma(x) + (1 - t) \log(1 -
    \sigma(x)))`.

    Args:
        weight: multiplies each element's loss.
        reduction: "mean", "sum" or "none".
        pos_weight: :math:`p`, a weight for the positive class.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )


class MSELoss(_Loss):
    r"""Squared error :math:`(x - t)^2`. Shapes must be equal: nothing is broadcast."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    r"""Absolute error :math:`|x - t|`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    r""":math:`d^2 / 2\beta` where :math:`d = |x - t| < \beta`, :math:`d - \beta / 2` elsewhere."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    r""":math:`d^2 / 2` where :math:`d = |x - t| \le \delta`, :math:`\delta (d - \delta / 2)`
    elsewhere."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not delta > 0:
            raise ValueError(f"HuberLoss: expected delta > 0, got {delta!r}")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.huber_loss(input, target, self.reduction, self.delta)


class KLDivLoss(_Loss):
    r"""Kullback-Leibler divergence :math:`t (\log t - x)` of log-probabilities x from
    probabilities t.

    Args:
        reduction: "batchmean" (the divergence, averaged over the batch), "mean" (over all
            elements, which is not a divergence), "sum" or "none".
        log_target: the target is given as log-probabilities too.
    """

    reductions = ("none", "mean", "sum", "batchmean")

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return ops.kl_div(input, target, self.reduction, self.log_target)
