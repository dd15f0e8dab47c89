"""Learning-rate schedules against PyTorch: the same sequences, alone and combined."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from minigrad import optim  # noqa: E402
from minigrad.optim import lr_scheduler as schedules  # noqa: E402

theirs_of = torch.optim.lr_scheduler

SCHEDULES = {
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "MultiStepLR": {"milestones": [2, 5, 5, 9], "gamma": 0.3},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 7, "eta_min": 0.01},
    "LinearLR": {"start_factor": 0.2, "total_iters": 4},
    "ConstantLR": {"factor": 0.25, "total_iters": 3},
    "LambdaLR": {"lr_lambda": lambda epoch: 1 / (1 + epoch)},
    "MultiplicativeLR": {"lr_lambda": [lambda epoch: 0.9, lambda epoch: 1 - 1 / (2 + epoch)]},
    "PolynomialLR": {"total_iters": 7, "power": 1.7},
    "CosineAnnealingWarmRestarts": {"T_0": 3, "T_mult": 2, "eta_min": 0.01},
    "CyclicLR": {"base_lr": [0.1, 0.2], "max_lr": [1.0, 3.0], "step_size_up": 4},
    "OneCycleLR": {"max_lr": [1.0, 3.0], "total_steps": 31},
}
COMBINED = ["ChainedScheduler", "SequentialLR"]


def optimisers(name="SGD"):
    arrays = [np.zeros(3), np.zeros((2, 1))]
    ours = [mg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    groups = [{"lr": 0.5}, {"lr": 2.0}]
    options = {"momentum": 0.9} if name == "SGD" else {}
    a = getattr(optim, name)([{"params": [p], **g} for p, g in zip(ours, groups)], **options)
    b = getattr(torch.optim, name)(
        [{"params": [q], **g} for q, g in zip(theirs, groups)], lr=0.1, **options
    )
    b.step()  # or it warns about the order
    return a, b


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def momenta(optimizer):
    return [
        group["momentum"] if "momentum" in group else group["betas"][0]
        for group in optimizer.param_groups
    ]


def step_all(a, b, ours, theirs, steps=30):
    for _ in range(steps):
        b.step()
        for schedule in (*ours, *theirs):
            schedule.step()
        np.testing.assert_allclose(rates(a), rates(b), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(momenta(a), momenta(b), rtol=1e-12, atol=1e-15)
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


# ----------------------------------------------------------------------------- up and down
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@given(
    low=st.sampled_from([0.01, [0.1, 0.2]]),
    up=st.integers(1, 7),
    down=st.none() | st.integers(1, 7),
    mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    function=st.sampled_from([None, "cycle", "iterations"]),
    cycle_momentum=st.booleans(),
)
def test_cyclic(optimizer, low, up, down, mode, function, cycle_momentum):
    a, b = optimisers(optimizer)
    options = {
        "base_lr": low,
        "max_lr": 1.5,
        "step_size_up": up,
        "step_size_down": down,
        "mode": mode,
        "gamma": 0.9,
        "cycle_momentum": cycle_momentum,
        "base_momentum": 0.7,
        "max_momentum": 0.95,
    }
    if function is not None:
        options |= {"scale_fn": lambda x: 1 / (1 + x), "scale_mode": function}
    ours, theirs = schedules.CyclicLR(a, **options), theirs_of.CyclicLR(b, **options)
    np.testing.assert_allclose(rates(a), rates(b), rtol=1e-12)
    np.testing.assert_allclose(momenta(a), momenta(b), rtol=1e-12)
    step_all(a, b, [ours], [theirs])


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@given(
    steps=st.integers(4, 40),
    pct_start=st.sampled_from([0.0, 0.1, 0.3, 0.5]),
    strategy=st.sampled_from(["cos", "linear"]),
    three_phase=st.booleans(),
    cycle_momentum=st.booleans(),
    per_epoch=st.booleans(),
)
def test_one_cycle(optimizer, steps, pct_start, strategy, three_phase, cycle_momentum, per_epoch):
    a, b = optimisers(optimizer)
    options = {
        "max_lr": [1.0, 2.0],
        "pct_start": pct_start,
        "anneal_strategy": strategy,
        "three_phase": three_phase,
        "cycle_momentum": cycle_momentum,
        "div_factor": 10.0,
        "final_div_factor": 50.0,
    }
    options |= {"epochs": steps, "steps_per_epoch": 2} if per_epoch else {"total_steps": steps}
    ours, theirs = schedules.OneCycleLR(a, **options), theirs_of.OneCycleLR(b, **options)
    np.testing.assert_allclose(rates(a), rates(b), rtol=1e-12)
    step_all(a, b, [ours], [theirs], steps=ours.total_steps)
    with pytest.raises(ValueError):
        theirs.step()
    with pytest.raises(ValueError, match="OneCycleLR: expected at most"):
        ours.step()


@given(
    t_0=st.integers(1, 6),
    t_mult=st.integers(1, 3),
    epochs=st.lists(st.none() | st.integers(0, 50) | st.floats(0, 50), max_size=30),
)
def test_warm_restarts_jump_to_epochs(t_0, t_mult, epochs):
    a, b = optimisers()
    ours = schedules.CosineAnnealingWarmRestarts(a, t_0, t_mult, 0.01)
    theirs = theirs_of.CosineAnnealingWarmRestarts(b, t_0, t_mult, 0.01)
    for epoch in epochs:
        if t_mult == 1 and epoch is not None and epoch >= t_0:
            epoch = int(epoch)
        ours.step(epoch)
        theirs.step(epoch)
        # PyTorch finds the period with a logarithm, whose rounding may miss a restart.
        if theirs.T_cur < theirs.T_i * (1 - 1e-9) and theirs.T_i == ours.T_i:
            np.testing.assert_allclose(rates(a), rates(b), rtol=1e-9, atol=1e-12)
        else:
            break


# --------------------------------------------------------------------------------- combinations
def made(module, optimizer, names):
    return [getattr(module, name)(optimizer, **SCHEDULES[name]) for name in names]


@given(
    names=st.lists(st.sampled_from(sorted(SCHEDULES)), min_size=1, max_size=4),
    gaps=st.lists(st.integers(1, 6), min_size=4, max_size=4),
)
def test_sequential(names, gaps):
    milestones = [int(m) for m in np.cumsum(gaps)[: len(names) - 1]]
    a, b = optimisers()
    ours = schedules.SequentialLR(a, made(schedules, a, names), milestones)
    theirs = theirs_of.SequentialLR(b, made(theirs_of, b, names), milestones)
    np.testing.assert_allclose(rates(a), rates(b), rtol=1e-12)
    step_all(a, b, [ours], [theirs], steps=25)


@given(names=st.lists(st.sampled_from(sorted(SCHEDULES)), min_size=1, max_size=4))
def test_chained(names):
    a, b = optimisers()
    ours = schedules.ChainedScheduler(made(schedules, a, names))
    theirs = theirs_of.ChainedScheduler(made(theirs_of, b, names), b)
    for _ in range(20):
        b.step()
        ours.step()
        theirs.step()
        np.testing.assert_allclose(rates(a), rates(b), rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("outer", ["chained", "sequential"])
def test_nested(outer):
    def build(module, optimizer):
        inner = made(module, optimizer, ["LinearLR", "ExponentialLR"])
        if outer == "chained":
            first = module.ChainedScheduler(inner)
        else:
            first = module.SequentialLR(optimizer, inner, [3])
        (last,) = made(module, optimizer, ["StepLR"])
        return module.SequentialLR(optimizer, [first, last], [6])

    a, b = optimisers()
    ours = build(schedules, a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs takes the inner schedule's first step for a second
        theirs = build(theirs_of, b)
    np.testing.assert_allclose(rates(a), rates(b), rtol=1e-12)
    step_all(a, b, [ours], [theirs], steps=15)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_swalr(strategy, epochs):
    a, b = optimisers()
    ours = [schedules.ExponentialLR(a, 0.9), optim.swa_utils.SWALR(a, 0.05, epochs, strategy)]
    theirs = [
        theirs_of.ExponentialLR(b, 0.9),
        torch.optim.swa_utils.SWALR(b, 0.05, epochs, strategy),
    ]
    np.testing.assert_allclose(rates(a), rates(b), rtol=1e-12)
    step_all(a, b, ours, theirs, steps=8)


@pytest.mark.parametrize("name", [*SCHEDULES, "ReduceLROnPlateau", *COMBINED])
def test_schedule_arguments_and_defaults(name):
    ours = inspect.signature(getattr(schedules, name)).parameters
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    assert list(ours) == list(theirs)
    for key, parameter in ours.items():
        assert parameter.default == theirs[key].default, key
