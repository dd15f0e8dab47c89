r"""Ops with randomness: dropout, random slopes, reparameterised sampling.

Belongs here: ops that draw from a :class:`minigrad.Generator`. What was drawn is a constant of the
gradient rule. Noise is drawn on the host, so that every device sees the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Generator, default_generator, device_of, to_device
from ._base import Function, get_array_module, raw, shape_of
from .activation import leaky_relu
from .transcendental import exp

__all__ = [
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "feature_alpha_dropout",
    "gaussian_sample", "rrelu",
]  # fmt: skip


class Dropout(Function):
    r"""y = m x with a mask m of 0 and 1/(1-p);  x̄ = m ȳ."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def forward(self, x):
        return x * self.mask

    def backward(self, g):
        return Dropout.apply(g, mask=self.mask)


def _kept(shape: Any, p: float, generator: Generator | None) -> np.ndarray:
    r"""False with probability p, else True."""
    rng = (default_generator() if generator is None else generator).numpy
    n = int(np.prod(shape))
    # 16 random bits decide a place: p is met to 1/65536, at a quarter of the cost of a float.
    bits = np.frombuffer(rng.bytes(2 * n), np.uint16)
    return (bits < np.uint32(round((1.0 - p) * 65536))).reshape(shape)


def _check(input: Any, p: float, name: str) -> Any:
    r"""The raw input, if it and the probability are fit for dropout."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: expected a probability in [0, 1], got {p}")
    array = raw(input)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected a floating dtype, got {array.dtype}")
    return array


def _dropout(
    input: Any, shape: Any, p: float, training: bool, generator: Generator | None, name: str
) -> Any:
    array = _check(input, p, name)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return input * 0.0
    # 0, or 1/(1-p), in the dtype and on the device of the input.
    mask = np.multiply(_kept(shape, p, generator), 1.0 / (1.0 - p), dtype=array.dtype)
    return Dropout.apply(input, mask=to_device(mask, device_of(array)))


def dropout(
    input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None
) -> Any:
    r"""Each entry is 0 with probability ``p``, else divided by ``1 - p``, so that the mean stays
    (Srivastava et al., 2014). Without ``training`` the input itself. ``p`` is met to 2^-16."""
    return _dropout(input, shape_of(input), p, training, generator, "dropout")


def dropout1d(
    input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None
) -> Any:
    r"""Whole channels (N, C, L) are dropped."""
    shape = shape_of(input)
    if len(shape) != 3:
        raise ValueError(f"dropout1d: expected (N, C, L), got {shape}")
    return _dropout(input, (*shape[:2], 1), p, training, generator, "dropout1d")


def dropout2d(
    input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None
) -> Any:
    r"""Whole channels (N, C, H, W) are dropped."""
    shape = shape_of(input)
    if len(shape) != 4:
        raise ValueError(f"dropout2d: expected (N, C, H, W), got {shape}")
    return _dropout(input, (*shape[:2], 1, 1), p, training, generator, "dropout2d")


# What SELU tends to far to the left: minus its scale times its alpha.
_SELU_LOW = 1.0507009873554805 * 1.6732632423543773


def _alpha_dropout(
    input: Any, shape: Any, p: float, training: bool, generator: Generator | None, name: str
) -> Any:
    array = _check(input, p, name)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return input * 0.0
    scale = 1.0 / math.sqrt((_SELU_LOW**2 * p + 1.0) * (1.0 - p))
    kept = _kept(shape, p, generator)
    mask = np.multiply(kept, scale, dtype=array.dtype)
    shift = np.where(kept, _SELU_LOW * scale * p, _SELU_LOW * scale * (p - 1.0))
    here = device_of(array)
    y = Dropout.apply(input, mask=to_device(mask, here))
    return y + to_device(shift.astype(array.dtype), here)


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, generator: Generator | None = None
) -> Any:
    r"""Dropout for SELU: with probability ``p`` an entry becomes SELU's lower limit -1.758, and the
    result is scaled and shifted so that mean 0 and variance 1 stay (Klambauer et al., 2017)."""
    return _alpha_dropout(input, shape_of(input), p, training, generator, "alpha_dropout")


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, generator: Generator | None = None
) -> Any:
    r""":func:`alpha_dropout` of whole channels (N, C, ...)."""
    shape = shape_of(input)
    if len(shape) < 2:
        raise ValueError(f"feature_alpha_dropout: expected (N, C, ...), got {shape}")
    one = (*shape[:2], *[1] * (len(shape) - 2))
    return _alpha_dropout(input, one, p, training, generator, "feature_alpha_dropout")


def rrelu(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Any:
    r""":math:`x` where positive, else :math:`a x`, in training with a fresh a for each entry,
    uniform between ``lower`` and ``upper``; otherwise a is their mean (Xu et al., 2015)."""
    if not lower <= upper:
        raise ValueError(f"rrelu: expected lower <= upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    array = _check(input, 0.0, "rrelu")
    rng = (default_generator() if generator is None else generator).numpy
    slope = rng.uniform(lower, upper, array.shape).astype(array.dtype)
    mask = to_device(slope, device_of(array))
    xp = get_array_module(array)
    return Dropout.apply(input, mask=xp.where(array > 0, xp.ones_like(mask), mask))


def gaussian_sample(mean: Any, log_var: Any, generator: Generator | None = None) -> Any:
    r"""A draw from :math:`N(\mu, \sigma^2)` through which gradients reach both parameters:
    :math:`z = \mu + e^{\frac12 \log\sigma^2}\,\varepsilon,\ \varepsilon \sim N(0, I)`
    (Kingma and Welling, 2013). ``log_var`` is the logarithm of the *variance*.

    Raises:
        ValueError: the shapes differ: a sample for each pair is meant, not a broadcast.
    """
    if shape_of(mean) != shape_of(log_var):
        raise ValueError(
            f"gaussian_sample: expected mean and log_var of one shape, got {shape_of(mean)} and "
            f"{shape_of(log_var)}"
        )
    rng = (default_generator() if generator is None else generator).numpy
    array = raw(mean)
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float32)
    noise = np.asarray(rng.standard_normal(array.shape, dtype=dtype)).astype(
        array.dtype, copy=False
    )
    noise = to_device(noise, device_of(array))
    return mean + exp(log_var * 0.5) * noise
