r"""Recurrent layers against PyTorch: values, first and second derivatives, padded batches."""

from __future__ import annotations

import random

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
KINDS = ["RNN", "LSTM", "GRU"]


def close(a, b, tolerance):
    a = np.zeros(tuple(b.shape)) if a is None else a.detach().numpy()
    b = b.detach().numpy()
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max(initial=0)))


def pair(kind, *sizes, **options):
    theirs = getattr(torch.nn, kind)(*sizes, **options, dtype=torch.float64)
    ours = getattr(nn, kind)(*sizes, **options, dtype=mg.float64)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def flat(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def weighted(outputs, weights, tensor):
    total = 0.0
    for y, weight in zip(outputs, weights):
        if y is not None:
            total = (y * tensor(weight)).sum() + total
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_values_and_derivatives(kind, seed):
    choose, rng = random.Random(seed), np.random.default_rng(seed)
    C, H, T, N = (choose.randint(1, 4) for _ in range(4))
    options = {
        "num_layers": choose.randint(1, 2),
        "bidirectional": choose.random() < 0.4,
        "batch_first": choose.random() < 0.4,
        "bias": choose.random() < 0.8,
    }
    if kind == "RNN":
        options["nonlinearity"] = choose.choice(["tanh", "relu"])
    ours, theirs = pair(kind, C, H, **options)
    assert repr(ours).replace(", nonlinearity=relu", "") == repr(theirs)
    states = options["num_layers"] * (2 if options["bidirectional"] else 1)
    batched = choose.random() < 0.8
    shape = ((N, T, C) if options["batch_first"] else (T, N, C)) if batched else (T, C)
    values = [rng.standard_normal(shape)]
    for _ in range(2 if kind == "LSTM" else 1):
        values.append(rng.standard_normal((states, N, H) if batched else (states, H)))
    mine = [mg.Tensor(v, requires_grad=True) for v in values]
    other = [torch.tensor(v, requires_grad=True) for v in values]
    state = (lambda x: tuple(x[1:])) if kind == "LSTM" else (lambda x: x[1])
    y, z = flat(ours(mine[0], state(mine))), flat(theirs(other[0], state(other)))
    for a, b in zip(y, z):
        close(a, b, 1e-10)

    weights = [rng.standard_normal(tuple(b.shape)) for b in z]
    mine += list(ours.parameters())
    other += list(theirs.parameters())
    loss, total = weighted(y, weights, mg.Tensor), weighted(z, weights, torch.tensor)
    plain = mg.autograd.grad(loss, mine, retain_graph=True)
    graph = mg.autograd.grad(loss, mine, create_graph=True)
    expected = torch.autograd.grad(total, other, create_graph=True)
    for a, b, c in zip(plain, graph, expected):
        close(a, c, 1e-9)
        close(b, c, 1e-9)

    weights = [rng.standard_normal(tuple(b.shape)) for b in expected]
    second = mg.autograd.grad(weighted(graph, weights, mg.Tensor), mine, allow_unused=True)
    total = weighted(expected, weights, torch.tensor)
    for a, b in zip(second, torch.autograd.grad(total, other, allow_unused=True)):
        if b is not None:
            close(a, b, 1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_lengths_are_packed_sequences(kind, seed):
    rng = np.random.default_rng(seed)
    ours, theirs = pair(kind, 3, 2, num_layers=2, bidirectional=seed % 2 == 1)
    value, lengths = rng.standard_normal((5, 4, 3)), rng.integers(1, 6, 4)
    x, t = mg.Tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
    utilities = torch.nn.utils.rnn
    packed = utilities.pack_padded_sequence(t, torch.tensor(lengths), enforce_sorted=False)
    output, state = theirs(packed)
    output = utilities.pad_packed_sequence(output, total_length=5)[0]
    y, z = flat(ours(x, lengths=lengths)), flat((output, state))
    for a, b in zip(y, z):
        close(a, b, 1e-10)
    weights = [rng.standard_normal(tuple(b.shape)) for b in z]
    weighted(y, weights, mg.Tensor).backward()
    weighted(z, weights, torch.tensor).backward()
    close(x.grad, t.grad, 1e-9)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        close(a.grad, b.grad, 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_cells(kind):
    ours, theirs = pair(kind + "Cell", 3, 4)
    rng = np.random.default_rng(0)
    x, h = rng.standard_normal((2, 3)), rng.standard_normal((2, 4))
    state = (lambda tensor: (tensor(h), tensor(h * 2))) if kind == "LSTM" else lambda t: t(h)
    a, b = ours(mg.Tensor(x), state(mg.Tensor)), theirs(torch.tensor(x), state(torch.tensor))
    for one, other in zip(a if kind == "LSTM" else (a,), b if kind == "LSTM" else (b,)):
        close(one, other, 1e-12)
