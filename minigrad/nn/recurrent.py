r"""Recurrent layers: RNN, LSTM and GRU, and one step of each.

Belongs here: parameters, several layers, both directions, layouts, dropout between the layers. The
arithmetic of one layer is in ``ops/recurrent.py``.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import ops
from ..creation import empty, zeros
from ..ops import recurrent
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]

_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _size(who: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{who}: expected a positive integer as {name}, got {value!r}")
    return value


class _Recurrent(Module):
    r"""What the three kinds share.

    Parameters of layer k are ``weight_ih_lk`` (G H, C or D H), ``weight_hh_lk`` (G H, H),
    ``bias_ih_lk`` and ``bias_hh_lk`` (G H,), with ``_reverse`` for the other direction, all drawn
    from U(-1/√H, 1/√H); G is 1, 4 or 3 and D the number of directions.
    """

    kind = ""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        recurrent_dropout: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = _size(self.kind, "input_size", input_size)
        self.hidden_size = _size(self.kind, "hidden_size", hidden_size)
        self.num_layers = _size(self.kind, "num_layers", num_layers)
        for name, p in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= p < 1:
                raise ValueError(f"{self.kind}: expected {name} in [0, 1), got {p}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{self.kind}: dropout={dropout} acts between layers, and there is one; "
                "recurrent_dropout acts within it",
                stacklevel=3 if self.kind == "RNN" else 2,
            )
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        like = {"device": device, "dtype": dtype}
        rows = _GATES[self.kind] * hidden_size
        for layer in range(num_layers):
            for suffix in self._suffixes():
                size = input_size if layer == 0 else hidden_size * len(self._suffixes())
                shapes: list[tuple[str, tuple[int, ...]]] = [
                    ("weight_ih", (rows, size)),
                    ("weight_hh", (rows, hidden_size)),
                    ("bias_ih", (rows,)),
                    ("bias_hh", (rows,)),
                ]
                for name, shape in shapes[: 4 if bias else 2]:
                    parameter = Parameter(empty(*shape, **like))
                    self.register_parameter(f"{name}_l{layer}{suffix}", parameter)
        self.reset_parameters()

    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def reset_parameters(self) -> None:
        r"""Draw all parameters from U(-1/√H, 1/√H)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
            ("recurrent_dropout", 0.0),
        ):
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value}")
        return ", ".join(parts)

    # ------------------------------------------------------------------------------- one layer
    def _layer(self, x: Tensor, states: tuple[Tensor, ...], weights: list[Any], **how: Any) -> Any:
        raise NotImplementedError

    def _run(
        self, input: Tensor, states: tuple[Tensor, ...] | None, n_states: int, lengths: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        r"""(output, last states (L D, N, H)) of all layers; input in any of the layouts."""
        batched = input.ndim == 3
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"{self.kind}: expected input (T, C), or (T, N, C) (with batch_first (N, T, C)), "
                f"with C = {self.input_size}, got {input.shape}"
            )
        x = input if batched else ops.unsqueeze(input, 1)
        if batched and self.batch_first:
            x = ops.transpose(x, 0, 1)
        directions = len(self._suffixes())
        shape = (self.num_layers * directions, x.shape[1], self.hidden_size)
        if states is None:
            zero = zeros(*shape, dtype=input.dtype, device=input.device)
            states = (zero,) * n_states
        else:
            expected = shape if batched else (shape[0], shape[2])
            for state in states:
                if tuple(state.shape) != expected:
                    raise ValueError(
                        f"{self.kind}: expected a state {expected}, got {tuple(state.shape)}"
                    )
            if not batched:
                states = tuple([ops.unsqueeze(state, 1) for state in states])
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = ops.dropout(x, self.dropout, self.training)
            outputs = []
            for d, suffix in enumerate(self._suffixes()):
                names = [f"{n}_l{layer}{suffix}" for n in ("weight_ih", "weight_hh")]
                names += [f"{n}_l{layer}{suffix}" for n in ("bias_ih", "bias_hh")]
                weights = [getattr(self, n) if self.bias or "weight" in n else None for n in names]
                first = tuple([state[layer * directions + d] for state in states])
                y, *end = self._layer(
                    x, first, weights, reverse=bool(d), lengths=lengths, drop=self._mask(first[0])
                )
                outputs.append(y)
                last.append(tuple(end))
            x = outputs[0] if directions == 1 else ops.cat(outputs, -1)
        ends = tuple([ops.stack([end[k] for end in last]) for k in range(n_states)])
        if not batched:
            return x[:, 0], tuple([end[:, 0] for end in ends])
        return ops.transpose(x, 0, 1) if self.batch_first else x, ends

    def _mask(self, h: Tensor) -> Any:
        r"""One mask for all steps of a sequence, or None."""
        if not (self.recurrent_dropout and self.training):
            return None
        ones = h.detach() * 0 + 1
        return ops.dropout(ones, self.recurrent_dropout, True)


