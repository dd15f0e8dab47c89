r"""Embedding: rows of a table, the row for padding, the largest norm, errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def test_rows_and_their_gradient():
    layer = nn.Embedding(5, 3)
    index = mg.tensor([[4, 0], [4, 1]])
    y = layer(index)
    assert np.array_equal(y.detach().numpy(), layer.weight.detach().numpy()[index.numpy()])
    y.sum().backward()
    assert layer.weight.grad.numpy()[:, 0].tolist() == [1, 1, 0, 0, 2]


@pytest.mark.parametrize("padding_idx", [1, -4])
def test_padding_starts_at_zero_and_learns_nothing(padding_idx):
    layer = nn.Embedding(5, 3, padding_idx=padding_idx)
    assert layer.padding_idx == 1
    assert not layer.weight.detach().numpy()[1].any()
    layer(mg.tensor([1, 2, 1])).sum().backward()
    assert layer.weight.grad.numpy()[:, 0].tolist() == [0, 0, 1, 0, 0]


def test_long_rows_are_shortened_when_they_are_looked_up():
    layer = nn.Embedding(4, 2, max_norm=1.0)
    with mg.no_grad():
        layer.weight.copy_(mg.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0], [0.0, 0.0]]))
    y = layer(mg.tensor([0, 1, 0]))
    np.testing.assert_allclose(y.detach().numpy(), [[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]], rtol=1e-6)
    assert layer.weight.detach().numpy()[2].tolist() == [6.0, 8.0]  # nobody asked


def test_from_pretrained():
    table = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    assert (frozen.num_embeddings, frozen.embedding_dim) == (2, 2)
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    assert repr(nn.Embedding(5, 3, padding_idx=-1, max_norm=2.0)) == (
        "Embedding(5, 3, padding_idx=4, max_norm=2.0)"
    )


@pytest.mark.parametrize(
    "error, call, message",
    [
        (ValueError, lambda: nn.Embedding(-1, 2), "expected num_embeddings >= 0, got -1"),
        (ValueError, lambda: nn.Embedding(3, 2, padding_idx=3), "padding_idx within 3 rows, got 3"),
        (ValueError, lambda: nn.Embedding.from_pretrained(mg.zeros(3)), r"a table \(n, d\)"),
        (IndexError, lambda: nn.Embedding(3, 2)(mg.tensor([0, 3])), "embedding: index 3"),
        (IndexError, lambda: nn.Embedding(3, 2)(mg.tensor([-1])), "embedding: index -1"),
        (TypeError, lambda: nn.Embedding(3, 2)(mg.zeros(2)), "embedding"),
        (ValueError, lambda: mg.embedding(mg.tensor([0]), mg.zeros(3, 2), 5), "got 5"),
    ],
)
def test_bad_input(error, call, message):
    with pytest.raises(error, match=message):
        call()
