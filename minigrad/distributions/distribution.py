r"""The base of all distributions.

Belongs here: :class:`Distribution`: shapes, argument checks, and what follows from other methods.
Does not belong here: any particular one.

A sample has the shape ``sample_shape + batch_shape + event_shape``. ``batch_shape`` counts
distributions with parameters of their own, ``event_shape`` is the shape of one draw; ``log_prob``
of a value has the shape of the value without the event's axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from .. import creation, ops
from ..autograd import no_grad
from ..backend import Generator, is_array
from ..tensor import Tensor
from .constraints import Constraint, require
from .utils import expand

__all__ = ["Distribution"]


class Distribution:
    r"""A probability distribution, with PyTorch's methods and shapes.

    An heir sets its parameters as attributes named in ``arg_constraints`` before it calls
    ``super().__init__``, and defines ``log_prob`` and ``rsample`` (if a draw is a differentiable
    function of the parameters, ``has_rsample = True``) or ``_sample``.

    Args:
        batch_shape, event_shape: see the top of this file.
        validate_args: check parameters when they are given and values in ``log_prob``; None means
            the default, which is True (:meth:`set_default_validate_args`).
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: ClassVar[Mapping[str, Constraint]] = {}
    _validate_args = True

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = tuple(batch_shape)
        self._event_shape = tuple(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                if name in self.__dict__:
                    require(type(self).__name__, name, constraint, self.__dict__[name])

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        r"""Whether distributions check their arguments unless told otherwise."""
        Distribution._validate_args = bool(value)

    # ------------------------------------------------------------------------------------ shapes
    @property
    def batch_shape(self) -> tuple[int, ...]:
        r"""The shape over which the parameters differ."""
        return self._batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        r"""The shape of one draw."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> tuple[int, ...]:
        if isinstance(sample_shape, (int, np.integer)):
            sample_shape = (int(sample_shape),)
        shape = tuple(sample_shape)
        if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0 for n in shape):
            raise ValueError(
                f"{type(self).__name__}: expected a sample_shape of non-negative integers, "
                f"got {shape}"
            )
        return tuple(int(n) for n in shape) + self._batch_shape + self._event_shape

    def expand(self, batch_shape: Sequence[int]) -> Self:
        r"""The same distribution with its parameters broadcast to ``batch_shape``."""
        batch_shape = tuple(batch_shape)
        try:
            fits = np.broadcast_shapes(self._batch_shape, batch_shape) == batch_shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{type(self).__name__}: expected a batch_shape that {self._batch_shape} "
                f"broadcasts to, got {batch_shape}"
            )
        return self._expanded(batch_shape)

    def _expanded(self, batch_shape: tuple[int, ...]) -> Self:
        new = self._copy(batch_shape)
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if value is not None:
                event = value.shape[value.ndim - constraint.event_dim :]
                new.__dict__[name] = expand(value, batch_shape + event)
        return new

    def _copy(self, batch_shape: tuple[int, ...]) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._batch_shape = batch_shape
        return new

    # ----------------------------------------------------------------------------------- samples
    def sample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r"""Draws, through which no gradient flows; ``generator`` is the default one if None."""
        with no_grad():
            return self._sample(self._extended_shape(sample_shape), generator).detach()

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        r"""Draws of the whole ``shape``; by default those of ``rsample``."""
        n_sample = len(shape) - len(self._batch_shape) - len(self._event_shape)
        return self.rsample(shape[:n_sample], generator)

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r"""Draws as a differentiable function of the parameters ("reparameterised").

        Raises:
            NotImplementedError: ``has_rsample`` is False.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.rsample: its draws are not a differentiable function of the "
            "parameters; use sample()"
        )

    # ------------------------------------------------------------------------------- probability
    def log_prob(self, value: Any) -> Tensor:
        r"""The logarithm of the density, or of the probability, at ``value``."""
        raise self._missing("log_prob")

    def cdf(self, value: Any) -> Tensor:
        r"""The probability of a draw that is at most ``value``."""
        raise self._missing("cdf")

    def icdf(self, value: Any) -> Tensor:
        r"""The quantile: the inverse of :meth:`cdf`, at probabilities ``value``."""
        raise self._missing("icdf")

    def entropy(self) -> Tensor:
        r""":math:`-E[\ln p(x)]` in nats, of the batch's shape."""
        raise self._missing("entropy")

    def perplexity(self) -> Tensor:
        r"""The exponential of the entropy."""
        return ops.exp(self.entropy())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        r"""All values, along a new first axis; ``expand=False`` leaves batch axes of length 1."""
        raise self._missing("enumerate_support")

    @property
    def mean(self) -> Tensor:
        raise self._missing("mean")

    @property
    def mode(self) -> Tensor:
        raise self._missing("mode")

    @property
    def variance(self) -> Tensor:
        raise self._missing("variance")

    @property
    def stddev(self) -> Tensor:
        r"""The root of the variance."""
        return ops.sqrt(self.variance)

    @property
    def support(self) -> Constraint | None:
        r"""Where values may lie; None if that is not known."""
        return None

    def _missing(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__}.{what}: there is no closed form here")

    # ------------------------------------------------------------------------------- for heirs
    def _value(self, value: Any, name: str = "log_prob", check: bool = True) -> Tensor:
        r"""``value`` as a tensor; checked against shape and support if arguments are."""
        if not isinstance(value, Tensor):
            if not (isinstance(value, (int, float, bool)) or is_array(value)):
                raise TypeError(
                    f"{type(self).__name__}.{name}: expected a tensor or a number, "
                    f"got {type(value).__name__}"
                )
            value = creation.as_tensor(value)
        if not self._validate_args:
            return value
        n_event = len(self._event_shape)
        if value.shape[value.ndim - n_event :] != self._event_shape or value.ndim < n_event:
            raise ValueError(
                f"{type(self).__name__}.{name}: expected a value that ends in the event's shape "
                f"{self._event_shape}, got {value.shape}"
            )
        try:
            np.broadcast_shapes(value.shape[: value.ndim - n_event], self._batch_shape)
        except ValueError:
            raise ValueError(
                f"{type(self).__name__}.{name}: expected a value that broadcasts with the shape "
                f"{self._batch_shape + self._event_shape}, got {value.shape}"
            ) from None
        support = self.support if check else None
        if support is not None:
            require(f"{type(self).__name__}.{name}", "the value", support, value)
        return value

    def __repr__(self) -> str:
        shapes = [
            f"{name}: {self.__dict__[name].shape}"
            for name in self.arg_constraints
            if isinstance(self.__dict__.get(name), Tensor)
        ]
        return f"{type(self).__name__}({', '.join(shapes)})"
