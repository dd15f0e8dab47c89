r"""Recurrent layers: layouts, several layers, lengths, one mask a sequence, errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.kernels import recurrent as kernels
from minigrad.kernels.parallel import num_threads, set_num_threads

KINDS = ["RNN", "LSTM", "GRU"]


def randn(*shape):
    return mg.randn(*shape, dtype=mg.float64)


def first(state):
    return state[0] if isinstance(state, tuple) else state


def equal(a, b):
    return np.array_equal(a.detach().numpy(), b.detach().numpy())


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_layer_is_its_cell_step_by_step(kind):
    mg.manual_seed(0)
    layer = getattr(nn, kind)(3, 4, dtype=mg.float64)
    cell = getattr(nn, kind + "Cell")(3, 4, dtype=mg.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = randn(6, 2, 3)
    y, last = layer(x)
    state = None
    for t in range(6):
        state = cell(x[t], state)
        close(y[t], first(state))
    np.testing.assert_allclose(
        first(last)[0].detach().numpy(), first(state).detach().numpy(), rtol=1e-12
    )
    alone = cell(x[0, 0])
    close(first(alone), y[0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_layouts(kind):
    layer = getattr(nn, kind)(3, 4, 2, bidirectional=True, dtype=mg.float64)
    other = getattr(nn, kind)(3, 4, 2, bidirectional=True, batch_first=True, dtype=mg.float64)
    other.load_state_dict(layer.state_dict())
    x = randn(5, 2, 3)
    y, last = layer(x)
    assert y.shape == (5, 2, 8) and first(last).shape == (4, 2, 4)
    y2, last2 = other(x.transpose(0, 1))
    assert equal(y2.transpose(0, 1), y)
    assert equal(first(last2), first(last))
    y3, last3 = layer(x[:, 0])
    close(y3, y[:, 0])
    assert first(last3).shape == (4, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind):
    r"""Each sequence of a padded batch gets what it gets alone; padding gets no gradient."""
    layer = getattr(nn, kind)(3, 4, 2, bidirectional=True, dtype=mg.float64)
    x = randn(5, 3, 3).requires_grad_()
    lengths = [5, 2, 3]
    y, last = layer(x, lengths=lengths)
    for n, length in enumerate(lengths):
        alone, end = layer(x[:length, n])
        np.testing.assert_allclose(
            y[:length, n].detach().numpy(), alone.detach().numpy(), rtol=1e-12
        )
        assert not y[length:, n].detach().numpy().any()
        np.testing.assert_allclose(
            first(last)[:, n].detach().numpy(), first(end).detach().numpy(), rtol=1e-12
        )
    (y.sum() + first(last).sum()).backward()
    assert not x.grad[2:, 1].numpy().any()
    assert x.grad[:2, 1].numpy().all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_mask_for_a_whole_sequence(kind):
    r"""The layer draws one mask and multiplies every step's state by it, as the op does."""
    layer = getattr(nn, kind)(3, 40, recurrent_dropout=0.5, dtype=mg.float64)
    x = randn(4, 1, 3)
    mg.manual_seed(5)
    mask = mg.dropout(mg.ones(1, 40, dtype=mg.float64), 0.5, True)
    assert set(np.unique(mask.detach().numpy())) == {0.0, 2.0}
    mg.manual_seed(5)
    y, _ = layer(x)
    zero = mg.zeros(1, 40, dtype=mg.float64)
    state = (zero, zero) if kind == "LSTM" else zero
    op = getattr(mg, f"{kind.lower()}_layer")
    expected = op(x, state, *layer.parameters(), drop=mask)[0]
    assert equal(y, expected)
    plain, _ = layer.eval()(x)
    assert equal(y[0], plain[0])  # that state is 0
    assert not equal(y[1:], plain[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays(kind):
    y, last = getattr(nn, kind)(3, 4)(mg.randn(5, 2, 3), lengths=[5, 1])
    assert y.dtype == first(last).dtype == np.float32


def test_dropout_between_layers_alone():
    mg.manual_seed(0)
    layer = nn.LSTM(3, 50, 2, dropout=0.5, dtype=mg.float64)
    x = randn(2, 1, 3)
    a, (h, _) = layer(x)
    b, (h2, _) = layer(x)
    assert equal(h[0], h2[0])
    assert not equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_do_not_depend_on_the_threads(kind):
    mg.manual_seed(0)
    layer = getattr(nn, kind)(8, 16)
    x = mg.randn(5, 2 * kernels._PART + 3, 8)
    before, results = num_threads(), []
    try:
        for n in (1, 3):
            set_num_threads(n)
            layer.zero_grad()
            y, _ = layer(x)
            y.sum().backward()
            results.append([y, *(p.grad for p in layer.parameters())])
    finally:
        set_num_threads(before)
    assert all(equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nn.LSTM(0, 3), "LSTM: expected a positive integer as input_size, got 0"),
        (lambda: nn.GRU(2, 3, dropout=1.0), r"GRU: expected dropout in \[0, 1\), got 1.0"),
        (lambda: nn.RNN(2, 3, nonlinearity="elu"), "RNN: expected nonlinearity"),
        (lambda: nn.LSTM(2, 3)(mg.zeros(4, 1, 5)), r"LSTM: expected input .* got \(4, 1, 5\)"),
        (
            lambda: nn.LSTM(2, 3)(mg.zeros(4, 1, 2), mg.zeros(1, 1, 3)),
            r"expected hx to be \(h, c\)",
        ),
        (
            lambda: nn.GRU(2, 3)(mg.zeros(4, 1, 2), mg.zeros(1, 2, 3)),
            r"GRU: expected a state \(1, 1, 3\), got \(1, 2, 3\)",
        ),
        (lambda: nn.GRU(2, 3)(mg.zeros(0, 1, 2)), "expected input .* of at least one step"),
        (lambda: nn.GRU(2, 3)(mg.zeros(4, 1, 2), lengths=[5]), r"expected lengths in \[1, 4\]"),
        (lambda: nn.GRU(2, 3)(mg.zeros(4, 1, 2), lengths=[1, 2]), "expected 1 integers as lengths"),
        (lambda: nn.GRUCell(2, 3)(mg.zeros(4, 3)), r"GRUCell: expected input \(N, 2\)"),
        (lambda: nn.RNNCell(2, 3)(mg.zeros(4, 2), mg.zeros(3)), r"RNNCell: expected a state"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_dropout_between_the_layers_of_one(kind):
    """It would do nothing, silently."""
    with pytest.warns(UserWarning, match="acts between layers") as caught:
        kind(2, 3, dropout=0.5)
    assert caught[0].filename == __file__
