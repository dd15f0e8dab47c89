"""L-BFGS: minima, the Wolfe conditions, state, and bad input."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import optim
from minigrad.optim.lbfgs import _strong_wolfe


def problem(seed: int, n: int = 6):
    """A quadratic x'Ax/2 - b'x, its parameters (two tensors) and its minimum."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    a = (q * rng.uniform(0.1, 2.0, n)) @ q.T
    b = rng.normal(size=n)
    params = [mg.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 2), (n - 4,))]
    matrix, vector = mg.tensor(a), mg.tensor(b)

    def closure_of(optimizer):
        def closure():
            optimizer.zero_grad()
            x = mg.cat([p.reshape(-1) for p in params])
            loss = (x @ matrix @ x) * 0.5 - (vector * x).sum()
            loss.backward()
            return loss

        return closure

    return params, closure_of, np.linalg.solve(a, b)


def flat(params) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in params])


@given(seed=st.integers(0, 2**32 - 1), search=st.sampled_from([None, "strong_wolfe"]))
def test_finds_the_minimum_of_a_quadratic(seed, search):
    params, closure_of, best = problem(seed)
    optimizer = optim.LBFGS(params, max_iter=200, line_search_fn=search, tolerance_change=0.0)
    optimizer.step(closure_of(optimizer))
    np.testing.assert_allclose(flat(params), best, atol=1e-5)


def test_the_first_direction_is_steepest_descent():
    params, closure_of, _ = problem(0)
    start = flat(params)
    optimizer = optim.LBFGS(params, lr=0.5, max_iter=1)
    closure_of(optimizer)()
    gradient = np.concatenate([p.grad.numpy().ravel() for p in params])
    optimizer.step(closure_of(optimizer))
    t = 0.5 * min(1.0, 1 / abs(gradient).sum())
    np.testing.assert_allclose(flat(params), start - t * gradient, rtol=1e-13)


def test_the_direction_is_newtons_when_the_history_spans_the_space():
    # On a quadratic with exact line search n steps make H the inverse Hessian; the secant equation
    # H y = s holds for the latest pair after any step.
    params, closure_of, _ = problem(3)
    optimizer = optim.LBFGS(params, max_iter=5, line_search_fn="strong_wolfe")
    optimizer.step(closure_of(optimizer))
    state = optimizer.state_dict()["state"][0]
    y, s = state["old_dirs"][-1].numpy(), state["old_stps"][-1].numpy()
    memory = {
        "old_dirs": [a.numpy() for a in state["old_dirs"]],
        "old_stps": [a.numpy() for a in state["old_stps"]],
        "ro": state["ro"],
        "H_diag": state["H_diag"],
    }
    np.testing.assert_allclose(-optim.lbfgs._direction(memory, y), s, rtol=1e-9, atol=1e-12)


@given(
    seed=st.integers(0, 2**32 - 1),
    first=st.sampled_from([1e-3, 0.1, 1.0, 10.0, 100.0]),
)
def test_wolfe_conditions(seed, first):
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.1, 2.0), rng.uniform(0.5, 3.0), rng.normal()

    def at(t):  # a wavy bowl along the line
        return 0.5 * a * (t - b) ** 2 + 0.2 * np.sin(2 * t + c), np.array(
            [a * (t - b) + 0.4 * np.cos(2 * t + c)]
        )

    loss, gradient = at(0.0)
    direction = -np.sign(gradient)
    slope = float(gradient @ direction)
    if slope == 0:
        return

    def along(t):
        value, g = at(t * direction[0])
        return float(value), g

    value, g, t, count = _strong_wolfe(
        along, first, direction, float(loss), gradient, slope, most=60
    )
    assert value <= loss + 1e-4 * t * slope
    assert abs(float(g @ direction)) <= 0.9 * abs(slope)
    assert count <= 61 and (value, g) == along(t)


def scripted(answers: list[tuple[float, float]], most: int) -> tuple[list[float], float]:
    """Where a line search looks that starts at loss 0 and slope -1 and is given these losses and
    slopes, and what it settles on."""
    places: list[float] = []

    def at(t: float):
        loss, slope = answers[len(places)]
        places.append(t)
        return loss, np.array([slope])

    direction = np.ones(1)
    _, _, t, _ = _strong_wolfe(at, 1.0, direction, 0.0, np.array([-1.0]), -1.0, most)
    return places, t


def test_a_small_decrease_is_enough():
    # 1e-4 of what the slope at the start promises, and 0.9 of that slope.
    assert scripted([(-2e-4, -0.5)], 10) == ([1.0], 1.0)
    places, _ = scripted([(-5e-5, -0.5), (-1.0, 0.0)], 10)
    assert len(places) == 2 and places[1] < 1.0
    places, _ = scripted([(-1.0, -0.91), (-5.0, 0.0)], 10)
    assert len(places) == 2 and 1.01 <= places[1] <= 10.0


