"""Learning-rate schedules: closed forms, state, bad input."""

from __future__ import annotations

import json
import math

import pytest

import minigrad as mg
from minigrad import optim
from minigrad.optim import lr_scheduler as schedules


def optimiser(*rates: float) -> optim.SGD:
    groups = [{"params": [mg.zeros(1, requires_grad=True)], "lr": lr} for lr in rates or (0.5,)]
    return optim.SGD(groups)


def sequence(make, steps: int = 12) -> list[float]:
    optimizer = optimiser()
    schedule = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


CLOSED_FORMS = {
    "step": (lambda o: schedules.StepLR(o, 3, 0.1), lambda t: 0.5 * 0.1 ** (t // 3)),
    "multistep": (
        lambda o: schedules.MultiStepLR(o, [7, 2], 0.1),
        lambda t: 0.5 * 0.1 ** ((t >= 2) + (t >= 7)),
    ),
    "exponential": (lambda o: schedules.ExponentialLR(o, 0.9), lambda t: 0.5 * 0.9**t),
    "cosine": (
        lambda o: schedules.CosineAnnealingLR(o, 5, 0.1),
        lambda t: 0.1 + 0.4 * (1 + math.cos(math.pi * t / 5)) / 2,
    ),
    "lambda": (lambda o: schedules.LambdaLR(o, lambda t: 0.9**t), lambda t: 0.5 * 0.9**t),
    "warm-up": (
        lambda o: schedules.LinearLR(o, 0.2, 1.0, 4),
        lambda t: 0.5 * (0.2 + 0.8 * min(t, 4) / 4),
    ),
    "constant": (
        lambda o: schedules.ConstantLR(o, 0.25, 3),
        lambda t: 0.5 * (0.25 if t < 3 else 1.0),
    ),
}
every = pytest.mark.parametrize("name", CLOSED_FORMS)


@every
def test_closed_form(name):
    make, formula = CLOSED_FORMS[name]
    assert sequence(make) == pytest.approx([formula(t) for t in range(12)], rel=1e-9, abs=1e-15)


def test_two_schedules_multiply():
    def both(optimizer):
        warm_up = schedules.LinearLR(optimizer, 0.5, 1.0, 2)
        decay = schedules.ExponentialLR(optimizer, 0.9)

        class Chain:
            def step(self):
                warm_up.step()
                decay.step()

        return Chain()

    expected = [0.5 * (0.5 + 0.5 * min(t, 2) / 2) * 0.9**t for t in range(12)]
    assert sequence(both) == pytest.approx(expected, rel=1e-9)


def test_each_group_from_its_own_rate():
    optimizer = optimiser(1.0, 0.1)
    schedule = schedules.LambdaLR(optimizer, [lambda t: 0.5**t, lambda t: 2.0**t])
    schedule.step()
    assert schedule.get_last_lr() == [0.5, 0.2]
    assert [g["initial_lr"] for g in optimizer.param_groups] == [1.0, 0.1]


@every
def test_restored_schedule_goes_on(name):
    make, _ = CLOSED_FORMS[name]
    optimizer, other = optimiser(), optimiser()
    schedule = make(optimizer)
    for _ in range(4):
        schedule.step()
    saved = json.loads(json.dumps([schedule.state_dict(), optimizer.state_dict()]))
    restored = make(other)
    restored.load_state_dict(saved[0])
    other.load_state_dict({"state": {}, "param_groups": saved[1]["param_groups"]})
    for _ in range(5):
        assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        schedule.step()
        restored.step()
    assert restored.get_last_lr() == schedule.get_last_lr()


def test_restored_plateau_goes_on():
    optimizer, other = optimiser(), optimiser()
    schedule = schedules.ReduceLROnPlateau(optimizer, patience=1, cooldown=1)
    restored = schedules.ReduceLROnPlateau(other)
    metrics = [1.0, 2.0, 2.0, 2.0, 0.5, 0.6, 0.7, 0.8]
    for metric in metrics[:3]:
        schedule.step(metric)
    restored.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    for metric in metrics[3:]:
        schedule.step(mg.tensor(metric))
        restored.step(metric)
        assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert optimizer.param_groups[0]["lr"] < 0.5


def test_plateau_by_hand():
    optimizer = optimiser(1.0)
    schedule = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.3)
    seen = []
    for metric in [1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8]:
        schedule.step(metric)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3]


def test_plateau_waits_after_a_reduction():
    optimizer = optimiser(1.0)
    schedule = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, cooldown=2)
    seen = []
    for _ in range(8):
        schedule.step(1.0)
        seen.append(optimizer.param_groups[0]["lr"])
    # The first is an improvement on infinity; then every third epoch reduces.
    assert seen == [1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_plateau_leaves_small_rates_alone():
    optimizer = optimiser(1.0)
    schedule = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, eps=0.2)
    seen = []
    for _ in range(5):
        schedule.step(1.0)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [1.0, 0.5, 0.25, 0.25, 0.25]


def test_a_foreign_state_changes_nothing():
    optimizer = optimiser()
    schedule = schedules.StepLR(optimizer, 3)
    before = schedule.state_dict()
    other = schedules.ExponentialLR(optimiser(), 0.9).state_dict()
    for bad in (other, {}, None, {**before, "extra": 1}):
        with pytest.raises(ValueError, match="StepLR: load_state_dict"):
            schedule.load_state_dict(bad)
    assert schedule.state_dict() == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: schedules.StepLR(o, 0), "step_size"),
        (lambda o: schedules.CosineAnnealingLR(o, -1), "T_max"),
        (lambda o: schedules.LinearLR(o, 0.0), "start_factor"),
        (lambda o: schedules.LinearLR(o, 0.5, 2.0), "end_factor"),
        (lambda o: schedules.ConstantLR(o, 2.0), "factor"),
        (
            lambda o: schedules.LambdaLR(o, [abs, abs]),
            "expected 1 functions, .* got 2",
        ),
        (lambda o: schedules.ReduceLROnPlateau(o, mode="best"), "mode"),
        (lambda o: schedules.ReduceLROnPlateau(o, threshold_mode="x"), "threshold_mode"),
        (lambda o: schedules.ReduceLROnPlateau(o, factor=1.0), "factor"),
        (lambda o: schedules.ReduceLROnPlateau(o, min_lr=[0.1, 0.2]), "min_lr"),
        (lambda o: schedules.ExponentialLR(o, 0.9, last_epoch=3), "initial_lr"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make(optimiser())


def test_not_an_optimiser():
    for make in (lambda o: schedules.StepLR(o, 1), schedules.ReduceLROnPlateau):
        with pytest.raises(TypeError, match="expected an Optimizer, got Linear"):
            make(mg.nn.Linear(1, 1))
