r"""The op table: attention."""

from __future__ import annotations

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row


def _sizes(d: Draw):
    lead = d.of((), (2,), (2, 1), (1, 2), (0,))
    return lead, d.int(1, 3), d.int(1, 4), d.int(1, 3), d.int(1, 3)


def _inputs(d: Draw):
    lead, n, s, e, ev = _sizes(d)
    q, k, v = d.floats((*lead, n, e)), d.floats((*lead, s, e)), d.floats((*lead, s, ev))
    return (q, k, v), (*d.of((), lead), d.of(n, 1), s)


def _plain(d: Draw) -> Case:
    arrays, _ = _inputs(d)
    return Case(arrays, {"is_causal": d.bool(), "scale": d.of(None, 0.3)})


def _bool(d: Draw) -> Case:
    arrays, shape = _inputs(d)
    return Case((*arrays, d.bools(shape)))


def _float(d: Draw) -> Case:
    arrays, shape = _inputs(d)
    return Case((*arrays, d.floats(shape)))


def _grouped(d: Draw) -> Case:
    n, s, e = d.int(1, 3), d.int(1, 3), d.int(1, 2)
    heads = d.of(1, 2)
    shapes = ((2, 4, n, e), (2, heads, s, e), (2, heads, s, 2))
    return Case(tuple(d.floats(shape) for shape in shapes))


def _reference(q, k, v, mask=None, is_causal=False, scale=None):
    r"""One query at a time, over the keys that it sees."""
    lead, (n, e), s = q.shape[:-2], q.shape[-2:], k.shape[-2]
    scale = e**-0.5 if scale is None else scale
    bias = np.zeros((*lead, n, s))
    if mask is not None:
        bias = bias + (np.where(mask, 0.0, -np.inf) if mask.dtype.kind == "b" else mask)
    y = np.zeros((*lead, n, v.shape[-1]))
    for at in np.ndindex(*lead, n):
        batch, i = at[:-1], at[-1]
        seen = [j for j in range(s) if bias[at][j] > -np.inf and not (is_causal and j > i)]
        weights = [np.exp(scale * q[at] @ k[(*batch, j)] + bias[at][j]) for j in seen]
        for j, w in zip(seen, weights):
            y[at] += w / sum(weights) * v[(*batch, j)]
    return y


def _run_float(q, k, v, mask):
    return ops.scaled_dot_product_attention(q, k, v, mask * 1.0)  # integers are refused


def _grouped_reference(q, k, v):
    times = q.shape[1] // k.shape[1]
    y = [_reference(q[:, [h]], k[:, [h // times]], v[:, [h // times]]) for h in range(q.shape[1])]
    return np.concatenate(y, 1)


NAME = "scaled_dot_product_attention"
COVERS = (NAME,)
ROWS = [
    Row(NAME, ops.scaled_dot_product_attention, _reference, _plain, rtol=1e-5),
    Row(f"{NAME}-bool", ops.scaled_dot_product_attention, _reference, _bool, covers=COVERS,
        rtol=1e-5),
    Row(f"{NAME}-float", _run_float, _reference, _float, covers=COVERS, rtol=1e-5),
    Row(f"{NAME}-gqa", lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        _grouped_reference, _grouped, covers=COVERS, rtol=1e-5),
]  # fmt: skip
