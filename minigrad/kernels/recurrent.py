r"""Recurrences over time on arrays: all steps of a layer forwards, and their gradients backwards.

Belongs here: the loops over time with what they keep. Does not belong here: the slow twins, made of
ops, which say the same step by step (``ops/recurrent.py``); the product with the inputs, which is
one large product for all steps and is done there.

Shapes, with T steps, N sequences, H units and G gates::

    z (T, N, G H)   inputs' share of the gates, biases included   w (G H, H)   h, c (N, H)
    keep (T, N, 1)  1, or 0 where a sequence has ended; or None   drop (N, H)  factors of h; or None

At a step that is not kept the state stays what it was and the output is 0. ``order`` is the steps
in the order in which they are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def _squash(xp: Any, z: Any, scale: Any, shift: Any) -> None:
    r"""In place: the logistic function where scale is 1/2 and shift 1/2, tanh where they are 1, 0;
    both are one tanh, for σ(z) = (1 + tanh(z / 2)) / 2."""
    z *= scale
    xp.tanh(z, out=z)
    z *= scale
    z += shift


def _gate_scales(xp: Any, gates: str, units: int, dtype: Any) -> tuple[Any, Any]:
    r"""``gates`` has an s for each logistic gate and a t for each tanh."""
    scale = xp.empty(len(gates) * units, dtype)
    shift = xp.empty(len(gates) * units, dtype)
    for i, gate in enumerate(gates):
        part = slice(i * units, (i + 1) * units)
        scale[part], shift[part] = (0.5, 0.5) if gate == "s" else (1.0, 0.0)
    return scale, shift


def _blend(new: Any, old: Any, keep: Any) -> Any:
    r"""``new`` where the step is kept, else ``old``."""
    return old + (new - old) * keep


def _outputs(y: Any, states: Any, keep: Any) -> Any:
    return y if keep is None else states * keep


def _for_sequences(xp: Any, n: int, fn: Callable[[int, int], None]) -> None:
    r"""Call ``fn(start, stop)`` on the sequences of a batch, which do not wait for each other, in
    parts on all cores. The parts depend on the batch alone, so the bits do not depend on the cores.
    """
    if xp is np and n >= 2 * _PART:
        parallel_for(fn, n, _PART)
    else:
        fn(0, n)


def _weight_gradient(dz: Any, h: Any) -> Any:
    r"""Σ over steps and sequences of dz ⊗ h as one product: (T, N, G H), (T, N, H) -> (G H, H)."""
    return product(dz.reshape(-1, dz.shape[-1]).T, h.reshape(-1, h.shape[-1]))


# ------------------------------------------------------------------------------------------ LSTM
def lstm_forward(
    z: Any, h: Any, c: Any, w: Any, order: Sequence[int], keep: Any, drop: Any
) -> tuple[Any, Any, Any, Saved]:
    r"""``(y (T, N, H), last h, last c, what the gradient needs)``; the gates are i, f, g, o."""
    xp = get_array_module(z)
    (T, N), H = z.shape[:2], h.shape[-1]
    scale, shift = _gate_scales(xp, "ssts", H, z.dtype)
    gates = xp.empty_like(z)
    inputs = xp.empty((T, N, H), z.dtype)  # h as each step sees it
    cells = xp.empty((T, N, H), z.dtype)  # c before each step
    tanhs = xp.empty((T, N, H), z.dtype)
    y = xp.empty((T, N, H), z.dtype)
    last_h, last_c = xp.empty((N, H), z.dtype), xp.empty((N, H), z.dtype)
    wt = w.T

    def sequences(start: int, stop: int) -> None:
        some = slice(start, stop)
        h_now, c_now = h[some], c[some]
        for t in order:
            seen, a = inputs[t, some], gates[t, some]
            if drop is None:
                seen[...] = h_now
            else:
                xp.multiply(h_now, drop[some], out=seen)
            cells[t, some] = c_now
            xp.matmul(seen, wt, out=a)
            a += z[t, some]
            _squash(xp, a, scale, shift)
            i, f, g, o = (a[:, k * H : (k + 1) * H] for k in range(4))
            new_c = f * c_now
            new_c += i * g
            tanh = xp.tanh(new_c, out=tanhs[t, some])
            new_h = xp.multiply(o, tanh, out=y[t, some])
            if keep is None:
                h_now, c_now = new_h, new_c
            else:
                kept = keep[t, some]
                h_now, c_now = _blend(new_h, h_now, kept), _blend(new_c, c_now, kept)
                new_h *= kept
        last_h[some], last_c[some] = h_now, c_now

    _for_sequences(xp, N, sequences)
    saved = {"gates": gates, "inputs": inputs, "cells": cells, "tanhs": tanhs}
    return y, last_h, last_c, saved


def lstm_backward(
    gy: Any, gh: Any, gc: Any, w: Any, order: Sequence[int], keep: Any, drop: Any, saved: Saved
) -> tuple[Any, Any, Any, Any]:
    r"""The gradients ``(z, h, c, w)`` at those of ``(y, last h, last c)``."""
    xp = get_array_module(gy)
    gates, cells, tanhs = saved["gates"], saved["cells"], saved["tanhs"]
    N, H = gh.shape
    gz = xp.empty_like(gates)
    first_h, first_c = xp.empty_like(gh), xp.empty_like(gc)

    def sequences(start: int, stop: int) -> None:
        some = slice(start, stop)
        dh, dc = gh[some], gc[some]
        for t in reversed(order):
            a, d, tanh = gates[t, some], gz[t, some], tanhs[t, some]
            i, f, g, o = (a[:, k * H : (k + 1) * H] for k in range(4))
            new_h, new_c = dh + gy[t, some], dc
            if keep is not None:
                kept = keep[t, some]
                new_h, new_c = new_h * kept, dc * kept
            # Through h = o tanh(c), then c = f c' + i g.
            through = xp.multiply(tanh, tanh)
            xp.subtract(1, through, out=through)
            through *= o
            through *= new_h
            through += new_c
            xp.multiply(through, g, out=d[:, :H])
            xp.multiply(through, cells[t, some], out=d[:, H : 2 * H])
            xp.multiply(through, i, out=d[:, 2 * H : 3 * H])
            xp.multiply(new_h, tanh, out=d[:, 3 * H :])
            # Through the gates' own functions: s' = s (1 - s), and 1 - g^2 for the tanh.
            slope = 1 - a
            slope[:, : 2 * H] *= a[:, : 2 * H]
            slope[:, 2 * H : 3 * H] *= 1 + g
            slope[:, 3 * H :] *= o
            d *= slope
            through *= f
            back = d @ w
            if drop is not None:
                back *= drop[some]
            if keep is not None:
                back += dh * (1 - kept)
                through += dc * (1 - kept)
            dh, dc = back, through
        first_h[some], first_c[some] = dh, dc

    _for_sequences(xp, N, sequences)
    return gz, first_h, first_c, _weight_gradient(gz, saved["inputs"])


# ------------------------------------------------------------------------------------------- GRU
def gru_forward(
    z: Any, h: Any, w: Any, b: Any, order: Sequence[int], keep: Any, drop: Any
) -> tuple[Any, Any, Saved]:
    r"""``(y, last h, what the gradient needs)``; the gates are r, z, n. b (3 H,) belongs to the
    product with h, for r multiplies both."""
    xp = get_array_module(z)
    (T, N), H = z.shape[:2], h.shape[-1]
    gates = xp.empty_like(z)
    inputs = xp.empty((T, N, H), z.dtype)
    before = xp.empty((T, N, H), z.dtype)  # h before each step
    hidden = xp.empty((T, N, H), z.dtype)  # the product's share of n
    y = xp.empty((T, N, H), z.dtype)
    wt = w.T
    for t in order:
        before[t] = h
        inputs[t] = h if drop is None else h * drop
        u = product(inputs[t], wt)
        if b is not None:
            u += b
        a = gates[t]
        both = a[:, : 2 * H]
        xp.add(z[t, :, : 2 * H], u[:, : 2 * H], out=both)
        both *= 0.5
        xp.tanh(both, out=both)
        both *= 0.5
        both += 0.5
        reset, update = a[:, :H], a[:, H : 2 * H]
        hidden[t] = u[:, 2 * H :]
        n = xp.multiply(reset, hidden[t], out=a[:, 2 * H :])
        n += z[t, :, 2 * H :]
        xp.tanh(n, out=n)
        new = xp.subtract(h, n, out=y[t])
        new *= update
        new += n
        if keep is None:
            h = new
        else:
            h = _blend(new, h, keep[t])
            new *= keep[t]
    return y, h, {"gates": gates, "inputs": inputs, "before": before, "hidden": hidden}


def gru_backward(
    gy: Any, gh: Any, w: Any, order: Sequence[int], keep: Any, drop: Any, saved: Saved
) -> tuple[Any, Any, Any, Any]:
    r"""The gradients ``(z, h, w, b)`` at those of ``(y, last h)``."""
    xp = get_array_module(gy)
    gates, before, hidden = saved["gates"], saved["before"], saved["hidden"]
    H = gy.shape[-1]
    gz = xp.empty_like(gates)
    gu = xp.empty_like(gates)  # of the product with h
    dh = gh
    for t in reversed(order):
        a, d, du = gates[t], gz[t], gu[t]
        reset, update, n = (a[:, k * H : (k + 1) * H] for k in range(3))
        new = dh + gy[t] if keep is None else (dh + gy[t]) * keep[t]
        dn = (1 - update) * new
        dn *= 1 - n * n
        d[:, 2 * H :] = dn
        xp.multiply(dn, hidden[t], out=d[:, :H])
        d[:, :H] *= reset * (1 - reset)
        xp.multiply(before[t] - n, new, out=d[:, H : 2 * H])
        d[:, H : 2 * H] *= update * (1 - update)
        du[:, : 2 * H] = d[:, : 2 * H]
        xp.multiply(dn, reset, out=du[:, 2 * H :])
        back = product(du, w)
        if drop is not None:
            back *= drop
        back += update * new
        if keep is not None:
            back += dh * (1 - keep[t])
        dh = back
    gb = gu.reshape(-1, gu.shape[-1]).sum(axis=0)
    return gz, dh, _weight_gradient(gu, saved["inputs"]), gb


# ------------------------------------------------------------------------------------ simple RNN
def rnn_forward(
    z: Any, h: Any, w: Any, order: Sequence[int], keep: Any, drop: Any, relu: bool
) -> tuple[Any, Any, Saved]:
    r"""``(y, last h, what the gradient needs)`` of h = tanh(z + w h), or with ReLU."""
    xp = get_array_module(z)
    (T, N), H = z.shape[:2], h.shape[-1]
    inputs = xp.empty((T, N, H), z.dtype)
    new_states = xp.empty((T, N, H), z.dtype)
    wt = w.T
    for t in order:
        inputs[t] = h if drop is None else h * drop
        new = new_states[t]
        new[...] = product(inputs[t], wt)
        new += z[t]
        if relu:
            xp.maximum(new, 0, out=new)
        else:
            xp.tanh(new, out=new)
        h = new if keep is None else _blend(new, h, keep[t])
    y = new_states.copy() if keep is None else new_states * keep
    return y, h, {"inputs": inputs, "new": new_states}


def rnn_backward(
    gy: Any, gh: Any, w: Any, order: Sequence[int], keep: Any, drop: Any, relu: bool, saved: Saved
) -> tuple[Any, Any, Any]:
    r"""The gradients ``(z, h, w)`` at those of ``(y, last h)``."""
    xp = get_array_module(gy)
    new_states = saved["new"]
    gz = xp.empty_like(new_states)
    dh = gh
    for t in reversed(order):
        new = new_states[t]
        d = xp.add(dh, gy[t], out=gz[t])
        if keep is not None:
            d *= keep[t]
        d *= (new > 0) if relu else 1 - new * new
        back = product(d, w)
        if drop is not None:
            back *= drop
        if keep is not None:
            back += dh * (1 - keep[t])
        dh = back
    return gz, dh, _weight_gradient(gz, saved["inputs"])
