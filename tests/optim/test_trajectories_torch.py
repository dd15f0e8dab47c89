"""Two hundred steps on real losses, here and in PyTorch, in float64: groups with their own rates
and decays, a rate that changes, a parameter that is frozen for a while. And L-BFGS.

Some settings go round the optimum in circles that amplify rounding a thousandfold every few steps.
A second run of PyTorch from 1e-15 beside the start shows where that begins.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from minigrad import optim  # noqa: E402

SHAPES = [(5,), (2, 3), (), (4, 1)]
SIZE = 16  # elements in all
OPTIMISERS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.5,
            "dampening": 0.3}],
    "Adagrad": [{"lr": 0.3}, {"lr": 0.3, "lr_decay": 0.01, "initial_accumulator_value": 0.2}],
    "Adadelta": [{"lr": 1.0}, {"lr": 3.0, "rho": 0.8, "eps": 1e-4}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.5}],
    "Adam": [{}, {"amsgrad": True, "betas": (0.8, 0.95)}],
    "AdamW": [{}, {"amsgrad": True}],
    "Adamax": [{}, {"betas": (0.7, 0.9)}],
    "NAdam": [{}, {"momentum_decay": 0.05, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"betas": (0.9, 0.9), "decoupled_weight_decay": True}],
}  # fmt: skip


CHAOTIC = [("Adadelta", 1), ("RMSprop", 0), ("Adamax", 1), ("NAdam", 0)]


def loss_of(xp, matrix, vector, params, kind):
    """A random quadratic with condition number at most 10, or a bounded nonconvex function."""
    x = xp.cat([p.reshape(-1) for p in params])
    h = matrix @ x - vector
    if kind == "quadratic":
        return (h * h).sum() * 0.5
    return xp.tanh(h).sum() * 0.3 + (xp.sin(2 * x) * 0.1 + x * x * 0.5).sum()


def problem(seed):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))
    matrix = q * rng.uniform(0.3, 1.0, SIZE)
    vector = rng.normal(size=SIZE)
    return matrix, vector, [np.asarray(rng.normal(size=s)) for s in SHAPES]


def pairs(arrays):
    ours = [mg.tensor(a.copy(), requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    return ours, theirs


def groups(params):
    return [
        {"params": params[:1]},
        {"params": params[1:3], "lr": 0.03, "weight_decay": 0.1},
        {"params": params[3:], "weight_decay": 0.02},
    ]


CASES = [(name, k) for name, choices in OPTIMISERS.items() for k in range(len(choices))]


class Race:
    """One optimiser on its parameters, in either framework."""

    def __init__(self, module, xp, params, name, options, matrix, vector, kind):
        self.xp, self.params, self.kind = xp, params, kind
        self.matrix, self.vector = xp.tensor(matrix), xp.tensor(vector)
        self.sign = -1.0 if options["maximize"] else 1.0
        self.optimizer = getattr(module, name)(groups(params)[:2], **options)

    def step(self, number):
        optimizer, params = self.optimizer, self.params
        if number == 5:
            optimizer.add_param_group(groups(params)[2])
        if number in (60, 140):
            optimizer.param_groups[1]["lr"] *= 0.5
            optimizer.param_groups[0]["weight_decay"] = 0.05
        optimizer.zero_grad()
        loss = loss_of(self.xp, self.matrix, self.vector, params, self.kind)
        (self.sign * loss).backward()
        if number % 50 < 10:
            params[2].grad = None
        optimizer.step()
        return np.concatenate([p.detach().numpy().ravel() for p in params])


@pytest.mark.parametrize("kind", ["quadratic", "nonconvex"])
@pytest.mark.parametrize(("name", "k"), CASES)
def test_two_hundred_steps(name, k, kind):
    options = {"lr": 0.02, **OPTIMISERS[name][k], "maximize": kind == "nonconvex"}
    matrix, vector, arrays = problem(seed=k + 10 * len(name))
    ours, theirs = pairs(arrays)
    _, nearby = pairs([a + 1e-15 for a in arrays])
    mine = Race(optim, mg, ours, name, options, matrix, vector, kind)
    other = Race(torch.optim, torch, theirs, name, options, matrix, vector, kind)
    twin = Race(torch.optim, torch, nearby, name, options, matrix, vector, kind)
    for step in range(200):
        expected = other.step(step)
        if np.abs(twin.step(step) - expected).max() > 1e-12:
            break  # chaos: from here on nobody's rounding can be followed
        np.testing.assert_allclose(mine.step(step), expected, rtol=1e-10, atol=1e-10)
    assert step >= (25 if (name, k) in CHAOTIC else 199)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    search=st.sampled_from([None, "strong_wolfe"]),
    lr=st.sampled_from([0.3, 0.5, 1.0, 2.0]),
    max_iter=st.integers(1, 9),
    max_eval=st.none() | st.integers(1, 12),
    history=st.integers(1, 6),
    kind=st.sampled_from(["quadratic", "nonconvex"]),
)
def test_lbfgs(seed, search, lr, max_iter, max_eval, history, kind):
    if search is None:
        lr = min(lr, 0.5)
    options = {
        "lr": lr,
        "max_iter": max_iter,
        "max_eval": max_eval,
        "history_size": history,
        "line_search_fn": search,
        # Near the optimum, differences of losses are rounding alone.
        "tolerance_change": 1e-6,
        "tolerance_grad": 1e-5,
    }
    matrix, vector, arrays = problem(seed)
    ours, theirs = pairs(arrays)
    a, b = optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)

    def closure(xp, optimizer, params):
        def evaluate():
            optimizer.zero_grad()
            m, v = (mg.tensor(x) if xp is mg else torch.tensor(x) for x in (matrix, vector))
            loss = loss_of(xp, m, v, params, kind)
            loss.backward()
            return loss

        return evaluate

    for _ in range(6):
        mine, other = a.step(closure(mg, a, ours)), b.step(closure(torch, b, theirs))
        np.testing.assert_allclose(mine.item(), other.item(), rtol=1e-10, atol=1e-10)
        for p, q in zip(ours, theirs):
            np.testing.assert_allclose(
                p.detach().numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-10
            )
    mine, other = a.state_dict()["state"][0], b.state_dict()["state"][0]
    assert set(other) - {"al"} == set(mine)
    assert (mine["func_evals"], mine["n_iter"]) == (other["func_evals"], other["n_iter"])
    assert len(mine["old_dirs"]) == len(other["old_dirs"])

    # Its state goes on here.
    fresh = [mg.tensor(p.detach().numpy().copy(), requires_grad=True) for p in ours]
    c = optim.LBFGS(fresh)
    state = {
        name: [v.numpy() if torch.is_tensor(v) else v for v in value]
        if isinstance(value, list)
        else (value.numpy() if torch.is_tensor(value) else value)
        for name, value in other.items()
    }
    c.load_state_dict({"state": {0: state}, "param_groups": b.state_dict()["param_groups"]})
    c.step(closure(mg, c, fresh))
    a.step(closure(mg, a, ours))
    for p, q in zip(ours, fresh):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_lbfgs_arguments_and_defaults():
    import inspect

    ours = inspect.signature(optim.LBFGS).parameters
    theirs = inspect.signature(torch.optim.LBFGS).parameters
    assert [(n, p.default) for n, p in ours.items()] == [(n, p.default) for n, p in theirs.items()]


# ------------------------------------------------------------------------------------- averages
@pytest.mark.parametrize("rule", ["mean", "ema", "ema, one by one"])
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averaged_models(rule, use_buffers):
    def build(module, utils):
        net = module.Sequential(module.Linear(2, 3), module.BatchNorm1d(3), module.Linear(3, 1))
        options = {
            "mean": {},
            "ema": {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.9)},
            "ema, one by one": {"avg_fn": utils.get_ema_avg_fn(0.6)},
        }[rule]
        return net, utils.AveragedModel(net, use_buffers=use_buffers, **options)

    ours, average = build(mg.nn, optim.swa_utils)
    theirs, other = build(torch.nn, torch.optim.swa_utils)
    ours.double(), average.double(), theirs.double(), other.double()
    rng = np.random.default_rng(0)
    for _ in range(7):
        new = {
            name: rng.normal(size=value.shape) if value.dtype.kind == "f" else np.array(4)
            for name, value in ours.state_dict().items()
        }
        ours.load_state_dict(new)
        theirs.load_state_dict({n: torch.tensor(v) for n, v in new.items()})
        average.update_parameters(ours)
        other.update_parameters(theirs)
    mine, reference = average.state_dict(), other.state_dict()
    assert list(mine) == list(reference)
    for name, value in reference.items():
        if value.is_floating_point():  # it averages the counter too, and 4 becomes 3
            np.testing.assert_allclose(mine[name].numpy(), value.numpy(), rtol=1e-12, atol=1e-15)
    assert mine["n_averaged"].item() == 7 and mine["module.1.num_batches_tracked"].item() == 4


@settings(max_examples=300)
@given(
    seed=st.integers(0, 100_000),
    first=st.sampled_from([1e-3, 0.02, 0.3, 1.0, 4.0, 30.0]),
    waves=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    most=st.sampled_from([1, 2, 4, 8, 25]),
)
def test_line_search(seed, first, waves, most):
    """Along wavy bowls, from steps far too short to far too long: the same place, found with the
    same evaluations."""
    from torch.optim.lbfgs import _strong_wolfe as theirs

    from minigrad.optim.lbfgs import _strong_wolfe as ours

    rng = np.random.default_rng(seed)
    a, b, c, w = rng.uniform(0.1, 2), rng.uniform(0.2, 6), rng.normal(), rng.uniform(1, 6)

    def at(t):
        value = 0.5 * a * (t - b) ** 2 + waves * np.sin(w * t + c)
        return float(value), np.array([a * (t - b) + waves * w * np.cos(w * t + c)])

    loss, gradient = at(0.0)
    direction = -np.sign(gradient)
    slope = float(gradient @ direction)
    visited = [0.0]

    def along(t):
        visited.append(t)
        return at(t * direction[0])

    value, g, t, count = ours(along, first, direction, loss, gradient, slope, most)

    def objective(x, t, d):
        value, vector = at(float(t) * float(d[0]))
        return value, torch.tensor(vector)

    f2, g2, t2, count2 = theirs(
        objective, None, first, torch.tensor(direction), loss, torch.tensor(gradient),
        torch.tensor(slope, dtype=torch.float64), max_ls=most,
    )  # fmt: skip
    assert count == count2
    # A cubic through two points has their difference squared under its rounding errors.
    nearest = np.abs(np.diff(visited)).min()
    rtol = 1e-9 + 1e-14 / max(nearest, 1e-6) ** 2
    np.testing.assert_allclose([value, t, g[0]], [f2, float(t2), g2.item()], rtol=rtol, atol=1e-12)
