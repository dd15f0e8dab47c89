r"""The op table: special functions, and functions of two variables beyond arithmetic."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from minigrad import ops
from tests.ops.row import Case, Draw, Row, binary, unary

POLES = tuple(range(-4, 1))


def _point(d: Draw) -> Case:
    r"""Points away from the origin, where the angle has no derivative."""
    a, b = d.broadcast()
    return Case((d.floats(a, away=(0.0,)), d.floats(b, away=(0.0,))))


def _quotient(d: Draw) -> Case:
    r"""A quotient that is nowhere near a whole number."""
    a, b = d.broadcast()
    size = d.of(0.75, 1.25)
    quotient = d.ints(a, -3, 3) + d.rng.uniform(0.2, 0.8, a)
    return Case((size * np.asarray(quotient), np.where(d.bools(b), size, -size)))


def _xlogy(d: Draw) -> Case:
    a, b = d.broadcast()
    return Case((d.floats(a), d.floats(b, 0.2, 2)))


def _with_nonfinite(d: Draw) -> Case:
    x = d.floats(d.shape())
    kind = d.ints(x.shape, 0, 3)
    x = np.select([kind == 1, kind == 2, kind == 3], [np.nan, np.inf, -np.inf], x)
    return Case((x,), {"nan": d.of(0.0, 1.5), "posinf": 3.0, "neginf": d.of(-2.0, 0.0)})


def _replaced(x, nan, posinf, neginf):
    def one(v):
        return nan if math.isnan(v) else v if math.isfinite(v) else posinf if v > 0 else neginf

    return np.array([one(v) for v in x.ravel()]).reshape(x.shape)


ROWS = [
    Row("lgamma", ops.lgamma, special.gammaln, unary(-3.5, 12, away=POLES), rtol=1e-5),
    Row("digamma", ops.digamma, special.psi, unary(-3.5, 12, away=POLES), rtol=1e-5),
    Row("polygamma", lambda x, n: ops.polygamma(n, x), lambda x, n: special.polygamma(n, x),
        unary(0.3, 6, n=(0, 1, 2, 3)), rtol=1e-5),
    Row("erfc", ops.erfc, special.erfc, unary(-4, 4)),
    Row("erfinv", ops.erfinv, special.erfinv, unary(-0.95, 0.95), rtol=1e-5),
    Row("logaddexp", ops.logaddexp, lambda x, y: np.log(np.exp(x) + np.exp(y)), binary()),
    Row("logaddexp-tie", lambda x: ops.logaddexp(x, x * 1), lambda x: x + math.log(2), unary(),
        covers=("logaddexp",)),
    Row("atan2", ops.atan2, np.arctan2, _point, rtol=1e-5),
    Row("fmod", ops.fmod, lambda x, y: x - y * np.trunc(x / y), _quotient, rtol=1e-5),
    Row("xlogy", ops.xlogy, special.xlogy, _xlogy, rtol=1e-5),
    Row("logit", ops.logit, lambda x, eps: special.logit(x.clip(eps or 0, 1 - (eps or 0))),
        unary(0.1, 0.9, away=(0.2, 0.8), eps=(None, 0.2)), rtol=1e-5),
    Row("nan_to_num", ops.nan_to_num, _replaced, _with_nonfinite, order=0),
    Row("nan_to_num-finite", ops.nan_to_num, np.copy, unary(), covers=("nan_to_num",)),
]  # fmt: skip
