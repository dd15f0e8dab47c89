r"""Layers that draw samples through which gradients flow."""

from __future__ import annotations

from .. import ops
from ..backend import Generator
from ..tensor import Tensor
from .module import Module

__all__ = ["GaussianSample"]


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
