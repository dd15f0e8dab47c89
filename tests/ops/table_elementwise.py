r"""The op table: arithmetic, functions of one variable, activations, comparisons."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

import minigrad as mg
from minigrad import ops
from minigrad.backend import device_of
from tests.ops.row import Case, Draw, Row, binary, unary

INTEGERS = tuple(range(-4, 5))
HALVES = tuple(k + 0.5 for k in range(-4, 5))


def _nonzero(d: Draw, shape):
    return d.floats(shape, away=(0.0,), low=-2, high=2)


def _positive(d: Draw, shape):
    return d.floats(shape, 0.2, 2)


def _apart(d: Draw) -> Case:
    r"""Two arrays that are nowhere close to each other."""
    a, b = d.broadcast()
    x = d.floats(a)
    y = d.floats(b)
    # Values of x lie on a lattice, values of y between its points.
    return Case((np.round(x * 5) / 5, np.round(y * 5) / 5 + 0.1))


def _remainder(d: Draw) -> Case:
    r"""A quotient that is nowhere near a whole number."""
    a, b = d.broadcast()
    size = d.of(0.75, 1.25)
    quotient = d.ints(a, -3, 3) + d.rng.uniform(0.2, 0.8, a)
    return Case((size * np.asarray(quotient), np.where(d.bools(b), size, -size)))


def _where(d: Draw) -> Case:
    c, a, b = d.broadcast(3)
    return Case((d.bools(c), d.floats(a), d.floats(b)))


def _equal_sometimes(d: Draw) -> Case:
    a, b = d.broadcast()
    return Case((d.ints(a, -1, 1) * 1.0, d.ints(b, -1, 1) * 1.0))


def _with_nonfinite(d: Draw) -> Case:
    x = d.floats(d.shape())
    kind = d.ints(x.shape, 0, 3)
    return Case((np.select([kind == 1, kind == 2, kind == 3], [np.nan, np.inf, -np.inf], x),))


def _two_bools(d: Draw) -> Case:
    a, b = d.broadcast()
    return Case((d.bools(a), d.bools(b)))


def _two_ints(d: Draw) -> Case:
    a, b = d.broadcast()
    return Case((d.ints(a, 0, 7), d.ints(b, 0, 7)))


# There and back, and once more to where it is: of an even number of wrong signs nobody would know.
def _there_and_back(x):
    here = device_of(x.data if isinstance(x, mg.Tensor) else x)
    return ops.move(ops.move(ops.move(x, "strict" if here == "cpu" else "cpu"), here), here)


def _cast_there_and_back(x):
    return ops.cast(ops.cast(ops.cast(x, "float64"), x.dtype), x.dtype)


def _integer_power(d: Draw) -> Case:
    return Case((d.floats(d.shape(), away=(0.0,)),), {"exponent": d.of(-2, -1, 0, 1, 2, 3, 2.0)})


def _number_to_power(d: Draw) -> Case:
    return Case((d.floats(d.shape()),), {"base": d.of(0.5, 2, 3.0)})


def _clamp(d: Draw) -> Case:
    low, high = d.of((-0.5, 1.0), (None, 1.0), (-0.5, None))
    return Case((d.floats(d.shape(), away=(-0.5, 1.0)),), {"low": low, "high": high})


def _clamp_by_tensors(d: Draw) -> Case:
    shape = d.shape()
    x = d.floats(shape, away=(-0.5, 0.5))
    return Case((x, np.full(shape, -0.5), np.full(shape, 0.5)))


def _prelu(d: Draw) -> Case:
    shape = d.of((3,), (2, 3), (2, 3, 2), (0, 2), ())
    channels = shape[1] if len(shape) > 1 else 1
    return Case((d.floats(shape, away=(0.0,)), d.floats(d.of((1,), (channels,)))))


def _prelu_reference(x, w):
    per_channel = w.reshape(-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else w.reshape(1)[0]
    return np.where(x > 0, x, per_channel * x)


def _halves(d: Draw) -> Case:
    shape = list(d.shape(1, 3))
    dim = d.axis(len(shape))
    shape[dim] = d.of(0, 2, 4)
    return Case((d.floats(shape),), {"dim": dim})


def _glu_reference(x, dim):
    a, b = np.split(x, 2, dim)
    return a / (1 + np.exp(-b))


def _elementwise(f):
    return lambda x: np.vectorize(f, otypes=[np.float64])(x) if x.size else x.copy()


ROWS = [
    # Arithmetic.
    Row("add", ops.add, lambda x, y, alpha: x + alpha * y, binary(alpha=(1, 2, -0.5))),
    Row("sub", ops.sub, lambda x, y, alpha: x - alpha * y, binary(alpha=(1, 2, -0.5))),
    Row("mul", ops.mul, np.multiply, binary()),
    Row("div", ops.div, np.divide, binary(None, _nonzero), covers=("div", "true_divide")),
    Row("pow", ops.pow, np.power, binary(_positive)),
    Row(
        "pow-number",
        ops.pow,
        lambda x, exponent: x ** float(exponent),
        _integer_power,
        covers=("pow",),
    ),
    Row(
        "number-pow",
        lambda x, base: ops.pow(base, x),
        lambda x, base: float(base) ** x,
        _number_to_power,
        covers=("pow",),
    ),
    Row("neg", ops.neg, np.negative, unary()),
    Row("abs", ops.abs, np.abs, unary(away=(0.0,))),
    Row("square", ops.square, lambda x: x**2, unary()),
    Row("reciprocal", ops.reciprocal, lambda x: 1.0 / x, unary(away=(0.0,))),
    Row("maximum", ops.maximum, np.maximum, _apart),
    Row("minimum", ops.minimum, np.minimum, _apart),
    Row("remainder", ops.remainder, np.mod, _remainder, rtol=1e-5),
    Row("floor_divide", ops.floor_divide, lambda x, y: np.floor(x / y), _remainder, order=0),
    # Functions of one real variable.
    Row("exp", ops.exp, _elementwise(math.exp), unary()),
    Row("expm1", ops.expm1, _elementwise(math.expm1), unary()),
    Row("log", ops.log, _elementwise(math.log), unary(0.1, 3)),
    Row("log1p", ops.log1p, _elementwise(math.log1p), unary(-0.8, 3)),
    Row("log2", ops.log2, _elementwise(math.log2), unary(0.1, 3)),
    Row("log10", ops.log10, _elementwise(math.log10), unary(0.1, 3)),
    Row("sqrt", ops.sqrt, _elementwise(math.sqrt), unary(0.1, 3)),
    Row("rsqrt", ops.rsqrt, lambda x: x**-0.5, unary(0.2, 3)),
    Row("sin", ops.sin, _elementwise(math.sin), unary()),
    Row("cos", ops.cos, _elementwise(math.cos), unary()),
    Row("tan", ops.tan, _elementwise(math.tan), unary(-1.1, 1.1)),
    Row("asin", ops.asin, _elementwise(math.asin), unary(-0.9, 0.9)),
    Row("acos", ops.acos, _elementwise(math.acos), unary(-0.9, 0.9)),
    Row("atan", ops.atan, _elementwise(math.atan), unary()),
    Row("sinh", ops.sinh, _elementwise(math.sinh), unary()),
    Row("cosh", ops.cosh, _elementwise(math.cosh), unary()),
    Row("tanh", ops.tanh, _elementwise(math.tanh), unary()),
    Row("erf", ops.erf, special.erf, unary(-6, 6)),
    # Selection and rounding.
    Row("where", ops.where, np.where, _where),
    Row(
        "clamp",
        lambda x, low, high: ops.clamp(x, low, high),
        lambda x, low, high: np.clip(x, low, high),
        _clamp,
        covers=("clamp", "clip"),
    ),
    Row("clamp-tensors", ops.clamp, np.clip, _clamp_by_tensors, covers=("clamp",)),
    Row("sign", ops.sign, np.sign, unary(away=(0.0,))),
    Row("floor", ops.floor, _elementwise(math.floor), unary(away=INTEGERS)),
    Row("ceil", ops.ceil, _elementwise(math.ceil), unary(away=INTEGERS)),
    Row("round", ops.round, _elementwise(round), unary(away=HALVES)),
    Row("trunc", ops.trunc, _elementwise(math.trunc), unary(away=INTEGERS)),
    # Activations.
    Row("relu", ops.relu, lambda x: np.where(x > 0, x, 0.0), unary(away=(0.0,))),
    Row("relu6", ops.relu6, lambda x: np.clip(x, 0, 6), unary(-2, 8, away=(0.0, 6.0))),
    Row(
        "hardtanh",
        ops.hardtanh,
        lambda x, min_val, max_val: np.clip(x, min_val, max_val),
        unary(away=(-1.0, 0.5), min_val=(-1.0,), max_val=(0.5,)),
    ),
    Row(
        "leaky_relu",
        ops.leaky_relu,
        lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
        unary(away=(0.0,), negative_slope=(0.01, 0.2)),
    ),
    Row(
        "elu",
        ops.elu,
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)),
        unary(away=(0.0,), alpha=(1.0, 0.7)),
    ),
    Row(
        "selu",
        ops.selu,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543773 * np.expm1(x)),
        unary(away=(0.0,)),
    ),
    Row(
        "gelu",
        ops.gelu,
        lambda x, approximate: (
            x * special.ndtr(x)
            if approximate == "none"
            else x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        ),
        unary(approximate=("none", "tanh")),
    ),
    Row("sigmoid", ops.sigmoid, special.expit, unary(-6, 6)),
    Row("silu", ops.silu, lambda x: x * special.expit(x), unary(-6, 6)),
    Row(
        "softplus",
        ops.softplus,
        lambda x, beta, threshold: np.where(
            x * beta > threshold, x, np.logaddexp(0.0, x * beta) / beta
        ),
        unary(-3, 3, away=(1.0, 2.0, 1 / 3), beta=(1.0, 2.0), threshold=(2.0, 20.0)),
    ),
    Row("logsigmoid", ops.logsigmoid, lambda x: -np.logaddexp(0.0, -x), unary(-6, 6)),
    Row("celu", ops.celu, lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
        unary(away=(0.0,), alpha=(1.0, 0.7, 2.0))),
    Row("prelu", ops.prelu, _prelu_reference, _prelu),
    Row("softsign", ops.softsign, lambda x: x / (1 + np.abs(x)), unary(away=(0.0,))),
    Row("hardsigmoid", ops.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6,
        unary(-5, 5, away=(-3.0, 3.0))),
    Row("hardswish", ops.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6,
        unary(-5, 5, away=(-3.0, 3.0))),
    Row("mish", ops.mish, lambda x: x * np.tanh(np.log1p(np.exp(x))), unary(-6, 6)),
    Row("glu", ops.glu, _glu_reference, _halves),
    Row("softmin", ops.softmin,
        lambda x, dim: np.exp(-x) / np.exp(-x).sum(dim, keepdims=True) if x.size else x,
        lambda d: Case((d.floats(d.shape(2, 3)),), {"dim": d.axis(2)})),
    Row("threshold", ops.threshold, lambda x, threshold, value: np.where(x > threshold, x, value),
        unary(away=(-0.5, 1.0), threshold=(-0.5, 1.0), value=(20.0, -1))),
    Row("tanhshrink", ops.tanhshrink, lambda x: x - np.tanh(x), unary()),
    Row("softshrink", ops.softshrink,
        lambda x, lambd: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
        unary(away=(-1.0, -0.5, 0.5, 1.0), lambd=(0.5, 1.0))),
    Row("hardshrink", ops.hardshrink, lambda x, lambd: np.where(np.abs(x) > lambd, x, 0.0),
        unary(away=(-1.0, -0.5, 0.5, 1.0), lambd=(0.5, 1.0))),
    # Copies and moves.
    Row("clone", ops.clone, np.copy, unary()),
    Row("contiguous", ops.contiguous, np.copy, unary()),
    Row("cast", _cast_there_and_back, np.copy, unary()),
    Row("move", _there_and_back, np.copy, unary()),
    # Comparisons, which have no gradient.
    *[
        Row(name, getattr(ops, name), reference, _equal_sometimes, order=0)
        for name, reference in (
            ("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal),
            ("gt", np.greater), ("ge", np.greater_equal),
        )
    ],
    *[
        Row(name, getattr(ops, name), getattr(np, name), _with_nonfinite, order=0)
        for name in ("isfinite", "isinf", "isnan")
    ],
    *[
        Row(name, getattr(ops, name), getattr(np, name), _equal_sometimes, order=0)
        for name in ("logical_and", "logical_or", "logical_xor")
    ],
    Row(
        "logical_not",
        ops.logical_not,
        np.logical_not,
        lambda d: Case((d.ints(d.shape(), 0, 1),)),
        order=0,
    ),
    Row("bitwise_and", ops.bitwise_and, np.bitwise_and, _two_ints, order=0),
    Row("bitwise_or", ops.bitwise_or, np.bitwise_or, _two_bools, order=0),
    Row(
        "bitwise_not",
        ops.bitwise_not,
        lambda x: -x - 1,
        lambda d: Case((d.ints(d.shape(), -9, 9),)),
        order=0,
    ),
]  # fmt: skip
