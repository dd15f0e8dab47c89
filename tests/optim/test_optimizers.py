"""Optimisers: closed forms, who is stepped and who is not, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.testing.strict import strict
from tests.optim.common import (
    MAKERS,
    SHAPES,
    assert_equal,
    every,
    parameters,
    run,
    set_gradients,
    values,
)


# ------------------------------------------------------------------------------- trajectories
def test_sgd_closed_form():
    # On f(x) = x^2 / 2 a step multiplies x by 1 - lr.
    x = mg.tensor(np.array([3.0]), requires_grad=True)
    optimizer = optim.SGD([x], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (x * x * 0.5).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(x.detach().numpy(), 3 * 0.9**20, rtol=1e-12)


def test_adam_first_step_is_the_learning_rate():
    x = mg.tensor(np.array([1.0, -2.0, 30.0]), requires_grad=True)
    optimizer = optim.Adam([x], lr=0.01, eps=0.0)
    (x * mg.tensor(np.array([1e-3, 5.0, -1e4]))).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(x.detach().numpy(), [0.99, -2.01, 30.01], rtol=1e-12)


@every
def test_learns(maker):
    mg.manual_seed(1)
    net = mg.nn.Sequential(mg.nn.Linear(2, 16), mg.nn.Tanh(), mg.nn.Linear(16, 1))
    x = mg.randn(64, 2)
    y = x[:, :1] * x[:, 1:]
    optimizer = maker(net.parameters())
    optimizer.param_groups[0].update(weight_decay=0.0, lr=optimizer.param_groups[0]["lr"] / 5)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = mg.nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


# --------------------------------------------------------------------- memory and who is stepped
def stepped(saved: dict) -> set[int]:
    """The parameters whose state has seen a step (Adagrad has a state before the first)."""
    return {i for i, entry in saved["state"].items() if entry.get("step", 1)}


@every
def test_nothing_that_the_user_holds_is_overwritten(maker):
    params = parameters()
    held = [p.data for p in params]
    before = [a.copy() for a in held]
    optimizer = maker(params)
    rng = np.random.default_rng(0)
    set_gradients(params, rng)
    gradients = [p.grad for p in params]
    arrays = [g.data for g in gradients]
    kept = [a.copy() for a in arrays]
    optimizer.step()
    set_gradients(params, rng)
    optimizer.step()
    assert_equal(held, before)
    assert_equal(arrays, kept)
    assert all(g.data is a for g, a in zip(gradients, arrays))


def test_parameters_share_one_buffer():
    params = parameters()
    optim.SGD(params, lr=0.1)
    assert len({id(p.data.base) for p in params}) == 1
    assert [p.shape for p in params] == SHAPES


@every
def test_no_gradient_no_step(maker):
    params, alone = parameters(), parameters()
    together, apart = maker(params), maker([alone[1], alone[3]])
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    before = values(params)
    for _ in range(3):
        set_gradients([params[1], params[3]], rng)
        set_gradients([alone[1], alone[3]], same)
        together.step()
        apart.step()
    after = values(params)
    assert_equal([after[0], after[2], after[4]], [before[0], before[2], before[4]])
    assert_equal([after[1], after[3]], values([alone[1], alone[3]]))
    assert stepped(together.state_dict()) <= {1, 3}

    # A parameter that joins late begins at step one, whatever the others have seen.
    set_gradients(params, rng)
    first = mg.tensor(before[0], requires_grad=True)
    late = maker([first])
    first.grad, alone[1].grad, alone[3].grad = (params[i].grad for i in (0, 1, 3))
    for optimizer in (together, late, apart):
        optimizer.step()
    now = values(params)
    assert_equal([now[0], now[1], now[3]], values([first, alone[1], alone[3]]))


@every
def test_gradients_need_not_be_contiguous(maker):
    a, b = parameters(shapes=[(4, 6)]), parameters(shapes=[(4, 6)])
    first, second = maker(a), maker(b)
    g = np.random.default_rng(0).normal(size=(6, 4))
    for _ in range(3):
        a[0].grad, b[0].grad = mg.Tensor(g.T), mg.Tensor(g.T.copy())
        first.step()
        second.step()
    assert_equal(values(a), values(b))


@every
def test_replaced_data_is_found(maker):
    params, same = parameters(), parameters()
    one, other = maker(params), maker(same)
    run(one, params, 2)
    run(other, same, 2)
    for p in params:
        p.data = p.data.copy()  # what module.to() or a user does
    run(one, params, 3, seed=2)
    run(other, same, 3, seed=2)
    assert_equal(values(params), values(same))
    assert all(p.data.base is params[0].data.base for p in params)


def test_weights_clamped_in_place_stay_where_they_are():  # as a Wasserstein critic's are
    params = parameters()
    optimizer = optim.RMSprop(params, lr=0.5)
    arrays = None
    for k in range(3):
        run(optimizer, params, 1, seed=k)
        with mg.no_grad():
            for p in params:
                p.clamp_(-0.01, 0.01)
        arrays = arrays or [p.data for p in params]
        assert all(abs(p.detach().numpy()).max(initial=0) <= 0.01 for p in params)
    assert all(p.data is a for p, a in zip(params, arrays))


def test_state_follows_a_change_of_dtype():
    params = parameters(dtype=np.float32)
    optimizer = optim.Adam(params)
    run(optimizer, params, 2)
    before = optimizer.state[params[0]]["exp_avg"].numpy().copy()
    for p in params:
        p.data = p.data.astype(np.float64)
    run(optimizer, params, 1)
    state = optimizer.state[params[0]]
    assert state["exp_avg"].dtype == np.float64 and state["step"] == 3
    g = np.random.default_rng(1).normal(size=params[0].shape)
    np.testing.assert_allclose(state["exp_avg"].numpy(), 0.9 * before + 0.1 * g, rtol=1e-6)


def test_a_changed_shape_is_an_error_and_changes_nothing():
    params = parameters()
    optimizer = optim.Adam(params)
    run(optimizer, params, 1)
    params[0].data = np.ones((4, 3))
    set_gradients(params, np.random.default_rng(0))
    before = values(params)
    with pytest.raises(ValueError, match=r"Adam: .*from \(3, 4\) to \(4, 3\)"):
        optimizer.step()
    assert_equal(values(params), before)


def test_parameters_that_share_memory_are_refused():
    params = parameters(shapes=[(3, 4), (3, 4), (4,)])
    params[1].data = params[0].data
    arrays = [p.data for p in params]
    with pytest.raises(ValueError, match="share memory; to tie them"):
        optim.SGD(params)
    assert all(p.data is a for p, a in zip(params, arrays))
    params[1].data = np.ones((3, 4))
    optimizer = optim.SGD(params)
    params[2].data = params[0].data[0]  # later, and only in part
    set_gradients(params, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(4,\) share memory"):
        optimizer.step()


@every
def test_two_optimisers_on_the_same_parameters(maker):
    params, same = parameters(), parameters()
    a, b = maker(params), maker(params[2:])
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    # The same without flat buffers being shared or stolen: each moves its own copies.
    for _ in range(3):
        for optimizer, members in ((a, params), (b, params[2:])):
            set_gradients(members, rng)
            optimizer.step()
    c, d = maker(same), maker(parameters()[2:])
    mirror = [p for group in d.param_groups for p in group["params"]]
    for _ in range(3):
        set_gradients(same, again)
        c.step()
        for p, q in zip(mirror, same[2:]):
            p.data[...] = q.data
        set_gradients(mirror, again)
        d.step()
        for p, q in zip(mirror, same[2:]):
            q.data[...] = p.data
    assert_equal(values(params), values(same))


def test_mixed_dtypes_in_one_group():
    a = parameters(dtype=np.float32, shapes=[(3,), (2,)])
    b = parameters(dtype=np.float64, shapes=[(4,), (2, 2)])
    params = [a[0], b[0], a[1], b[1]]
    optimizer = optim.Adam(params)
    run(optimizer, params, 3)
    assert [p.dtype for p in params] == [np.float32, np.float64, np.float32, np.float64]
    assert sorted(optimizer.state_dict()["state"]) == [0, 1, 2, 3]


def test_a_step_invalidates_graphs_that_need_the_old_values():
    w = mg.tensor(np.ones(3), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    w.grad = mg.tensor(np.ones(3))
    optimizer.step()
    with pytest.raises(RuntimeError):
        loss.backward()


def test_step_on_a_device_never_waits():
    params = [
        mg.Tensor(strict.asarray(p.data)).requires_grad_() for p in parameters(dtype=np.float32)
    ]
    for maker in MAKERS.values():
        optimizer = maker(params)
        for p in params:
            p.grad = mg.Tensor(strict.ones_like(p.data))
        with strict.count() as count:
            optimizer.step()
            mg.nn.utils.clip_grad_norm_(params, 1.0)
        assert count.synchronisations == 0
        assert all(p.device == "strict" for p in params)


# ------------------------------------------------------------------------- groups and closures
def test_groups_have_their_own_hyperparameters():
    params, same = parameters(), parameters()
    both = optim.SGD(
        [{"params": params[:2]}, {"params": params[2:], "lr": 0.5, "momentum": 0.9}], lr=0.1
    )
    one, two = optim.SGD(same[:2], lr=0.1), optim.SGD(same[2:], lr=0.5, momentum=0.9)
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(3):
        set_gradients(params, rng)
        set_gradients(same, again)
        both.step()
        one.step()
        two.step()
    assert_equal(values(params), values(same))
    assert both.param_groups[0]["momentum"] == 0.0


def test_add_param_group():
    params = parameters()
    optimizer = optim.Adam(params[:2])
    run(optimizer, params[:2], 2)
    optimizer.add_param_group({"params": params[2], "lr": 0.5})
    assert len(optimizer.param_groups) == 2 and optimizer.param_groups[1]["betas"] == (0.9, 0.999)
    run(optimizer, params, 1)
    assert [optimizer.state[p]["step"] for p in params[:3]] == [3, 3, 1]
    with pytest.raises(ValueError, match="more than once"):
        optimizer.add_param_group({"params": params[2]})
    assert len(optimizer.param_groups) == 2


def test_hyperparameters_may_change_between_steps():
    params, same = parameters(), parameters()
    a, b = optim.SGD(params, lr=0.1), optim.SGD(same, lr=0.3)
    a.param_groups[0]["lr"] = 0.3
    run(a, params, 1)
    run(b, same, 1)
    assert_equal(values(params), values(same))


def test_closure():
    x = mg.tensor(np.array([2.0]), requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 4.0
    assert x.detach().numpy() == 0.0


def test_zero_grad():
    params = parameters()
    optimizer = optim.SGD(params)
    set_gradients(params, np.random.default_rng(0))
    held = params[0].grad
    held.data[0, 0] = np.nan
    optimizer.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in params)
    assert np.isnan(held.numpy()[0, 0])
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


# ------------------------------------------------------------------------------------ bad input
def test_bad_parameters():
    x = mg.ones(3, requires_grad=True)
    for params, error, message in [
        ([], ValueError, "empty"),
        ([x, x], ValueError, "more than once"),
        ([{"params": [x]}, {"params": [x]}], ValueError, "more than once"),
        ([x * 2], ValueError, "leaf"),
        ([3.0], TypeError, "expected tensors"),
        ([mg.tensor([1, 2])], TypeError, "floating"),
        (x, TypeError, "single tensor"),
        ([{"lr": 0.1}], TypeError, "'params'"),
        ([{"params": []}], ValueError, "empty"),
    ]:
        data = x.data
        with pytest.raises(error, match=f"SGD: .*{message}"):
            optim.SGD(params, lr=0.1)
        assert x.data is data


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (optim.SGD, {"lr": -0.1}),
        (optim.SGD, {"lr": float("nan")}),
        (optim.SGD, {"momentum": -1.0}),
        (optim.SGD, {"weight_decay": -1.0}),
        (optim.SGD, {"nesterov": True}),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        (optim.RMSprop, {"alpha": -1.0}),
        (optim.RMSprop, {"eps": -1.0}),
        (optim.Adam, {"betas": (1.0, 0.9)}),
        (optim.Adam, {"betas": (0.9, -0.1)}),
        (optim.AdamW, {"eps": float("inf")}),
        (optim.Adagrad, {"lr_decay": -1.0}),
        (optim.Adagrad, {"initial_accumulator_value": -1.0}),
        (optim.Adadelta, {"rho": 1.5}),
        (optim.Adamax, {"betas": (0.9, 1.0)}),
        (optim.NAdam, {"momentum_decay": -1.0}),
        (optim.RAdam, {"betas": (-0.1, 0.9)}),
    ],
)
def test_bad_hyperparameters(make, options):
    with pytest.raises(ValueError, match=make.__name__):
        make(parameters(), **options)


def test_hyperparameters_of_the_wrong_type():
    with pytest.raises(TypeError, match="SGD: .*lr"):
        optim.SGD(parameters(), lr="fast")
    with pytest.raises(TypeError, match="Adam: .*betas"):
        optim.Adam(parameters(), betas=0.9)


@every
def test_a_gradient_that_does_not_fit_changes_nothing(maker):
    params = parameters()
    optimizer = maker([{"params": params[:2]}, {"params": params[2:]}])
    for bad, error, message in [
        (np.ones((1, 2, 3)), ValueError, r"shape \(2, 1, 3\), got \(1, 2, 3\)"),
        (np.ones((2, 1, 3), np.float32), TypeError, "dtype float64, got float32"),
        (strict.ones((2, 1, 3)), RuntimeError, "on cpu, got strict"),
    ]:
        set_gradients(params, np.random.default_rng(0))
        params[3].grad = mg.Tensor(bad)
        before = values(params)
        with pytest.raises(error, match=message):
            optimizer.step()
        assert_equal(values(params), before)
        assert stepped(optimizer.state_dict()) == set()


def test_repr():
    text = repr(optim.SGD(parameters(), lr=0.1))
    assert text == (
        "SGD (\nParameter Group 0\n    dampening: 0.0\n    lr: 0.1\n    maximize: False\n"
        "    momentum: 0.0\n    nesterov: False\n    weight_decay: 0.0\n)"
    )
