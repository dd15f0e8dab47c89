r"""Invertible maps with known Jacobian determinants.

Belongs here: :class:`Transform` and the elementwise ones, composition and inversion. Does not
belong here: the layers of normalising flows, which act on vectors (``flows.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .utils import softplus, sum_rightmost

__all__ = [
    "AffineTransform",
    "ComposeTransform",
    "ExpTransform",
    "IndependentTransform",
    "SigmoidTransform",
    "SoftplusTransform",
    "TanhTransform",
    "Transform",
]


class Transform:
    r"""An invertible map y = f(x): ``f(x)``, ``f.inv(y)`` and ``f.log_abs_det_jacobian(x, y)``.

    An heir defines ``_call``, ``_inverse`` and ``log_abs_det_jacobian``. The last has x's shape
    without the event's axes. It may define ``forward_and_log_det`` where that saves work.

    Args:
        cache_size: 1 to remember the last pair (x, y), so that ``inv(f(x))`` is x itself: free,
            exact, and possible where the inverse is not known.

    Attributes:
        domain_event_dim, codomain_event_dim: how many axes of x and y make one value.
        codomain: where y may lie.
        sign: 1 or -1 for a rising or falling function of one number.
    """

    domain_event_dim = 0
    codomain_event_dim = 0
    bijective = True
    codomain: Constraint = constraints.real
    sign: Any = 1

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError(f"{type(self).__name__}: expected cache_size 0 or 1, got {cache_size}")
        self._cache_size = cache_size
        self._cached: tuple[Any, Any] = (None, None)

    def __call__(self, x: Tensor) -> Tensor:
        if self._cache_size and x is self._cached[0]:
            return self._cached[1]
        self._check(x, self.domain_event_dim)
        y = self._call(x)
        if self._cache_size:
            self._cached = (x, y)
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cache_size and y is self._cached[1]:
            return self._cached[0]
        self._check(y, self.codomain_event_dim)
        x = self._inverse(y)
        if self._cache_size:
            self._cached = (x, y)
        return x

    def _check(self, x: Tensor, event_dim: int) -> None:
        if x.ndim < event_dim:
            raise ValueError(
                f"{type(self).__name__}: expected a value with at least {event_dim} axes, got "
                f"shape {x.shape}"
            )

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not say how to map a value")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no inverse in closed form")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r""":math:`\ln |\det \partial y / \partial x|` at x, with y = f(x)."""
        raise NotImplementedError(f"{type(self).__name__} does not know its Jacobian")

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""f(x) and its log-determinant at x, for less than the two cost one by one where they have
        work in common: the network of a coupling, say.

        >>> import minigrad as mg
        >>> from minigrad.distributions import ExpTransform
        >>> ExpTransform().forward_and_log_det(mg.tensor([0.0]))
        (tensor([1.]), tensor([0.]))
        """
        y = self(x)
        return y, self.log_abs_det_jacobian(x, y)

    @property
    def inv(self) -> Transform:
        r"""The inverse map."""
        return _Inverse(self)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        r"""The shape of f(x) for x of ``shape``."""
        return shape

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        r"""The shape of x for f(x) of ``shape``."""
        return shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    r"""The inverse of a transform, with its cache."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._transform = transform
        self.domain_event_dim = transform.codomain_event_dim
        self.codomain_event_dim = transform.domain_event_dim
        self.sign = transform.sign

    def __call__(self, x: Tensor) -> Tensor:
        return self._transform._inv_call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._transform(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._transform.log_abs_det_jacobian(y, x)

    @property
    def inv(self) -> Transform:
        return self._transform

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._transform.inverse_shape(shape)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self._transform.forward_shape(shape)

    def __repr__(self) -> str:
        return f"{self._transform!r}.inv"


class ExpTransform(Transform):
    r""":math:`y = e^x`."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return ops.exp(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return ops.log(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class SigmoidTransform(Transform):
    r""":math:`y = 1 / (1 + e^{-x})`, kept from 0 and 1 by the dtype's rounding."""

    codomain = constraints.unit_interval

    def _call(self, x: Tensor) -> Tensor:
        return self._clamp(ops.sigmoid(x))

    def _inverse(self, y: Tensor) -> Tensor:
        y = self._clamp(y)
        return ops.log(y) - ops.log1p(-y)

    @staticmethod
    def _clamp(y: Tensor) -> Tensor:
        info = np.finfo(y.dtype)
        return ops.clamp(y, float(info.tiny), 1 - float(info.eps))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x) - softplus(x)


