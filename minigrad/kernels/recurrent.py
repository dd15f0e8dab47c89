r"""Recurrences over time on arrays: all steps of a layer forwards, and their gradients backwards.

Belongs here: the loops over time with what they keep. Does not belong here: the slow twins, made of
ops, which say the same step by step (``ops/recurrent.py``).

Shapes, with T steps, N sequences, C inputs, H units and G gates::

    x (T, N, C)     h, c (N, H)     w_ih (G H, C)     w_hh (G H, H)     b (G H,) or None
    keep (T, N, 1)  1, or 0 where a sequence has ended; or None   drop (N, H)  factors of h; or None

At a step that is not kept the state stays what it was and the output is 0. ``order`` is the steps
in the order in which they are taken.

What a step multiplies with the weights lies side by side in one array, ``rows``: the state, the
inputs, and a one for the bias. So a step is one product, and so is the gradient of all weights. The
GRU cannot have that, for its reset gate stands between the two products; there the inputs' share of
the gates, ``z`` (T, N, 3 H), comes ready made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..backend import get_array_module
from .gemm import product
from .parallel import parallel_for

__all__ = [
    "gru_backward", "gru_forward", "lstm_backward", "lstm_forward", "rnn_backward", "rnn_forward",
]  # fmt: skip

Saved = dict[str, Any]

_PART = 64  # sequences that a thread takes through time together


def _rows(x: Any, units: int) -> Any:
    r"""(T, N, H + C + 1): room for the state, the inputs, and ones."""
    xp = get_array_module(x)
    rows = xp.empty((*x.shape[:2], units + x.shape[2] + 1), x.dtype)
    rows[..., units:-1] = x
    rows[..., -1] = 1
    return rows


def _columns(w_ih: Any, w_hh: Any, b: Any) -> Any:
    r"""(H + C + 1, G H): what ``rows`` is multiplied with. Contiguous, for BLAS takes a transposed
    matrix a quarter slower."""
    xp = get_array_module(w_hh)
    units = w_hh.shape[1]
    columns = xp.empty((units + w_ih.shape[1] + 1, len(w_hh)), w_hh.dtype)
    columns[:units], columns[units:-1] = w_hh.T, w_ih.T
    columns[-1] = 0 if b is None else b
    return columns


def _flat(a: Any) -> Any:
    r"""(T, N, ...) to (T N, ...)."""
    return a.reshape(-1, a.shape[-1])


def _weight_gradients(dz: Any, rows: Any, units: int) -> tuple[Any, Any, Any]:
    r"""Of w_ih, w_hh and b: the sum over steps and sequences of dz ⊗ row, as one product."""
    g = product(_flat(dz).T, _flat(rows))
    return g[:, units:-1].copy(), g[:, :units].copy(), g[:, -1].copy()


def _through_inputs(dz: Any, w_ih: Any) -> Any:
    r"""The gradient of x at that of the gates."""
    return product(_flat(dz), w_ih).reshape(*dz.shape[:2], w_ih.shape[1])


def _with_next(order: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    r"""Each step with the one after it."""
    return zip(order, [*order[1:], None], strict=True)


def _logistic(a: Any) -> None:
    r"""In place: tanh(z / 2), which is there, becomes σ(z) = (1 + tanh(z / 2)) / 2."""
    a *= 0.5
    a += 0.5


def _blend(new: Any, old: Any, keep: Any) -> Any:
    r"""``new`` where the step is kept, else ``old``."""
    return old + (new - old) * keep


def _for_sequences(xp: Any, n: int, fn: Callable[[slice], None]) -> None:
    r"""Call ``fn`` on the sequences of a batch, which do not wait for each other, in parts on all
    cores. The parts depend on the batch alone, so the bits do not depend on the cores."""
    if xp is np and n >= 2 * _PART:
        parallel_for(lambda start, stop: fn(slice(start, stop)), n, _PART)
    else:
        fn(slice(0, n))


# ------------------------------------------------------------------------------------------ LSTM
# σ(z) = (1 + tanh(z / 2)) / 2. So all four gates are one tanh, if the weights of the logistic ones
# are halved; what is kept of a gate is that tanh, here called ti, tf, g, to, and 2 σ is 1 + ti etc.
def _halved(a: Any, units: int, axis: int) -> Any:
    r"""Halve i, f and o in place in ``a``, along whose ``axis`` the gates i, f, g, o lie."""
    by_gate = a if axis == 0 else a.T
    by_gate[: 2 * units] *= 0.5
    by_gate[3 * units :] *= 0.5
    return a


def lstm_forward(
    x: Any,
    h: Any,
    c: Any,
    w_ih: Any,
    w_hh: Any,
    b: Any,
    order: Sequence[int],
    keep: Any,
    drop: Any,
) -> tuple[Any, Any, Any, Saved]:
    r"""``(y (T, N, H), last h, last c, what the gradient needs)``."""
    xp = get_array_module(x)
    (T, N), H = x.shape[:2], h.shape[1]
    rows, columns = _rows(x, H), _halved(_columns(w_ih, w_hh, b), H, axis=1)
    gates = xp.empty((T, N, 4 * H), x.dtype)
    cells = xp.empty((T, N, H), x.dtype)  # c before each step
    tanhs = xp.empty((T, N, H), x.dtype)  # tanh(c) after it
    y = xp.empty((T, N, H), x.dtype)
    last_h, last_c = xp.empty((N, H), x.dtype), xp.empty((N, H), x.dtype)

    def sequences(some: slice) -> None:
        h_now = h[some]
        cells[order[0], some] = c[some]
        for t, after in _with_next(order):
            row, a, old_c = rows[t, some], gates[t, some], cells[t, some]
            new_c = (last_c if after is None else cells[after])[some]
            row[:, :H] = h_now if drop is None else h_now * drop[some]
            product(row, columns, out=a)
            xp.tanh(a, out=a)
            ti, tf, g, to = (a[:, k * H : (k + 1) * H] for k in range(4))
            # 2 c' = (1 + tf) c + (1 + ti) g
            forget = tf * old_c
            forget += old_c
            write = ti * g
            write += g
            xp.add(forget, write, out=new_c)
            new_c *= 0.5
            tanh = xp.tanh(new_c, out=tanhs[t, some])
            # 2 h' = (1 + to) tanh(c')
            new_h = xp.multiply(to, tanh, out=y[t, some])
            new_h += tanh
            new_h *= 0.5
            if keep is None:
                h_now = new_h
            else:
                kept = keep[t, some]
                h_now = _blend(new_h, h_now, kept)
                new_c[...] = _blend(new_c, old_c, kept)
                new_h *= kept
        last_h[some] = h_now

    _for_sequences(xp, N, sequences)
    return y, last_h, last_c, {"rows": rows, "gates": gates, "cells": cells, "tanhs": tanhs}


def lstm_backward(
    gy: Any,
    gh: Any,
    gc: Any,
    w_ih: Any,
    w_hh: Any,
    order: Sequence[int],
    keep: Any,
    drop: Any,
    saved: Saved,
    wants_x: bool = True,
) -> tuple[Any, ...]:
    r"""The gradients ``(x, h, c, w_ih, w_hh, b)`` at those of ``(y, last h, last c)``; gy may be
    None."""
    gates, cells, tanhs = saved["gates"], saved["cells"], saved["tanhs"]
    xp = get_array_module(gates)
    N, H = gh.shape
    gz = xp.empty_like(gates)  # by what the tanhs were taken of
    first_h, first_c = xp.empty_like(gh), xp.empty_like(gc)
    halved = _halved(w_hh.copy(), H, axis=0)

    def sequences(some: slice) -> None:
        dh, dc = gh[some], gc[some]
        for t in reversed(order):
            a, d, tanh = gates[t, some], gz[t, some], tanhs[t, some]
            ti, tf, g, to = (a[:, k * H : (k + 1) * H] for k in range(4))
            new_h, new_c = dh if gy is None else dh + gy[t, some], dc
            if keep is not None:
                kept = keep[t, some]
                new_h, new_c = new_h * kept, dc * kept
            # Through 2 h' = (1 + to) tanh(c'), then 2 c' = (1 + tf) c + (1 + ti) g.
            half_h = 0.5 * new_h
            through = xp.multiply(tanh, tanh)
            xp.subtract(1, through, out=through)
            through *= half_h
            opened = 1 + to
            through *= opened
            through += new_c
            through *= 0.5
            xp.multiply(through, g, out=d[:, :H])
            xp.multiply(through, cells[t, some], out=d[:, H : 2 * H])
            xp.add(ti, 1, out=opened)
            xp.multiply(through, opened, out=d[:, 2 * H : 3 * H])
            xp.multiply(half_h, tanh, out=d[:, 3 * H :])
            slope = a * a
            xp.subtract(1, slope, out=slope)
            d *= slope
            xp.add(tf, 1, out=opened)
            through *= opened
            back = product(d, halved)
            if drop is not None:
                back *= drop[some]
            if keep is not None:
                back += dh * (1 - kept)
                through += dc * (1 - kept)
            dh, dc = back, through
        first_h[some], first_c[some] = dh, dc

    _for_sequences(xp, N, sequences)
    gx = _through_inputs(gz, _halved(w_ih.copy(), H, axis=0)) if wants_x else None
    of_weights = _weight_gradients(gz, saved["rows"], H)
    return gx, first_h, first_c, *(_halved(g, H, axis=0) for g in of_weights)


# ------------------------------------------------------------------------------------------- GRU
def gru_forward(
    z: Any, h: Any, w: Any, b: Any, order: Sequence[int], keep: Any, drop: Any
) -> tuple[Any, Any, Saved]:
    r"""``(y, last h, what the gradient needs)``; the gates are r, z, n. w (3 H, H) and b (3 H,) are
    of the product with h, for r multiplies both."""
    xp = get_array_module(z)
    (T, N), H = z.shape[:2], h.shape[1]
    gates = xp.empty_like(z)
    inputs = xp.empty((T, N, H), z.dtype)  # h as each step's product sees it
    before = xp.empty((T, N, H), z.dtype)  # h before each step
    hidden = xp.empty((T, N, H), z.dtype)  # the product's share of n
    y = xp.empty((T, N, H), z.dtype)
    last = xp.empty((N, H), z.dtype)
    wt = xp.ascontiguousarray(w.T)

    def sequences(some: slice) -> None:
        h_now = h[some]
        for t in order:
            before[t, some] = h_now
            inputs[t, some] = h_now if drop is None else h_now * drop[some]
            u = product(inputs[t, some], wt)
            if b is not None:
                u += b
            a, share, ready = gates[t, some], hidden[t, some], z[t, some]
            both = xp.add(ready[:, : 2 * H], u[:, : 2 * H], out=a[:, : 2 * H])
            both *= 0.5
            xp.tanh(both, out=both)
            _logistic(both)
            reset, update = a[:, :H], a[:, H : 2 * H]
            share[...] = u[:, 2 * H :]
            n = xp.multiply(reset, share, out=a[:, 2 * H :])
            n += ready[:, 2 * H :]
            xp.tanh(n, out=n)
            new = xp.subtract(h_now, n, out=y[t, some])
            new *= update
            new += n
            if keep is None:
                h_now = new
            else:
                h_now = _blend(new, h_now, keep[t, some])
                new *= keep[t, some]
        last[some] = h_now

    _for_sequences(xp, N, sequences)
    return y, last, {"gates": gates, "inputs": inputs, "before": before, "hidden": hidden}


def gru_backward(
    gy: Any, gh: Any, w: Any, order: Sequence[int], keep: Any, drop: Any, saved: Saved
) -> tuple[Any, Any, Any, Any]:
    r"""The gradients ``(z, h, w, b)`` at those of ``(y, last h)``; gy may be None."""
    gates, before, hidden = saved["gates"], saved["before"], saved["hidden"]
    xp = get_array_module(gates)
    N, H = gh.shape
    gz = xp.empty_like(gates)
    gu = xp.empty_like(gates)  # of the product with h
    first = xp.empty_like(gh)

    def sequences(some: slice) -> None:
        dh = gh[some]
        for t in reversed(order):
            a, d, du = gates[t, some], gz[t, some], gu[t, some]
            reset, update, n = (a[:, k * H : (k + 1) * H] for k in range(3))
            new = dh if gy is None else dh + gy[t, some]
            if keep is not None:
                new = new * keep[t, some]
            dn = (1 - update) * new
            dn *= 1 - n * n
            d[:, 2 * H :] = dn
            xp.multiply(dn, hidden[t, some], out=d[:, :H])
            d[:, :H] *= reset * (1 - reset)
            xp.multiply(before[t, some] - n, new, out=d[:, H : 2 * H])
            d[:, H : 2 * H] *= update * (1 - update)
            du[:, : 2 * H] = d[:, : 2 * H]
            xp.multiply(dn, reset, out=du[:, 2 * H :])
            back = product(du, w)
            if drop is not None:
                back *= drop[some]
            back += update * new
            if keep is not None:
                back += dh * (1 - keep[t, some])
            dh = back
        first[some] = dh

    _for_sequences(xp, N, sequences)
    return gz, first, product(_flat(gu).T, _flat(saved["inputs"])), _flat(gu).sum(axis=0)


# ------------------------------------------------------------------------------------ simple RNN
def rnn_forward(
    x: Any,
    h: Any,
    w_ih: Any,
    w_hh: Any,
    b: Any,
    order: Sequence[int],
    keep: Any,
    drop: Any,
    relu: bool,
) -> tuple[Any, Any, Saved]:
    r"""``(y, last h, what the gradient needs)`` of h = tanh(w_ih x + w_hh h + b), or with ReLU."""
    xp = get_array_module(x)
    (T, N), H = x.shape[:2], h.shape[1]
    rows, columns = _rows(x, H), _columns(w_ih, w_hh, b)
    states = xp.empty((T, N, H), x.dtype)
    last = xp.empty((N, H), x.dtype)

    def sequences(some: slice) -> None:
        h_now = h[some]
        for t in order:
            row, new = rows[t, some], states[t, some]
            row[:, :H] = h_now if drop is None else h_now * drop[some]
            product(row, columns, out=new)
            if relu:
                xp.maximum(new, 0, out=new)
            else:
                xp.tanh(new, out=new)
            h_now = new if keep is None else _blend(new, h_now, keep[t, some])
        last[some] = h_now

    _for_sequences(xp, N, sequences)
    y = states.copy() if keep is None else states * keep
    return y, last, {"rows": rows, "states": states}


def rnn_backward(
    gy: Any,
    gh: Any,
    w_ih: Any,
    w_hh: Any,
    order: Sequence[int],
    keep: Any,
    drop: Any,
    relu: bool,
    saved: Saved,
    wants_x: bool = True,
) -> tuple[Any, ...]:
    r"""The gradients ``(x, h, w_ih, w_hh, b)`` at those of ``(y, last h)``; gy may be None."""
    states = saved["states"]
    xp = get_array_module(states)
    N, H = gh.shape
    gz = xp.empty_like(states)
    first = xp.empty_like(gh)

    def sequences(some: slice) -> None:
        dh = gh[some]
        for t in reversed(order):
            new, d = states[t, some], gz[t, some]
            d[...] = dh if gy is None else dh + gy[t, some]
            if keep is not None:
                d *= keep[t, some]
            d *= (new > 0) if relu else 1 - new * new
            back = product(d, w_hh)
            if drop is not None:
                back *= drop[some]
            if keep is not None:
                back += dh * (1 - keep[t, some])
            dh = back
        first[some] = dh

    _for_sequences(xp, N, sequences)
    gx = _through_inputs(gz, w_ih) if wants_x else None
    return gx, first, *_weight_gradients(gz, saved["rows"], H)
