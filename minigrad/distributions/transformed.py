r"""Distributions made from other distributions.

Belongs here: Independent, TransformedDistribution, MixtureSameFamily.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..backend import Generator
from ..tensor import Tensor
from .constraints import Constraint
from .discrete import Categorical
from .distribution import Distribution
from .transforms import ComposeTransform, Transform
from .utils import expand, sum_rightmost

__all__ = ["Independent", "MixtureSameFamily", "TransformedDistribution"]


class Independent(Distribution):
    r"""The last axes of a batch read as one event: ``log_prob`` is summed over them.

    Args:
        base_distribution: whose batch is read so.
        reinterpreted_batch_ndims: how many axes.

    >>> import minigrad as mg
    >>> from minigrad.distributions import Independent, Normal
    >>> d = Independent(Normal(mg.zeros(5, 3), mg.ones(5, 3)), 1)
    >>> d.batch_shape, d.event_shape, d.log_prob(mg.zeros(5, 3)).shape
    ((5,), (3,), (5,))
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch = base_distribution.batch_shape
        n = reinterpreted_batch_ndims
        if not 0 <= n <= len(batch):
            raise ValueError(
                f"Independent: expected reinterpreted_batch_ndims from 0 to {len(batch)}, the "
                f"number of batch axes of {base_distribution!r}, got {n}"
            )
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = n
        split = len(batch) - n
        event = batch[split:] + base_distribution.event_shape
        super().__init__(batch[:split], event, validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    def _expanded(self, batch_shape: tuple[int, ...]) -> Any:
        new = self._copy(batch_shape)
        inner = self._event_shape[: self.reinterpreted_batch_ndims]
        new.base_dist = self.base_dist.expand(batch_shape + inner)
        return new

    @property
    def support(self) -> Constraint | None:
        inner = self.base_dist.support
        return inner and inner.independent(self.reinterpreted_batch_ndims)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        return self.base_dist._sample(shape, generator)

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        return self.base_dist.rsample(sample_shape, generator)

    def log_prob(self, value: Any) -> Tensor:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist!r}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    r"""The distribution of :math:`y = f(x)` for x of ``base_distribution`` and invertible f:

    .. math:: \ln p(y) = \ln p_x(f^{-1}(y)) - \ln |\det \partial f / \partial x|

    Args:
        base_distribution: of x.
        transforms: f, or a list of transforms to be applied in turn.

    >>> import minigrad as mg
    >>> from minigrad.distributions import Normal, TransformedDistribution, TanhTransform
    >>> d = TransformedDistribution(Normal(0.0, 1.0), TanhTransform())
    >>> d.log_prob(mg.tensor(0.0)).item() == Normal(0.0, 1.0).log_prob(0.0).item()
    True
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        parts = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in parts):
            raise TypeError(
                "TransformedDistribution: expected transforms, got "
                + ", ".join(type(t).__name__ for t in parts)
            )
        self.transforms = parts
        whole = ComposeTransform(parts)
        shape = base_distribution.batch_shape + base_distribution.event_shape
        n_event = len(base_distribution.event_shape)
        if len(shape) < whole.domain_event_dim:
            raise ValueError(
                "TransformedDistribution: expected a base distribution with at least "
                f"{whole.domain_event_dim} axes, got batch_shape {base_distribution.batch_shape} "
                f"and event_shape {base_distribution.event_shape}"
            )
        # The transform may couple axes that the base takes for its batch, and may broadcast it.
        forward = whole.forward_shape(shape)
        base = base_distribution.expand(whole.inverse_shape(forward)[: len(forward) - n_event])
        more = whole.domain_event_dim - n_event
        self.base_dist = Independent(base, more) if more > 0 else base
        n_event = whole.codomain_event_dim + max(n_event - whole.domain_event_dim, 0)
        split = len(forward) - n_event
        super().__init__(forward[:split], forward[split:], validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @property
    def support(self) -> Constraint | None:
        if not self.transforms:
            return self.base_dist.support
        codomain = self.transforms[-1].codomain
        return codomain.independent(len(self._event_shape) - codomain.event_dim)

    def _expanded(self, batch_shape: tuple[int, ...]) -> Any:
        new = self._copy(batch_shape)
        whole = ComposeTransform(self.transforms)
        shape = whole.inverse_shape(batch_shape + self._event_shape)
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        return new

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        n_sample = len(shape) - len(self._batch_shape) - len(self._event_shape)
        x = self.base_dist.sample(shape[:n_sample], generator)
        for transform in self.transforms:
            x = transform(x)
        return x

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        x = self.base_dist.rsample(sample_shape, generator)
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Any) -> Tensor:
        y = self._value(value)
        n_event = len(self._event_shape)
        log_prob: Any = 0.0
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            n_event += transform.domain_event_dim - transform.codomain_event_dim
            log_prob = log_prob - sum_rightmost(
                transform.log_abs_det_jacobian(x, y), n_event - transform.domain_event_dim
            )
            y = x
        base = self.base_dist.log_prob(y)
        return log_prob + sum_rightmost(base, n_event - len(self.base_dist.event_shape))

    def _monotone(self, value: Any, name: str) -> tuple[Tensor, Any]:
        if self._event_shape:
            raise NotImplementedError(
                f"{type(self).__name__}.{name}: only for distributions of one number, got the "
                f"event_shape {self._event_shape}"
            )
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return self._value(value, name, check=False), sign

    def cdf(self, value: Any) -> Tensor:
        y, sign = self._monotone(value, "cdf")
        for transform in reversed(self.transforms):
            y = transform.inv(y)
        return _turned(self.base_dist.cdf(y), sign)

    def icdf(self, value: Any) -> Tensor:
        p, sign = self._monotone(value, "icdf")
        x = self.base_dist.icdf(_turned(p, sign))
        for transform in self.transforms:
            x = transform(x)
        return x

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist!r}, {self.transforms!r})"


def _turned(p: Tensor, sign: Any) -> Tensor:
    r"""p for a rising map, 1 - p for a falling one."""
    if isinstance(sign, int):  # p itself keeps the digits of a far tail
        return p if sign > 0 else 1 - p
    return sign * (p - 0.5) + 0.5


class MixtureSameFamily(Distribution):
    r"""A mixture :math:`p(x) = \sum_k \pi_k\, p_k(x)` of distributions of one family.

    Args:
        mixture_distribution: a :class:`Categorical`, batch (..., ) over K components.
        component_distribution: batch (..., K).

    >>> import minigrad as mg
    >>> from minigrad.distributions import Categorical, MixtureSameFamily, Normal
    >>> parts = Normal(mg.tensor([-1.0, 1.0]), 1.0)
    >>> MixtureSameFamily(Categorical(probs=mg.tensor([0.25, 0.75])), parts).mean.item()
    0.5
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        name = "MixtureSameFamily"
        if not isinstance(mixture_distribution, Categorical):
            raise TypeError(
                f"{name}: expected a Categorical as mixture_distribution, "
                f"got {type(mixture_distribution).__name__}"
            )
        batch = component_distribution.batch_shape
        weights = mixture_distribution
        if (
            not batch
            or batch[-1] != weights._num_events
            or (weights.batch_shape not in ((), batch[:-1]))
        ):
            raise ValueError(
                f"{name}: expected components of batch_shape (..., K) for weights (..., K), got "
                f"{batch} and {(*weights.batch_shape, weights._num_events)}"
            )
        self.mixture_distribution = weights
        self.component_distribution = component_distribution
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args)

    def _expanded(self, batch_shape: tuple[int, ...]) -> Any:
        new = self._copy(batch_shape)
        k = self.mixture_distribution._num_events
        new.component_distribution = self.component_distribution.expand((*batch_shape, k))
        new.mixture_distribution = self.mixture_distribution.expand(batch_shape)
        return new

    @property
    def support(self) -> Constraint | None:  # the bounds, if any, have a component's axis
        return None

    def _weighted(self, x: Tensor) -> Tensor:
        r"""Σ_k π_k x_k over the components' axis of x (..., K, *event)."""
        n_event = len(self._event_shape)
        p = self.mixture_distribution.probs
        p = p.reshape(*p.shape, *(1,) * n_event)
        return (p * x).sum(-1 - n_event)

    @property
    def mean(self) -> Tensor:
        return self._weighted(self.component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        parts = self.component_distribution
        spread = parts.mean - self._split(self.mean)
        return self._weighted(parts.variance + spread**2)

    def _split(self, value: Tensor) -> Tensor:
        return ops.unsqueeze(value, -1 - len(self._event_shape))

    def log_prob(self, value: Any) -> Tensor:
        log_p = self.component_distribution.log_prob(self._split(self._value(value)))
        return ops.logsumexp(log_p + self.mixture_distribution.logits, -1)

    def cdf(self, value: Any) -> Tensor:
        x = self.component_distribution.cdf(self._split(self._value(value, "cdf")))
        return (x * self.mixture_distribution.probs).sum(-1)

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        n_event = len(self._event_shape)
        n_sample = len(shape) - n_event - len(self._batch_shape)
        weights = self.mixture_distribution.expand(self._batch_shape)
        classes = weights.sample(shape[:n_sample], generator)
        draws = self.component_distribution.sample(shape[:n_sample], generator)
        classes = classes.reshape(*classes.shape, *(1,) * (n_event + 1))
        axis = len(shape) - n_event
        index = expand(classes, (*shape[:axis], 1, *shape[axis:]))
        return ops.gather(draws, axis, index).squeeze(axis)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self.mixture_distribution!r}, {self.component_distribution!r})"
