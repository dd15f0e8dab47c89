"""Optimisers against PyTorch: trajectories, defaults, state dictionaries."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from minigrad import optim  # noqa: E402

SHAPES = [(3, 4), (5,), (), (2, 1, 3)]
common = {
    "lr": st.floats(1e-4, 0.2),
    "weight_decay": st.sampled_from([0.0, 0.01, 0.3]),
    "maximize": st.booleans(),
}
adam = st.fixed_dictionaries(
    {
        **common,
        "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
        "eps": st.floats(1e-8, 1e-2),
        "amsgrad": st.booleans(),
    }
)
OPTIONS = {
    "SGD": st.fixed_dictionaries(
        {**common, "momentum": st.sampled_from([0.0, 0.9]), "dampening": st.sampled_from([0, 0.3])}
    ),
    "RMSprop": st.fixed_dictionaries(
        {
            **common,
            "alpha": st.floats(0.5, 0.999),
            "eps": st.floats(1e-8, 1e-2),
            "momentum": st.sampled_from([0.0, 0.8]),
            "centered": st.booleans(),
        }
    ),
    "Adam": st.fixed_dictionaries({"decoupled_weight_decay": st.booleans()}).flatmap(
        lambda more: adam.map(lambda options: {**options, **more})
    ),
    "AdamW": adam,
    "Adagrad": st.fixed_dictionaries(
        {
            **common,
            "lr_decay": st.sampled_from([0.0, 0.1]),
            "initial_accumulator_value": st.sampled_from([0.0, 0.5]),
            "eps": st.floats(1e-8, 1e-2),
        }
    ),
    "Adadelta": st.fixed_dictionaries(
        {**common, "rho": st.floats(0.5, 1.0), "eps": st.floats(1e-6, 1e-2)}
    ),
    "Adamax": st.fixed_dictionaries(
        {
            **common,
            "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
            "eps": st.floats(1e-8, 1e-2),
        }
    ),
    "NAdam": st.fixed_dictionaries(
        {
            **common,
            "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
            "eps": st.floats(1e-8, 1e-2),
            "momentum_decay": st.sampled_from([0.0, 4e-3, 0.1]),
            "decoupled_weight_decay": st.booleans(),
        }
    ),
    "RAdam": st.fixed_dictionaries(
        {
            **common,
            "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
            "eps": st.floats(1e-8, 1e-2),
            "decoupled_weight_decay": st.booleans(),
        }
    ),
}


def both(dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.normal(size=s), dtype) for s in SHAPES]
    ours = [mg.tensor(a.copy(), requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    return ours, theirs


def set_gradients(ours, theirs, rng, skip=()):
    for i, (p, q) in enumerate(zip(ours, theirs)):
        if i in skip:
            p.grad = q.grad = None
            continue
        g = np.asarray(rng.normal(size=p.shape), p.dtype)
        p.grad, q.grad = mg.Tensor(g.copy()), torch.tensor(g)


def assert_close(ours, theirs, rtol, atol):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", OPTIONS)
@given(data=st.data())
def test_trajectory(name, data):
    options = data.draw(OPTIONS[name])
    if name == "SGD" and options["momentum"] and not options["dampening"]:
        options["nesterov"] = data.draw(st.booleans())
    ours, theirs = both(seed=data.draw(st.integers(0, 1000)))
    a = getattr(optim, name)(ours, **options)
    b = getattr(torch.optim, name)(theirs, **options)
    rng = np.random.default_rng(0)
    for k in range(30):
        set_gradients(ours, theirs, rng, skip={1} if k % 3 == 0 else ())
        a.step()
        b.step()
    assert_close(ours, theirs, 1e-9, 1e-9)


@pytest.mark.parametrize("name", OPTIONS)
def test_float32(name):
    ours, theirs = both(np.float32)
    a, b = getattr(optim, name)(ours, lr=1e-2), getattr(torch.optim, name)(theirs, lr=1e-2)
    rng = np.random.default_rng(0)
    for _ in range(100):
        set_gradients(ours, theirs, rng)
        a.step()
        b.step()
    assert_close(ours, theirs, 1e-5, 1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_arguments_and_defaults(name):
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    assert set(ours) <= set(theirs)
    for key, parameter in ours.items():
        assert parameter.default == theirs[key].default, key


def as_arrays(state):
    return {
        i: {n: v.numpy() if torch.is_tensor(v) else v for n, v in entry.items()}
        for i, entry in state.items()
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("SGD", {"lr": 0.1}),
        ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}),
        ("Adam", {"lr": 0.01, "amsgrad": True}),
        ("AdamW", {"lr": 0.01}),
        ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
        ("Adagrad", {"lr": 0.01, "lr_decay": 0.1, "initial_accumulator_value": 0.1}),
        ("Adadelta", {"lr": 0.5}),
        ("Adamax", {"lr": 0.01}),
        ("NAdam", {"lr": 0.01}),
        ("RAdam", {"lr": 0.01, "betas": (0.9, 0.8)}),
    ],
)
def test_state_dicts_are_interchangeable(name, options):
    ours, theirs = both()
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    rng = np.random.default_rng(0)
    for _ in range(3):
        set_gradients(ours, theirs, rng, skip={1})
        a.step()
        b.step()
    mine, other = a.state_dict(), b.state_dict()
    assert list(mine["state"]) == [i for i in other["state"] if other["state"][i]]
    for i, entry in mine["state"].items():
        assert set(entry) == {n for n, v in other["state"][i].items() if v is not None}
        for key, value in entry.items():
            assert tuple(np.shape(value)) == tuple(np.shape(other["state"][i][key]))
    assert set(mine["param_groups"][0]) <= set(other["param_groups"][0])

    # theirs into a fresh one of ours
    fresh, _ = both(seed=1)
    for p, q in zip(fresh, theirs):
        p.data[...] = q.detach().numpy()
    c = getattr(optim, name)(fresh, lr=9.0)
    c.load_state_dict(
        {"state": as_arrays(other["state"]), "param_groups": copy.deepcopy(other["param_groups"])}
    )
    # ours into a fresh one of theirs
    _, fresh_theirs = both(seed=2)
    with torch.no_grad():
        for q, p in zip(fresh_theirs, ours):
            q.copy_(torch.tensor(p.detach().numpy()))
    d = getattr(torch.optim, name)(fresh_theirs, lr=9.0)
    state = {
        i: {
            n: torch.tensor(v.numpy().copy()) if isinstance(v, mg.Tensor) else v
            for n, v in entry.items()
        }
        for i, entry in mine["state"].items()
    }
    groups = [{**other["param_groups"][0], **mine["param_groups"][0]}]
    d.load_state_dict({"state": state, "param_groups": groups})
    for _ in range(3):
        set_gradients(ours, theirs, rng)
        for p, q, r, s in zip(fresh, fresh_theirs, ours, theirs):
            p.grad, q.grad = mg.Tensor(r.grad.data.copy()), s.grad.clone()
        for optimizer in (a, b, c, d):
            optimizer.step()
    for others in (theirs, fresh_theirs):
        assert_close(ours, others, 1e-12, 1e-12)
        assert_close(fresh, others, 1e-12, 1e-12)