class TanhTransform(Transform):
    r""":math:`y = \tanh x`. Its Jacobian is taken from x, where it does not underflow; the inverse
    of a y that rounded to ±1 is infinite, so policies use ``cache_size=1``."""

    codomain = constraints.interval(-1, 1)

    def _call(self, x: Tensor) -> Tensor:
        return ops.tanh(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return 0.5 * (ops.log1p(y) - ops.log1p(-y))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class SoftplusTransform(Transform):
    r""":math:`y = \ln(1 + e^x)`."""

    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return ops.log(-ops.expm1(-y)) + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -softplus(-x)


class AffineTransform(Transform):
    r"""y = ``loc`` + ``scale`` x, with a scale that is nowhere 0.

    Args:
        loc, scale: numbers or tensors.
        event_dim: how many of the last axes make one value; the Jacobian is summed over them.

    >>> import minigrad as mg
    >>> from minigrad.distributions import AffineTransform
    >>> f = AffineTransform(1.0, 2.0)
    >>> f(mg.tensor([3.0])), f.inv(mg.tensor([7.0]))
    (tensor([7.]), tensor([3.]))
    """

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale = loc, scale
        self.domain_event_dim = self.codomain_event_dim = event_dim
        self.codomain = constraints.real.independent(event_dim)

    @property
    def sign(self) -> Any:
        if isinstance(self.scale, (int, float)):
            return 1 if self.scale > 0 else -1 if self.scale < 0 else 0
        return ops.sign(self.scale)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if isinstance(self.scale, (int, float)):
            log_scale: Any = x * 0.0 + math.log(abs(self.scale))
        else:
            shape = np.broadcast_shapes(x.shape, self.scale.shape)
            log_scale = ops.broadcast_to(ops.log(ops.abs(self.scale)), shape)
        return sum_rightmost(log_scale, self.domain_event_dim)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        parts = (getattr(self.loc, "shape", ()), getattr(self.scale, "shape", ()))
        return np.broadcast_shapes(shape, *parts)

    inverse_shape = forward_shape


class IndependentTransform(Transform):
    r"""``base_transform`` with ``reinterpreted_batch_ndims`` more axes in each value: the same map,
    its log-determinants summed over those axes."""

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = n = reinterpreted_batch_ndims
        self.domain_event_dim = base_transform.domain_event_dim + n
        self.codomain_event_dim = base_transform.codomain_event_dim + n
        self.codomain = base_transform.codomain.independent(n)

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        inner = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_rightmost(inner, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.base_transform.inverse_shape(shape)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ComposeTransform(Transform):
    r"""Several transforms in turn, the first of the list first.

    >>> import minigrad as mg
    >>> from minigrad.distributions import AffineTransform, ComposeTransform, ExpTransform
    >>> f = ComposeTransform([AffineTransform(0.0, 2.0), ExpTransform()])  # e^{2x}
    >>> f.inv(f(mg.tensor([0.5])))
    tensor([0.5])
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        # The widest value that a part needs, seen from the input and from the output.
        n = 0
        for part in reversed(self.parts):
            n = max(n + part.domain_event_dim - part.codomain_event_dim, part.domain_event_dim)
        self.domain_event_dim = n
        n = 0
        for part in self.parts:
            n = max(n + part.codomain_event_dim - part.domain_event_dim, part.codomain_event_dim)
        self.codomain_event_dim = n
        if self.parts:
            last = self.parts[-1]
            self.codomain = last.codomain.independent(n - last.codomain_event_dim)

    @property
    def sign(self) -> Any:
        sign: Any = 1
        for part in self.parts:
            sign = sign * part.sign
        return sign

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        total: Any = None
        n_event = self.domain_event_dim
        for i, part in enumerate(self.parts):
            result = y if i == len(self.parts) - 1 else part(x)
            term = part.log_abs_det_jacobian(x, result)
            term = sum_rightmost(term, n_event - part.domain_event_dim)
            total = term if total is None else total + term
            n_event += part.codomain_event_dim - part.domain_event_dim
            x = result
        return x * 0.0 if total is None else total

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts!r})"
