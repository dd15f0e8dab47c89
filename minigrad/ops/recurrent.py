r"""Recurrent layers: one layer, in one direction, over all steps.

Belongs here: the step of each kind, written with ops; the slow twin, which is a loop of steps; and
the ops that run the loop on arrays. Does not belong here: those loops (``kernels/recurrent.py``),
parameters, several layers and directions (``nn/recurrent.py``).

Time is the first axis: x (T, N, C), h (N, H). z = x W_ihᵀ + b is the inputs' share of the gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import autograd
from ..kernels import recurrent as kernels
from ._base import Function, get_array_module, is_tensor, raw, shape_of
from .activation import relu, sigmoid
from .linalg import linear
from .shape import split, stack
from .transcendental import tanh

__all__ = ["gru_layer", "lstm_layer", "rnn_layer"]


# --------------------------------------------------------------------------------- the steps
def lstm_step(z: Any, h: Any, c: Any, w_hh: Any) -> tuple[Any, Any]:
    r"""One step of an LSTM (Hochreiter and Schmidhuber, 1997; Gers et al., 2000):

    .. math::
        (i, f, g, o) = z + W_{hh} h, \quad
        c' = \sigma(f)\, c + \sigma(i) \tanh(g), \quad h' = \sigma(o) \tanh(c')

    z (N, 4 H) is the inputs' share with the biases. Returns (h', c').
    """
    i, f, g, o = split(z + linear(h, w_hh), shape_of(h)[-1], -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru_step(z: Any, h: Any, w_hh: Any, b_hh: Any, seen: Any = None) -> Any:
    r"""One step of a GRU (Cho et al., 2014), with the reset gate after the product, as PyTorch and
    cuDNN have it (Keras' ``reset_after``):

    .. math::
        r = \sigma(z_r + u_r), \quad s = \sigma(z_s + u_s), \quad n = \tanh(z_n + r\, u_n), \quad
        h' = (1 - s)\, n + s\, h, \qquad u = W_{hh} h + b_{hh}

    z (N, 3 H) is the inputs' share with its biases; ``seen`` is what the product takes for h, if it
    is not h itself.
    """
    size = shape_of(h)[-1]
    zr, zs, zn = split(z, size, -1)
    ur, us, un = split(linear(h if seen is None else seen, w_hh, b_hh), size, -1)
    update = sigmoid(zs + us)
    n = tanh(zn + sigmoid(zr + ur) * un)
    return n + update * (h - n)


def rnn_step(z: Any, h: Any, w_hh: Any, nonlinearity: str = "tanh") -> Any:
    r"""One step of Elman's network (1990): :math:`h' = \tanh(z + W_{hh} h)`, or with ReLU."""
    return (relu if nonlinearity == "relu" else tanh)(z + linear(h, w_hh))


# ------------------------------------------------------------------------------ the slow twin
def loop(
    step: Callable[..., Any], z: Any, states: tuple[Any, ...], order: Any, keep: Any
) -> tuple[Any, ...]:
    r"""Take ``step(z_t, *states)`` at the steps of ``order``; returns (y, *last states). The first
    state is the output. Where ``keep`` (T, N, 1) is 0 the states stay and the output is 0."""
    outputs: list[Any] = [None] * shape_of(z)[0]
    for t in order:
        new = step(z[t], *states)
        new = new if type(new) is tuple else (new,)
        outputs[t] = new[0]
        if keep is not None:
            outputs[t] = new[0] * keep[t]
            new = tuple([old + (fresh - old) * keep[t] for fresh, old in zip(new, states)])
        states = new
    return stack(outputs), *states


class _Recurrence(Function):
    r"""A loop over time as one op; its outputs are (y, *last states).

    At first order the gradient is a loop backwards over arrays. When it must be differentiable
    itself, it is that of the slow twin.
    """

    def __init__(self, reverse: bool, keep: Any, drop: Any) -> None:
        self.reverse, self.keep, self.drop = reverse, keep, drop
        self.shape: tuple[int, ...] = ()  # of y

    def steps(self, z: Any) -> Any:
        order = range(shape_of(z)[0])
        return order[::-1] if self.reverse else order

    def place(self, like: Any) -> None:
        r"""Bring the mask to the device of ``like``, with its dtype."""
        if self.keep is not None:
            self.keep = get_array_module(like).asarray(self.keep.astype(like.dtype))

    def seen(self, h: Any) -> Any:
        r"""What the product takes for h."""
        return h if self.drop is None else h * self.drop

    def arrived(self, g: Any) -> list[Any]:
        r"""The gradients of y, or None, and of the last states, with zeros where none came."""
        like = next(part for part in g if part is not None)
        xp = get_array_module(like)
        zeros = lambda: xp.zeros(self.shape[1:], like.dtype)  # noqa: E731
        return [g[0], *(zeros() if part is None else part for part in g[1:])]

    def through_twin(self, g: Any, inputs: tuple[Any, ...], twin: Callable[..., Any]) -> Any:
        r"""The gradients by ``inputs`` of ``twin(*inputs)`` at ``g``, on a graph of ops."""
        places = [i for i, x in enumerate(inputs) if is_tensor(x) and x.requires_grad]
        pairs = [(y, gy) for y, gy in zip(twin(*inputs), g) if gy is not None]
        found = autograd.grad(
            [y for y, _ in pairs],
            [inputs[i] for i in places],
            [gy for _, gy in pairs],
            create_graph=True,
            allow_unused=True,
        )
        gradients: list[Any] = [None] * len(inputs)
        for i, gradient in zip(places, found):
            gradients[i] = gradient
        return tuple(gradients)


class LSTM(_Recurrence):
    r"""(y, h_T, c_T) of the steps of :func:`lstm_step`."""

    def forward(self, x, h, c, w_ih, w_hh, b):
        self.place(x)
        y, h, c, self.saved = kernels.lstm_forward(
            x, h, c, w_ih, w_hh, b, self.steps(x), self.keep, self.drop
        )
        self.shape = y.shape
        return y, h, c

    def backward(self, g, x, h, c, w_ih, w_hh, b):
        def twin(x, h, c, w_ih, w_hh, b):
            step = lambda z, h, c: lstm_step(z, self.seen(h), c, w_hh)  # noqa: E731
            return loop(step, linear(x, w_ih, b), (h, c), self.steps(x), self.keep)

        return self.through_twin(g, (x, h, c, w_ih, w_hh, b), twin)

    def backward_array(self, g, w_ih, w_hh):
        steps = self.steps(self.saved["gates"])
        gy, gh, gc = self.arrived(g)
        constants = steps, self.keep, self.drop, self.saved
        *gradients, gb = kernels.lstm_backward(
            gy, gh, gc, w_ih, w_hh, *constants, wants_x=self.needs_input_grad[0]
        )
        return *gradients, gb if self.needs_input_grad[5] else None


class GRU(_Recurrence):
    r"""(y, h_T) of the steps of :func:`gru_step`."""

    def forward(self, z, h, w, b):
        self.place(z)
        y, h, self.saved = kernels.gru_forward(z, h, w, b, self.steps(z), self.keep, self.drop)
        self.shape = y.shape
        return y, h

    def backward(self, g, z, h, w, b):
        def twin(z, h, w, b):
            step = lambda z, h: gru_step(z, h, w, b, self.seen(h))  # noqa: E731
            return loop(step, z, (h,), self.steps(z), self.keep)

        return self.through_twin(g, (z, h, w, b), twin)

    def backward_array(self, g, w):
        steps = self.steps(self.saved["gates"])
        gy, gh = self.arrived(g)
        gz, gh, gw, gb = kernels.gru_backward(gy, gh, w, steps, self.keep, self.drop, self.saved)
        return gz, gh, gw, gb if self.needs_input_grad[3] else None


class RNN(_Recurrence):
    r"""(y, h_T) of the steps of :func:`rnn_step`."""

    def __init__(self, reverse: bool, keep: Any, drop: Any, nonlinearity: str) -> None:
        super().__init__(reverse, keep, drop)
        self.nonlinearity = nonlinearity

    def forward(self, x, h, w_ih, w_hh, b):
        self.place(x)
        relu = self.nonlinearity == "relu"
        y, h, self.saved = kernels.rnn_forward(
            x, h, w_ih, w_hh, b, self.steps(x), self.keep, self.drop, relu
        )
        self.shape = y.shape
        return y, h

    def backward(self, g, x, h, w_ih, w_hh, b):
        def twin(x, h, w_ih, w_hh, b):
            step = lambda z, h: rnn_step(z, self.seen(h), w_hh, self.nonlinearity)  # noqa: E731
            return loop(step, linear(x, w_ih, b), (h,), self.steps(x), self.keep)

        return self.through_twin(g, (x, h, w_ih, w_hh, b), twin)

    def backward_array(self, g, w_ih, w_hh):
        relu, steps = self.nonlinearity == "relu", self.steps(self.saved["states"])
        gy, gh = self.arrived(g)
        constants = steps, self.keep, self.drop, relu, self.saved
        *gradients, gb = kernels.rnn_backward(
            gy, gh, w_ih, w_hh, *constants, wants_x=self.needs_input_grad[0]
        )
        return *gradients, gb if self.needs_input_grad[4] else None


# ------------------------------------------------------------------------ the public functions
def _checked(
    name: str, gates: int, input: Any, states: tuple[Any, ...], w_ih: Any, w_hh: Any, lengths: Any
) -> Any:
    r"""Check the shapes; the mask (T, N, 1) of the steps that are kept, or None."""
    shape, size = shape_of(input), shape_of(w_hh)[-1]
    if len(shape) != 3 or shape[0] < 1:
        raise ValueError(f"{name}: expected input (T, N, C) of at least one step, got {shape}")
    if shape_of(w_ih) != (gates * size, shape[2]) or shape_of(w_hh) != (gates * size, size):
        raise ValueError(
            f"{name}: expected weights ({gates} H, {shape[2]}) and ({gates} H, H), "
            f"got {shape_of(w_ih)} and {shape_of(w_hh)}"
        )
    for state in states:
        if shape_of(state) != (shape[1], size):
            raise ValueError(
                f"{name}: expected a state ({shape[1]}, {size}), got {shape_of(state)}"
            )
    if lengths is None:
        return None
    counts = np.asarray(raw(lengths))
    if counts.shape != (shape[1],) or counts.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected {shape[1]} integers as lengths, got {lengths!r}")
    if counts.size and not (counts.min() >= 1 and counts.max() <= shape[0]):
        raise ValueError(
            f"{name}: expected lengths in [1, {shape[0]}], got {counts.min()} ... {counts.max()}"
        )
    return (np.arange(shape[0])[:, None] < counts)[:, :, None]


def _both(a: Any, b: Any) -> Any:
    r"""The sum of two biases, either of which may be None."""
    return b if a is None else a if b is None else a + b


def lstm_layer(
    input: Any,
    hx: tuple[Any, Any],
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    reverse: bool = False,
    lengths: Any = None,
    drop: Any = None,
) -> tuple[Any, Any, Any]:
    r"""All steps of :func:`~minigrad.ops.recurrent.lstm_step`.

    Args:
        input: (T, N, C).
        hx: the first h and c, (N, H) each.
        w_ih, w_hh, b_ih, b_hh: (4 H, C), (4 H, H), (4 H,), (4 H,); gates i, f, g, o.
        reverse: from the last step to the first.
        lengths: N integers: the steps of each sequence that count. At the others the state stays
            what it was, and the output is 0.
        drop: (N, H), multiplies h on its way into the next step (Gal and Ghahramani, 2016).

    Returns:
        y (T, N, H), the last h and the last c.
    """
    keep = _checked("lstm_layer", 4, input, hx, w_ih, w_hh, lengths)
    b = _both(b_ih, b_hh)
    return LSTM.apply(input, *hx, w_ih, w_hh, b, reverse=reverse, keep=keep, drop=raw(drop))


def gru_layer(
    input: Any,
    hx: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    reverse: bool = False,
    lengths: Any = None,
    drop: Any = None,
) -> tuple[Any, Any]:
    r"""All steps of :func:`~minigrad.ops.recurrent.gru_step`; arguments as for :func:`lstm_layer`,
    with one state and gates r, z, n. Returns y (T, N, H) and the last h."""
    keep = _checked("gru_layer", 3, input, (hx,), w_ih, w_hh, lengths)
    z = linear(input, w_ih, b_ih)
    return GRU.apply(z, hx, w_hh, b_hh, reverse=reverse, keep=keep, drop=raw(drop))


def rnn_layer(
    input: Any,
    hx: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    nonlinearity: str = "tanh",
    reverse: bool = False,
    lengths: Any = None,
    drop: Any = None,
) -> tuple[Any, Any]:
    r"""All steps of :func:`~minigrad.ops.recurrent.rnn_step`; arguments as for :func:`lstm_layer`,
    with one state and no gates. Returns y (T, N, H) and the last h."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn_layer: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
    keep = _checked("rnn_layer", 1, input, (hx,), w_ih, w_hh, lengths)
    constants = {"reverse": reverse, "keep": keep, "drop": raw(drop), "nonlinearity": nonlinearity}
    return RNN.apply(input, hx, w_ih, w_hh, _both(b_ih, b_hh), **constants)
