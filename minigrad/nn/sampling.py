r"""Layers that draw samples through which gradients flow."""

from __future__ import annotations

import numpy as np

from .. import creation, ops
from ..backend import Generator
from ..tensor import Tensor
from .functional import gumbel_softmax, straight_through
from .module import Module

__all__ = ["BernoulliSample", "CategoricalSample", "GaussianSample"]


class GaussianSample(Module):
    r"""A reparameterised sample of a diagonal Gaussian:

    .. math:: z = \mu + e^{\log \sigma^2 / 2}\, \epsilon, \qquad \epsilon \sim N(0, 1)

    It samples in evaluation mode too, since a variational bound is an expectation over samples;
    ``sample=False`` in a call returns the mean.

    Args:
        generator: where :math:`\epsilon` is drawn; the default generator if None.

    Reference: Kingma and Welling, Auto-encoding variational Bayes, 2014.
    """

    def __init__(self, generator: Generator | None = None) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, mean: Tensor, log_var: Tensor, sample: bool = True) -> Tensor:
        if not sample:
            return mean
        return ops.gaussian_sample(mean, log_var, generator=self.generator)


def _check_temperature(name: str, temperature: float | None) -> None:
    if temperature is not None and not temperature > 0:
        raise ValueError(f"{name}: expected a temperature above 0 or None, got {temperature}")


class BernoulliSample(Module):
    r"""Independent draws of 0 and 1 with probability :math:`\sigma(\text{logits})` of a 1.

    Without a ``temperature`` the gradient is that of the probabilities (straight-through). With one
    it is that of the relaxed draw

    .. math:: y = \sigma((\text{logits} + \ln u - \ln(1 - u)) / t), \qquad u \sim U(0, 1)

    which is returned itself if ``hard`` is False, and rounded if it is True.

    It samples in evaluation mode too; ``sample=False`` in a call returns the probabilities.

    Args:
        temperature: t, above 0, or None.
        hard: return 0 and 1.
        generator: where u is drawn; the default generator if None.

    References: Bengio, Léonard and Courville, Estimating or propagating gradients through
    stochastic neurons, 2013. Maddison, Mnih and Teh, The concrete distribution, 2017.
    """

    def __init__(
        self,
        temperature: float | None = None,
        hard: bool = True,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        _check_temperature("BernoulliSample", temperature)
        if temperature is None and not hard:
            raise ValueError("BernoulliSample: expected a temperature for hard=False, got None")
        self.temperature, self.hard, self.generator = temperature, hard, generator

    def forward(self, logits: Tensor, sample: bool = True) -> Tensor:
        if not sample:
            return ops.sigmoid(logits)
        u = creation.rand_like(logits, generator=self.generator)
        if self.temperature is None:
            p = ops.sigmoid(logits)
            return straight_through(u < p, p)
        info = np.finfo(u.dtype)
        u = ops.clamp(u, float(info.tiny), 1 - float(info.eps))
        soft = ops.sigmoid((logits + (ops.log(u) - ops.log1p(-u))) / self.temperature)
        return straight_through(soft > 0.5, soft) if self.hard else soft

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, hard={self.hard}"


class CategoricalSample(Module):
    r"""A draw of a class along ``dim``, as a one-hot vector, with the probabilities
    softmax(logits).

    Without a ``temperature`` the gradient is that of the probabilities (straight-through). With one
    it is that of the relaxed draw of :func:`~minigrad.nn.functional.gumbel_softmax`, which is
    returned itself if ``hard`` is False.

    It samples in evaluation mode too; ``sample=False`` in a call returns the probabilities.

    Args:
        temperature: above 0, or None.
        hard: return one-hot vectors.
        dim: the axis of the classes.
        generator: where the noise is drawn; the default generator if None.
    """

    def __init__(
        self,
        temperature: float | None = None,
        hard: bool = True,
        dim: int = -1,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        _check_temperature("CategoricalSample", temperature)
        if temperature is None and not hard:
            raise ValueError("CategoricalSample: expected a temperature for hard=False, got None")
        self.temperature, self.hard, self.dim = temperature, hard, dim
        self.generator = generator

    def forward(self, logits: Tensor, sample: bool = True) -> Tensor:
        p = ops.softmax(logits, self.dim)
        if not sample:
            return p
        if self.temperature is None:
            hard = gumbel_softmax(
                logits.detach(), 1.0, True, dim=self.dim, generator=self.generator
            )
            return straight_through(hard, p)
        return gumbel_softmax(
            logits, self.temperature, self.hard, dim=self.dim, generator=self.generator
        )

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, hard={self.hard}, dim={self.dim}"
