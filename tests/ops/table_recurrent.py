r"""Rows of the op table: recurrent layers, against loops over steps and sequences."""

from __future__ import annotations

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row, like


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _lstm(z, u, states):
    i, f, g, o = np.split(z + u, 4)
    c = _sigmoid(f) * states[1] + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _gru(z, u, states):
    (zr, zs, zn), (ur, us, un) = np.split(z, 3), np.split(u, 3)
    update = _sigmoid(zs + us)
    n = np.tanh(zn + _sigmoid(zr + ur) * un)
    return ((1 - update) * n + update * states[0],)


def _reference(kind, n_states):
    def reference(x, *rest, reverse, lengths, drop, nonlinearity=None):
        states, (w_ih, w_hh, b_ih, b_hh) = rest[:n_states], rest[n_states:]
        step = {"lstm": _lstm, "gru": _gru}.get(kind)
        if step is None:
            function = np.tanh if nonlinearity == "tanh" else lambda v: np.maximum(v, 0)
            step = lambda z, u, states: (function(z + u),)  # noqa: E731
        y = np.zeros((*x.shape[:2], w_hh.shape[1]))
        ends = [np.zeros(s.shape) for s in states]
        for n in range(x.shape[1]):
            now = [s[n] for s in states]
            steps = range(x.shape[0] if lengths is None else lengths[n])
            for t in reversed(steps) if reverse else steps:
                z = w_ih @ x[t, n] + (0 if b_ih is None else b_ih)
                h = now[0] if drop is None else now[0] * drop[n]
                u = w_hh @ h + (0 if b_hh is None else b_hh)
                now = step(z, u, now)
                y[t, n] = now[0]
            for end, value in zip(ends, now):
                end[n] = value
        return y, *ends

    return reference


def _draw(gates, n_states, **more):
    def draw(d: Draw) -> Case:
        T, N, C, H = d.int(1, 3), d.int(1, 3), d.int(1, 3), d.int(1, 2)
        shapes = [(T, N, C), *[(N, H)] * n_states, (gates * H, C), (gates * H, H)]
        arrays = [d.floats(shape, -1, 1) for shape in shapes]
        bias = d.bool()
        arrays += [d.floats((gates * H,), -1, 1) if bias else None for _ in range(2)]
        params = {
            "reverse": d.bool(),
            "lengths": [d.int(1, T) for _ in range(N)] if d.bool() else None,
            "drop": d.floats((N, H), 0.5, 2) if d.bool() else None,
        }
        return Case(tuple(arrays), params | {k: d.of(*v) for k, v in more.items()})

    return draw


def _run_lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, drop, **params):
    drop = None if drop is None else like(drop, x)
    return ops.lstm_layer(x, (h, c), w_ih, w_hh, b_ih, b_hh, drop=drop, **params)


def _run(op):
    def run(x, h, w_ih, w_hh, b_ih, b_hh, drop, **params):
        drop = None if drop is None else like(drop, x)
        return op(x, h, w_ih, w_hh, b_ih, b_hh, drop=drop, **params)

    return run


ROWS = [
    Row("lstm_layer", _run_lstm, _reference("lstm", 2), _draw(4, 2), rtol=1e-5),
    Row("gru_layer", _run(ops.gru_layer), _reference("gru", 1), _draw(3, 1), rtol=1e-5),
    Row(
        "rnn_layer",
        _run(ops.rnn_layer),
        _reference("rnn", 1),
        _draw(1, 1, nonlinearity=("tanh",)),
        rtol=1e-5,
    ),
]