class RNN(_Recurrent):
    r"""Elman's recurrent network, :math:`h_t = \tanh(W x_t + b + W' h_{t-1} + b')`.

    Args:
        input_size, hidden_size: C and H.
        num_layers: L, each reading the outputs of the one before.
        nonlinearity: "tanh" or "relu".
        bias, batch_first, bidirectional: as in PyTorch.
        dropout: of the outputs between layers.
        recurrent_dropout: of the state on its way into the next step, with one mask for a whole
            sequence (Gal and Ghahramani, A theoretically grounded application of dropout in
            recurrent neural networks, 2016).

    ``layer(input, hx=None, lengths=None)`` returns (output, h_n): input (T, N, C), or (N, T, C)
    with ``batch_first``, or (T, C); output (T, N, D H); h_n (L D, N, H). ``lengths``, N integers,
    is for sequences of several lengths padded to T: outputs beyond them are 0, and h_n holds each
    sequence's own last state.

    >>> import minigrad as mg
    >>> y, h = mg.nn.RNN(3, 5)(mg.zeros(7, 2, 3))
    >>> y.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    kind = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        recurrent_dropout: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            recurrent_dropout,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity

    def _layer(self, x: Tensor, states: tuple[Tensor, ...], weights: list[Any], **how: Any) -> Any:
        w_ih, w_hh, b_ih, b_hh = weights
        return ops.rnn_layer(x, states[0], w_ih, w_hh, b_ih, b_hh, self.nonlinearity, **how)

    def forward(
        self, input: Tensor, hx: Tensor | None = None, lengths: Any = None
    ) -> tuple[Tensor, Tensor]:
        y, (h,) = self._run(input, None if hx is None else (hx,), 1, lengths)
        return y, h


class GRU(_Recurrent):
    r"""Gated recurrent units (Cho et al., 2014) with the reset gate after the product:

    .. math::
        r, z &= \sigma(W x_t + b + W' h_{t-1} + b'), \\
        n &= \tanh(W_n x_t + b_n + r (W'_n h_{t-1} + b'_n)), \quad h_t = (1 - z) n + z h_{t-1}

    Arguments and shapes are those of :class:`RNN`.

    >>> import minigrad as mg
    >>> y, h = mg.nn.GRU(3, 5, bidirectional=True)(mg.zeros(7, 2, 3))
    >>> y.shape, h.shape
    ((7, 2, 10), (2, 2, 5))
    """

    kind = "GRU"

    def _layer(self, x: Tensor, states: tuple[Tensor, ...], weights: list[Any], **how: Any) -> Any:
        return ops.gru_layer(x, states[0], *weights, **how)

    def forward(
        self, input: Tensor, hx: Tensor | None = None, lengths: Any = None
    ) -> tuple[Tensor, Tensor]:
        y, (h,) = self._run(input, None if hx is None else (hx,), 1, lengths)
        return y, h


class LSTM(_Recurrent):
    r"""Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gates: Gers et al., 2000):

    .. math::
        i, f, o &= \sigma(W x_t + b + W' h_{t-1} + b'), \quad g = \tanh(\ldots), \\
        c_t &= f c_{t-1} + i g, \quad h_t = o \tanh(c_t)

    Arguments and shapes are those of :class:`RNN`; the state is a pair, and
    ``layer(input, (h, c))`` returns (output, (h_n, c_n)). There is no ``proj_size``.

    >>> import minigrad as mg
    >>> y, (h, c) = mg.nn.LSTM(3, 5, num_layers=2)(mg.zeros(7, 2, 3))
    >>> y.shape, h.shape, c.shape
    ((7, 2, 5), (2, 2, 5), (2, 2, 5))
    """

    kind = "LSTM"

    def _layer(self, x: Tensor, states: tuple[Tensor, ...], weights: list[Any], **how: Any) -> Any:
        return ops.lstm_layer(x, (states[0], states[1]), *weights, **how)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None, lengths: Any = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise ValueError(f"LSTM: expected hx to be (h, c), got {type(hx).__name__}")
        y, (h, c) = self._run(input, None if hx is None else tuple(hx), 2, lengths)
        return y, (h, c)


# ------------------------------------------------------------------------------------- one step
class _Cell(Module):
    kind = ""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.input_size = _size(who, "input_size", input_size)
        self.hidden_size = _size(who, "hidden_size", hidden_size)
        self.bias = bias
        rows, like = _GATES[self.kind] * hidden_size, {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(rows, input_size, **like))
        self.weight_hh = Parameter(empty(rows, hidden_size, **like))
        self.register_parameter("bias_ih", Parameter(empty(rows, **like)) if bias else None)
        self.register_parameter("bias_hh", Parameter(empty(rows, **like)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draw all parameters from U(-1/√H, 1/√H)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")

    def _prepared(
        self, input: Tensor, states: tuple[Tensor, ...] | None, n_states: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        r"""The input and the states; (C,) and (H,) are a batch without its axis."""
        who = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"{who}: expected input (N, {self.input_size}) or ({self.input_size},), "
                f"got {input.shape}"
            )
        shape = (*input.shape[:-1], self.hidden_size)
        if states is None:
            return input, (zeros(*shape, dtype=input.dtype, device=input.device),) * n_states
        for state in states:
            if tuple(state.shape) != shape:
                raise ValueError(f"{who}: expected a state {shape}, got {tuple(state.shape)}")
        return input, states


class RNNCell(_Cell):
    r"""One step of :class:`RNN`: ``cell(x (N, C), h (N, H))`` returns the next h."""

    kind = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"RNNCell: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}"
            )
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, (h,) = self._prepared(input, None if hx is None else (hx,), 1)
        z = ops.linear(x, self.weight_ih, recurrent._both(self.bias_ih, self.bias_hh))
        return recurrent.rnn_step(z, h, self.weight_hh, self.nonlinearity)


class GRUCell(_Cell):
    r"""One step of :class:`GRU`: ``cell(x (N, C), h (N, H))`` returns the next h."""

    kind = "GRU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, (h,) = self._prepared(input, None if hx is None else (hx,), 1)
        z = ops.linear(x, self.weight_ih, self.bias_ih)
        return recurrent.gru_step(z, h, self.weight_hh, self.bias_hh)


class LSTMCell(_Cell):
    r"""One step of :class:`LSTM`: ``cell(x (N, C), (h, c))`` returns the next (h, c)."""

    kind = "LSTM"

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        x, (h, c) = self._prepared(input, None if hx is None else tuple(hx), 2)
        z = ops.linear(x, self.weight_ih, recurrent._both(self.bias_ih, self.bias_hh))
        return recurrent.lstm_step(z, h, c, self.weight_hh)
