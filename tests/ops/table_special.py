r"""The op table: special functions, and functions of two variables beyond arithmetic."""

from __future__ import annotations

from scipy import special

from minigrad import ops
from tests.ops.row import Row, unary

POLES = tuple(range(-4, 1))

ROWS = [
    Row("lgamma", ops.lgamma, special.gammaln, unary(-3.5, 12, away=POLES), rtol=1e-5),
    Row("digamma", ops.digamma, special.psi, unary(-3.5, 12, away=POLES), rtol=1e-5),
    Row("polygamma", lambda x, n: ops.polygamma(n, x), lambda x, n: special.polygamma(n, x),
        unary(0.3, 6, n=(0, 1, 2, 3)), rtol=1e-5),
    Row("erfc", ops.erfc, special.erfc, unary(-4, 4)),
    Row("erfinv", ops.erfinv, special.erfinv, unary(-0.95, 0.95), rtol=1e-5),
]  # fmt: skip
