"""Clipping gradients, and all parameters as one vector."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.nn import utils


def tensors(seed: int = 0, scale: float = 1.0) -> list[mg.Tensor]:
    rng = np.random.default_rng(seed)
    result = []
    for shape in [(3, 4), (), (0,), (5,), (2,)]:
        p = mg.tensor(rng.normal(size=shape), requires_grad=True)
        p.grad = mg.Tensor(np.asarray(scale * rng.normal(size=shape)))
        result.append(p)
    result[-1].grad = None
    return result


def flat(params) -> np.ndarray:
    return np.concatenate([p.grad.numpy().reshape(-1) for p in params if p.grad is not None])


@given(
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    max_norm=st.floats(0, 10),
    p=st.sampled_from([1.0, 2.0, 3.0, math.inf]),
)
def test_clip_by_norm(scale, max_norm, p):
    params = tensors(scale=scale)
    gradients = [t.grad for t in params]
    before = flat(params)
    norm = np.linalg.norm(before, p)
    result = utils.clip_grad_norm_(params, max_norm, p)
    assert result.shape == () and result.item() == pytest.approx(norm, rel=1e-12)
    expected = before * min(1.0, max_norm / (norm + 1e-6))
    np.testing.assert_allclose(flat(params), expected, rtol=1e-12)
    assert np.linalg.norm(flat(params), p) <= max_norm * (1 + 1e-12)
    assert all(t.grad is g for t, g in zip(params, gradients))


def test_clip_by_norm_of_non_contiguous_and_single_gradients():
    p = mg.zeros(4, 3, requires_grad=True)
    p.grad = mg.Tensor(np.full((3, 4), 2.0, np.float32).T)
    assert utils.clip_grad_norm_(p, 1.0).item() == pytest.approx(math.sqrt(48), rel=1e-6)
    np.testing.assert_allclose(p.grad.numpy(), 2 / math.sqrt(48), rtol=1e-6)
    assert p.grad.dtype == np.float32


def test_nothing_to_clip():
    assert utils.clip_grad_norm_([mg.ones(2, requires_grad=True)], 1.0).item() == 0.0
    utils.clip_grad_value_([mg.ones(2, requires_grad=True)], 1.0)


def test_norms_that_are_not_finite():
    params = tensors()
    params[0].grad.data[0, 0] = np.nan
    before = flat(params)
    with pytest.raises(RuntimeError, match="nan"):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(flat(params), before)
    assert math.isnan(utils.clip_grad_norm_(params, 1.0).item())


def test_clip_by_value():
    params = tensors()
    before = flat(params)
    utils.clip_grad_value_(params, 0.3)
    np.testing.assert_array_equal(flat(params), np.clip(before, -0.3, 0.3))


def test_bad_input():
    params = tensors()
    before = flat(params)
    for call in (
        lambda: utils.clip_grad_norm_(params, -1.0),
        lambda: utils.clip_grad_norm_(params, math.nan),
        lambda: utils.clip_grad_norm_(params, 1.0, 0.0),
        lambda: utils.clip_grad_value_(params, -1.0),
        lambda: utils.vector_to_parameters(mg.zeros(3, dtype=mg.float64), params),
        lambda: utils.vector_to_parameters(mg.zeros(4, 5, dtype=mg.float64), params),
    ):
        with pytest.raises(ValueError):
            call()
    np.testing.assert_array_equal(flat(params), before)


def test_vector_there_and_back():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (13,)
    vector.sum().backward()
    assert all((p.grad.numpy() == 1).all() for p in net.parameters())
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    utils.vector_to_parameters(vector.detach(), other.parameters())
    for p, q in zip(net.parameters(), other.parameters()):
        np.testing.assert_array_equal(p.data, q.data)
    other[0].weight.data += 1  # a copy, not a view
    np.testing.assert_array_equal(utils.parameters_to_vector(net.parameters()).data, vector.data)


def test_frozen_changes_nothing():
    """Neither weights nor statistics, though gradients reach the input and a batch is used."""
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
    net[0].bias.requires_grad = False
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    x = mg.randn(4, 2, requires_grad=True)
    with utils.frozen(net):
        inside = net(x)
    inside.sum().backward()
    assert (x.grad.numpy() != 0).any() and all(p.grad is None for p in net.parameters())
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    # As it was again: what could learn learns, what could not does not.
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True, True, True]
    net(x).sum().backward()
    assert net[0].weight.grad is not None and net[1].num_batches_tracked.item() == 1
    with pytest.raises(KeyError), utils.frozen(net):
        net(x)
        raise KeyError
    assert net[0].weight.requires_grad and net[1].num_batches_tracked.item() == 1


def test_clipping_weights_and_not_buffers():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    net[1].running_var.data[...] = 5
    optimizer = mg.optim.Adam(net.parameters())  # which keeps the weights in one flat buffer
    net(mg.randn(4, 2)).sum().backward()
    optimizer.step()
    signs = np.sign(net[0].weight.detach().numpy())
    utils.clip_parameters_(net.parameters(), 0.01)
    for p in net.parameters():
        assert abs(p.detach().numpy()).max() <= np.float32(0.01)
    np.testing.assert_array_equal(np.sign(net[0].weight.detach().numpy()), signs)
    assert net[1].running_var.numpy().min() > 4
    loss = (net[0].weight * net[0].weight).sum()  # a value that the tape needs has changed
    utils.clip_parameters_(net[0].weight, 0.005)
    with pytest.raises(RuntimeError):
        loss.backward()
    with pytest.raises(ValueError, match="expected clip_value >= 0"):
        utils.clip_parameters_(net.parameters(), -1)
