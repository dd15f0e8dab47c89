r"""Ops with randomness: dropout and reparameterised sampling.

Belongs here: ops that draw from a :class:`minigrad.Generator`. What was drawn is a constant of the
gradient rule. Noise is drawn on the host, so that every device sees the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Generator, default_generator, device_of, to_device
from ._base import Function, raw, shape_of
from .transcendental import exp

__all__ = ["dropout", "dropout1d", "dropout2d", "gaussian_sample"]


class Dropout(Function):
    r"""y = m x with a mask m of 0 and 1/(1-p);  x̄ = m ȳ."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def forward(self, x):
        return x * self.mask

    def backward(self, g):
        return Dropout.apply(g, mask=self.mask)


def _mask(shape: Any, like: Any, p: float, generator: Generator | None) -> Any:
    r"""0 with probability p, else 1/(1-p), in the dtype and on the device of ``like``."""
    rng = (default_generator() if generator is None else generator).numpy
    keep = 1.0 - p
    n = int(np.prod(shape))
    # 16 random bits decide a place: p is met to 1/65536, at a quarter of the cost of a float.
    bits = np.frombuffer(rng.bytes(2 * n), np.uint16)
    mask = (bits < np.uint32(round(keep * 65536))).reshape(shape)
    scaled = np.multiply(mask, 1.0 / keep, dtype=like.dtype)
    return to_device(scaled, device_of(like))


def _dropout(
    input: Any, shape: Any, p: float, training: bool, generator: Generator | None, name: str
) -> Any:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: expected a probability in [0, 1], got {p}")
    array = raw(input)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected a floating dtype, got {array.dtype}")
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return input * 0.0
    return Dropout.apply(input, mask=_mask(shape, array, p, generator))


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
