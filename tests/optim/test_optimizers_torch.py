"""Optimisers and schedules against PyTorch: trajectories, state dictionaries, sequences."""

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
from minigrad.optim import lr_scheduler as schedules  # noqa: E402

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
    "Adam": adam,
    "AdamW": adam,
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


# ------------------------------------------------------------------------------------ schedules
SCHEDULES = {
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "MultiStepLR": {"milestones": [2, 5, 5, 9], "gamma": 0.3},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 7, "eta_min": 0.01},
    "LinearLR": {"start_factor": 0.2, "total_iters": 4},
    "ConstantLR": {"factor": 0.25, "total_iters": 3},
    "LambdaLR": {"lr_lambda": lambda epoch: 1 / (1 + epoch)},
}


def optimisers():
    ours, theirs = both()
    groups = [{"lr": 0.5}, {"lr": 2.0}]
    a = optim.SGD([{"params": [p], **g} for p, g in zip(ours, groups)])
    b = torch.optim.SGD([{"params": [q], **g} for q, g in zip(theirs, groups)], lr=0.1)
    b.step()  # or it warns about the order
    return a, b


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def step_all(a, b, ours, theirs, steps=30):
    for _ in range(steps):
        b.step()
        for schedule in (*ours, *theirs):
            schedule.step()
        np.testing.assert_allclose(rates(a), rates(b), rtol=1e-12, atol=1e-15)
    for mine, other in zip(ours, theirs):
        np.testing.assert_allclose(mine.get_last_lr(), other.get_last_lr(), rtol=1e-12)
        assert mine.last_epoch == other.last_epoch


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    a, b = optimisers()
    ours = getattr(schedules, name)(a, **SCHEDULES[name])
    theirs = getattr(torch.optim.lr_scheduler, name)(b, **SCHEDULES[name])
    assert rates(a) == pytest.approx(rates(b), rel=1e-12)
    step_all(a, b, [ours], [theirs])


@pytest.mark.parametrize("first", ["LinearLR", "ConstantLR", "StepLR"])
@pytest.mark.parametrize("second", ["CosineAnnealingLR", "ExponentialLR", "MultiStepLR"])
def test_chained_schedules(first, second):
    a, b = optimisers()
    ours = [getattr(schedules, n)(a, **SCHEDULES[n]) for n in (first, second)]
    theirs = [getattr(torch.optim.lr_scheduler, n)(b, **SCHEDULES[n]) for n in (first, second)]
    step_all(a, b, ours, theirs, steps=12)


@given(
    t_max=st.integers(1, 9),
    eta_min=st.floats(0, 0.4),
    gamma=st.floats(0.1, 1.0),
    step_size=st.integers(1, 9),
)
def test_schedules_with_any_hyperparameters(t_max, eta_min, gamma, step_size):
    for name, options in [
        ("CosineAnnealingLR", {"T_max": t_max, "eta_min": eta_min}),
        ("StepLR", {"step_size": step_size, "gamma": gamma}),
        ("LinearLR", {"start_factor": gamma, "end_factor": 0.3, "total_iters": step_size}),
    ]:
        a, b = optimisers()
        ours = getattr(schedules, name)(a, **options)
        theirs = getattr(torch.optim.lr_scheduler, name)(b, **options)
        step_all(a, b, [ours], [theirs], steps=8)


@given(
    metrics=st.lists(st.floats(-1, 1), min_size=1, max_size=40),
    mode=st.sampled_from(["min", "max"]),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    threshold=st.sampled_from([0.0, 1e-4, 0.1]),
    patience=st.integers(0, 3),
    cooldown=st.integers(0, 3),
    min_lr=st.sampled_from([0.0, 0.3, [0.1, 1.0]]),
)
def test_plateau(metrics, mode, threshold_mode, threshold, patience, cooldown, min_lr):
    a, b = optimisers()
    options = {
        "mode": mode,
        "factor": 0.5,
        "patience": patience,
        "threshold": threshold,
        "threshold_mode": threshold_mode,
        "cooldown": cooldown,
        "min_lr": min_lr,
    }
    ours = schedules.ReduceLROnPlateau(a, **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options)
    for metric in metrics:
        ours.step(metric)
        theirs.step(metric)
        assert rates(a) == rates(b)
        assert (ours.best, ours.num_bad_epochs, ours.cooldown_counter) == (
            theirs.best,
            theirs.num_bad_epochs,
            theirs.cooldown_counter,
        )
    assert ours.get_last_lr() == theirs.get_last_lr()


@pytest.mark.parametrize("name", [*SCHEDULES, "ReduceLROnPlateau"])
def test_schedule_arguments_and_defaults(name):
    ours = inspect.signature(getattr(schedules, name)).parameters
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    assert list(ours) == list(theirs)
    for key, parameter in ours.items():
        assert parameter.default == theirs[key].default, key
