r"""The layers of normalising flows: transforms of vectors, along the last axis.

Belongs here: affine coupling, planar, radial, permutation. A layer takes its parameters as tensors
and its networks as callables; whoever builds the flow keeps and trains them. Parameters may have
axes of a batch before their own: a network that reads x gives the flow of each x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..autograd import no_grad
from ..backend import to_device
from ..tensor import Tensor
from . import constraints
from .transforms import Transform
from .utils import softplus

__all__ = ["AffineCoupling", "PermutationTransform", "PlanarTransform", "RadialTransform"]


class _VectorTransform(Transform):
    domain_event_dim = 1
    codomain_event_dim = 1
    codomain = constraints.real_vector


class PermutationTransform(_VectorTransform):
    r"""y_i = x_{permutation[i]}; the log-determinant is 0.

    >>> import minigrad as mg
    >>> from minigrad.distributions import PermutationTransform
    >>> PermutationTransform([2, 0, 1])(mg.tensor([1.0, 2.0, 3.0]))
    tensor([3., 1., 2.])
    """

    def __init__(self, permutation: Sequence[int] | Tensor, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        given = permutation.tolist() if isinstance(permutation, Tensor) else list(permutation)
        if sorted(given) != list(range(len(given))):
            raise ValueError(
                f"PermutationTransform: expected a permutation of 0 ... {len(given) - 1}, "
                f"got {given}"
            )
        self.permutation = np.asarray(given, np.int64)

    def _take(self, x: Tensor, order: np.ndarray) -> Tensor:
        if x.shape[-1] != len(order):
            raise ValueError(
                f"PermutationTransform: expected {len(order)} entries along the last axis, got "
                f"shape {x.shape}"
            )
        return ops.index_select(x, -1, Tensor(to_device(order, x.device)))

    def _call(self, x: Tensor) -> Tensor:
        return self._take(x, self.permutation)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._take(y, np.argsort(self.permutation))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x[..., 0] * 0.0


class AffineCoupling(_VectorTransform):
    r"""The layer of RealNVP: the first ``split`` entries stay and say how to shift and scale the
    others,

    .. math:: y_1 = x_1, \qquad y_2 = x_2\, e^{s(x_1)} + t(x_1), \qquad
        \ln |\det| = \textstyle\sum_i s_i

    Args:
        split: how many entries stay.
        network: from the entries that stay (..., split) to the pair (t, s), both of the others'
            shape. A network with one output can be wrapped: ``lambda h: net(h).chunk(2, -1)``.

    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, 2017.
    """

    def __init__(self, split: int, network: Callable[[Tensor], Any], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        if split < 1:
            raise ValueError(f"AffineCoupling: expected a split of at least 1, got {split}")
        self.split, self.network = split, network

    def _parameters(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        n = x.shape[-1]
        if not self.split < n:
            raise ValueError(
                f"AffineCoupling: expected more than {self.split} entries along the last axis, got "
                f"shape {x.shape}"
            )
        kept, rest = x[..., : self.split], x[..., self.split :]
        shift, log_scale = self.network(kept)
        for part in (shift, log_scale):
            if tuple(part.shape) != rest.shape:
                raise ValueError(
                    f"AffineCoupling: expected shift and log_scale of shape {rest.shape} from the "
                    f"network, got {tuple(part.shape)}"
                )
        return kept, rest, shift, log_scale

    def _call(self, x: Tensor) -> Tensor:
        kept, rest, shift, log_scale = self._parameters(x)
        return ops.cat([kept, rest * ops.exp(log_scale) + shift], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        kept, rest, shift, log_scale = self._parameters(y)
        return ops.cat([kept, (rest - shift) * ops.exp(-log_scale)], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.sum(self._parameters(x)[3], -1)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, rest, shift, log_scale = self._parameters(x)
        y = ops.cat([kept, rest * ops.exp(log_scale) + shift], -1)
        return y, ops.sum(log_scale, -1)


class PlanarTransform(_VectorTransform):
    r"""Squeezes or stretches space along a plane,

    .. math:: y = x + \hat u \tanh(w^T x + b), \qquad
        \hat u = u + (\mathrm{softplus}(w^T u) - 1 - w^T u)\, \frac{w}{|w|^2}

    where :math:`\hat u` instead of u keeps it invertible: :math:`w^T \hat u > -1`. The inverse is
    found by bisection along w and made differentiable (three times) by two Newton steps.

    Args:
        weight, u: (D,), or (..., D) for the transforms of a batch.
        bias: a number or a tensor of shape (), or (...).

    Reference: Rezende and Mohamed, Variational inference with normalizing flows, 2015.
    """

    def __init__(self, weight: Tensor, u: Tensor, bias: Any = 0.0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        if weight.ndim < 1 or weight.shape != u.shape:
            raise ValueError(
                "PlanarTransform: expected weight and u of one shape (..., D), got "
                f"{weight.shape} and {u.shape}"
            )
        self.weight, self.u, self.bias = weight, u, bias

    def _direction(self) -> tuple[Tensor, Tensor]:
        r"""û (..., D), and wᵀû (...), which is above -1."""
        w = self.weight
        inner = ops.sum(w * self.u, -1)
        wanted = softplus(inner) - 1
        along = (wanted - inner) / ops.sum(w * w, -1)
        return self.u + along.unsqueeze(-1) * w, wanted

    def _call(self, x: Tensor) -> Tensor:
        u, _ = self._direction()
        return x + ops.tanh(_dot(x, self.weight) + self.bias).unsqueeze(-1) * u

    def _inverse(self, y: Tensor) -> Tensor:
        u, slope = self._direction()
        target = _dot(y, self.weight)  # s + slope tanh(s + b) for s = wᵀx
        with no_grad():
            low, high = target - ops.abs(slope), target + ops.abs(slope)
            for _ in range(60):  # halves an interval down to the last bit of float64
                s = (low + high) * 0.5
                above = s + slope * ops.tanh(s + self.bias) > target
                low, high = ops.where(above, low, s), ops.where(above, s, high)
            s = (low + high) * 0.5
        for _ in range(2):
            t = ops.tanh(s + self.bias)
            s = s - (s + slope * t - target) / (1 + slope * (1 - t * t))
        return y - ops.tanh(s + self.bias).unsqueeze(-1) * u

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        _, slope = self._direction()
        t = ops.tanh(_dot(x, self.weight) + self.bias)
        return ops.log1p(slope * (1 - t * t))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u, slope = self._direction()
        t = ops.tanh(_dot(x, self.weight) + self.bias)
        return x + t.unsqueeze(-1) * u, ops.log1p(slope * (1 - t * t))

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return np.broadcast_shapes(shape, self.weight.shape)

    inverse_shape = forward_shape


def _dot(x: Tensor, w: Tensor) -> Tensor:
    r"""wᵀx over the last axis."""
    if x.shape[-1] != w.shape[-1]:
        raise ValueError(
            f"flow: expected {w.shape[-1]} entries along the last axis, got shape {x.shape}"
        )
    return ops.sum(x * w, -1)


class RadialTransform(_VectorTransform):
    r"""Squeezes or stretches space around a point,

    .. math:: y = x + \hat\beta\, h(r)\, (x - x_0), \qquad r = |x - x_0|, \quad
        h(r) = \frac{1}{\alpha + r}, \qquad \hat\beta = \mathrm{softplus}(\beta) - \alpha

    where :math:`\hat\beta > -\alpha` keeps it invertible. The inverse solves a quadratic equation
    for r.

    Args:
        center: x0, (D,), or (..., D) for the transforms of a batch.
        log_alpha, beta: numbers as tensors of shape (), or (...); :math:`\alpha` is
            ``exp(log_alpha)``.

    Reference: Rezende and Mohamed, Variational inference with normalizing flows, 2015.
    """

    def __init__(
        self, center: Tensor, log_alpha: Tensor, beta: Tensor, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        if center.ndim < 1:
            raise ValueError(
                f"RadialTransform: expected center of shape (..., D), got {center.shape}"
            )
        self.center, self.log_alpha, self.beta = center, log_alpha, beta

    def _strength(self) -> tuple[Tensor, Tensor]:
        alpha = ops.exp(self.log_alpha)
        return alpha, softplus(self.beta) - alpha

    def _offset(self, x: Tensor) -> tuple[Tensor, Tensor]:
        d = x - self.center
        return d, ops.norm(d, 2, -1)

    def _call(self, x: Tensor) -> Tensor:
        return self.forward_and_log_det(x)[0]

    def _inverse(self, y: Tensor) -> Tensor:
        alpha, beta = self._strength()
        d, distance = self._offset(y)  # distance = r (1 + β̂ / (α + r))
        half = (distance - alpha - beta) * 0.5
        r = half + ops.sqrt(half * half + alpha * distance)
        return self.center + d / (1 + beta / (alpha + r)).unsqueeze(-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.forward_and_log_det(x)[1]

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        alpha, beta = self._strength()
        d, r = self._offset(x)
        h = 1 / (alpha + r)
        log_det = (x.shape[-1] - 1) * ops.log1p(beta * h) + ops.log1p(beta * alpha * h * h)
        return x + ops.unsqueeze(beta * h, -1) * d, log_det

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return np.broadcast_shapes(shape, self.center.shape)

    inverse_shape = forward_shape