def test_a_rise_ends_the_search_outwards_from_the_third_place_on():
    steep = -0.95
    places, _ = scripted([(-3.0, steep), (-2.0, steep), (-4.0, steep), (-3.5, steep), (-9, 0.0)], 9)
    first, second, third, fourth, fifth = places
    assert first < second < third < fourth  # the second was higher, and it went on all the same
    assert third < fifth < fourth


def test_counts_and_limits():
    params, closure_of, _ = problem(1)
    optimizer = optim.LBFGS(params, lr=0.1, max_iter=4, history_size=2)
    calls = 0
    inner = closure_of(optimizer)

    def closure():
        nonlocal calls
        calls += 1
        return inner()

    first = inner().item()
    for _ in range(2):
        loss = optimizer.step(closure)
    state = optimizer.state_dict()["state"][0]
    assert state["n_iter"] == 8 and state["func_evals"] == calls == 8
    assert len(state["old_dirs"]) == len(state["old_stps"]) == len(state["ro"]) == 2
    assert loss.item() < first


def test_nothing_to_do_at_the_minimum():
    x = mg.tensor(np.zeros(3), requires_grad=True)
    optimizer = optim.LBFGS([x])

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 0
    assert (x.detach().numpy() == 0).all()


def test_parameters_without_a_gradient_stay():
    x = mg.tensor(np.ones(2), requires_grad=True)
    idle = mg.tensor(np.ones((2, 2)), requires_grad=True)
    optimizer = optim.LBFGS([idle, x], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((x - 3) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(x.detach().numpy(), 3, atol=1e-6)
    assert (idle.detach().numpy() == 1).all() and idle.grad is None


def test_restored_copied_and_moved_optimisers_go_on_alike():
    params, closure_of, _ = problem(2)
    optimizer = optim.LBFGS(params, lr=0.3, max_iter=3)
    optimizer.step(closure_of(optimizer))
    saved = copy.deepcopy(optimizer.state_dict())
    start = [p.detach().numpy().copy() for p in params]
    optimizer.step(closure_of(optimizer))
    expected = flat(params)

    # A new one, with the state.
    for p, a in zip(params, start):
        p.data[...] = a
    restored = optim.LBFGS(params)
    restored.load_state_dict(saved)
    restored.step(closure_of(restored))
    np.testing.assert_array_equal(flat(params), expected)

    # The parameters' data replaced in between.
    for p, a in zip(params, start):
        p.data = a.copy()
    restored.load_state_dict(saved)
    restored.step(closure_of(restored))
    np.testing.assert_array_equal(flat(params), expected)

    twin = copy.deepcopy(restored)
    mine, other = restored.state_dict()["state"][0], twin.state_dict()["state"][0]
    assert mine["n_iter"] == other["n_iter"]
    np.testing.assert_array_equal(mine["d"].numpy(), other["d"].numpy())
    assert not np.shares_memory(mine["d"].numpy(), other["d"].numpy())


def test_foreign_states_change_nothing():
    params, closure_of, _ = problem(4)
    optimizer = optim.LBFGS(params, max_iter=5)
    optimizer.step(closure_of(optimizer))
    saved = optimizer.state_dict()
    for message, change in [
        ("under parameter 0", {"state": {3: {}}}),
        ("expected", {"state": {0: {"exp_avg": np.zeros(6)}}}),
        ("cannot read d", {"state": {0: {**saved["state"][0], "d": np.zeros(5)}}}),
        ("one length", {"state": {0: {**saved["state"][0], "ro": []}}}),
        ("groups", {"param_groups": []}),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict({**saved, **change})
    assert optimizer.state_dict()["state"][0]["n_iter"] == 5


def test_bad_input():
    x, y = mg.zeros(2, requires_grad=True), mg.zeros(2, dtype=mg.float64, requires_grad=True)
    with pytest.raises(ValueError, match="one dtype"):
        optim.LBFGS([x, y])
    with pytest.raises(ValueError, match="one group"):
        optim.LBFGS([{"params": [x]}, {"params": [y]}])
    with pytest.raises(ValueError, match="one group"):
        optim.LBFGS([x]).add_param_group({"params": [mg.zeros(1, requires_grad=True)]})
    with pytest.raises(ValueError, match="strong_wolfe"):
        optim.LBFGS([x], line_search_fn="armijo")
    with pytest.raises(ValueError, match="history_size"):
        optim.LBFGS([x], history_size=0)
    with pytest.raises(TypeError, match="closure"):
        optim.LBFGS([x]).step()
