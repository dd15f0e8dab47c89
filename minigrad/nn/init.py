r"""Initial weights.

Belongs here: functions that fill a tensor in place, with PyTorch's names, and Keras' names for the
same (``he_*``, ``glorot_*``). Does not belong here: which layer uses which (``linear.py``, ...).

Numbers are drawn on the host in float64 and then converted, so that a seed gives the same network
on the CPU and on a GPU, in float32 and in float64. ``fan_in`` of a weight (out, in, *kernel) is
``in * prod(kernel)``, the number of inputs that one output sums over; ``fan_out`` is ``out *
prod(kernel)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Generator, default_generator, to_device
from ..tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "glorot_normal_",
    "glorot_uniform_",
    "he_normal_",
    "he_uniform_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _fill(tensor: Tensor, values: Any) -> Tensor:
    r"""Overwrite ``tensor`` with host values; nothing is recorded."""
    values = np.asarray(values, dtype=tensor.dtype)
    tensor.data[...] = to_device(values, tensor.device)
    tensor._version[0] += 1
    return tensor


def _numpy(generator: Generator | None) -> np.random.Generator:
    return (default_generator() if generator is None else generator).numpy


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(
            f"{name}: expected a tensor of at least 2 dimensions (out, in, ...), "
            f"got shape {tensor.shape}"
        )
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _fan(name: str, tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: expected mode 'fan_in' or 'fan_out', got {mode!r}")
    return _fans(name, tensor)[mode == "fan_out"]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""The factor that keeps the variance of activations through ``nonlinearity``.

    1 for linear, convolution and sigmoid, 5/3 for tanh, :math:`\sqrt 2` for relu,
    :math:`\sqrt{2 / (1 + a^2)}` for leaky_relu with slope ``a = param`` (0.01), 3/4 for selu.

    >>> round(calculate_gain("relu") ** 2, 6)
    2.0
    """
    if nonlinearity in ("linear", "sigmoid") or nonlinearity.startswith("conv"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}")


# ------------------------------------------------------------------------------------ plain fills
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""Draw from the uniform distribution on [a, b)."""
    if not a <= b:
        raise ValueError(f"uniform_: expected a <= b, got a={a}, b={b}")
    return _fill(tensor, _numpy(generator).uniform(a, b, tensor.shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""Draw from the normal distribution."""
    if not std >= 0:
        raise ValueError(f"normal_: expected std >= 0, got {std}")
    return _fill(tensor, _numpy(generator).normal(mean, std, tensor.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    r"""Draw from the normal distribution restricted to [a, b] (in absolute units, not in ``std``).

    By rejection: draws outside are drawn again. Raises ValueError if the interval holds less than
    a thousandth of the distribution.
    """
    if not std > 0:
        raise ValueError(f"trunc_normal_: expected std > 0, got {std}")
    low, high = (a - mean) / std, (b - mean) / std
    mass = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
    if not mass > 1e-3:
        raise ValueError(
            f"trunc_normal_: expected an interval with some probability, got [{a}, {b}] for mean "
            f"{mean} and std {std}"
        )
    rng = _numpy(generator)
    values = rng.normal(mean, std, tensor.shape).reshape(-1)
    outside = np.flatnonzero((values < a) | (values > b))
    while outside.size:
        values[outside] = rng.normal(mean, std, outside.size)
        outside = outside[(values[outside] < a) | (values[outside] > b)]
    return _fill(tensor, values.reshape(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    r"""Fill with ``val``."""
    return _fill(tensor, np.full(tensor.shape, val))


def zeros_(tensor: Tensor) -> Tensor:
    r"""Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    r"""Fill with ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    r"""Fill a matrix with the identity."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: expected a matrix, got shape {tensor.shape}")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


# ----------------------------------------------------------------------------- scaled to the fans
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""U(-b, b) with :math:`b = \text{gain} \sqrt{6 / (\text{fan}_{in} + \text{fan}_{out})}`.

    Reference: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010.
    """
    bound = gain * math.sqrt(6.0 / max(1, sum(_fans("xavier_uniform_", tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    r"""N(0, s²) with :math:`s = \text{gain} \sqrt{2 / (\text{fan}_{in} + \text{fan}_{out})}`."""
    std = gain * math.sqrt(2.0 / max(1, sum(_fans("xavier_normal_", tensor))))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""U(-b, b) with :math:`b = \text{gain} \sqrt{3 / \text{fan}}`.

    ``a`` is the slope of the leaky relu. PyTorch's layers start with ``a = sqrt(5)``, which is
    :math:`b = 1 / \sqrt{\text{fan}_{in}}`.

    Reference: He et al., Delving deep into rectifiers, 2015.
    """
    fan = _fan("kaiming_uniform_", tensor, mode)
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / max(1, fan))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""N(0, s²) with :math:`s = \text{gain} / \sqrt{\text{fan}}`; see :func:`kaiming_uniform_`."""
    fan = _fan("kaiming_normal_", tensor, mode)
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan)), generator)


def lecun_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    r"""U(-b, b) with :math:`b = \sqrt{3 / \text{fan}_{in}}`, so that the variance is 1 / fan_in."""
    bound = math.sqrt(3.0 / max(1, _fan("lecun_uniform_", tensor, "fan_in")))
    return uniform_(tensor, -bound, bound, generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    r"""N(0, 1 / fan_in). Reference: LeCun et al., Efficient backprop, 1998; needed by SELU."""
    std = 1.0 / math.sqrt(max(1, _fan("lecun_normal_", tensor, "fan_in")))
    return normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    r"""A random matrix with orthonormal rows or columns (whichever are fewer), times ``gain``.

    Axes after the first are flattened. The signs are fixed by R's diagonal, which makes the
    distribution uniform over orthogonal matrices.

    Reference: Saxe et al., Exact solutions to the nonlinear dynamics of learning, 2014.
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"orthogonal_: expected a tensor of at least 2 dimensions, got shape {tensor.shape}"
        )
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    values = _numpy(generator).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(values)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return _fill(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


# --------------------------------------------------------------------- the field's other names
glorot_uniform_ = xavier_uniform_
glorot_normal_ = xavier_normal_


def he_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    r"""U(-b, b) with :math:`b = \sqrt{6 / \text{fan}_{in}}`: for layers before a relu."""
    return kaiming_uniform_(tensor, nonlinearity="relu", generator=generator)


def he_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    r"""N(0, 2 / fan_in): for layers before a relu."""
    return kaiming_normal_(tensor, nonlinearity="relu", generator=generator)
