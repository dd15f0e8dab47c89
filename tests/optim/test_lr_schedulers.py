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
    return optim.SGD(groups, momentum=0.9)


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
    "polynomial": (
        lambda o: schedules.PolynomialLR(o, 6, 2.0),
        lambda t: 0.5 * (1 - min(t, 6) / 6) ** 2,
    ),
    "multiplicative": (
        lambda o: schedules.MultiplicativeLR(o, lambda t: t / (t + 1)),
        lambda t: 0.5 / (t + 1),
    ),
    "warm restarts": (
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 2, 2, 0.1),
        # periods of 2, 4, 8, beginning at 0, 2, 6
        lambda t: (
            0.1
            + 0.2
            * (1 + math.cos(math.pi * (t / 2 if t < 2 else (t - 2) / 4 if t < 6 else (t - 6) / 8)))
        ),
    ),
    "cyclic": (
        lambda o: schedules.CyclicLR(o, 0.1, 0.5, 2, 4),
        lambda t: 0.1 + 0.4 * (t % 6 / 2 if t % 6 <= 2 else (6 - t % 6) / 4),
    ),
    "cyclic, half as high every time": (
        lambda o: schedules.CyclicLR(o, 0.1, 0.5, 2, mode="triangular2"),
        lambda t: 0.1 + 0.4 * (1 - abs(t % 4 - 2) / 2) / 2 ** (t // 4),
    ),
    "one cycle": (
        lambda o: schedules.OneCycleLR(
            o, 1.0, 12, pct_start=0.5, anneal_strategy="linear", div_factor=4, final_div_factor=10
        ),
        lambda t: 0.25 + 0.75 * t / 5 if t <= 5 else 1 - 0.975 * (t - 5) / 6,
    ),
    "one after the other": (
        lambda o: schedules.SequentialLR(
            o, [schedules.LinearLR(o, 0.25, 1.0, 3), schedules.ExponentialLR(o, 0.5)], [5]
        ),
        lambda t: 0.5 * min(1.0, 0.25 + 0.25 * t) if t < 5 else 0.5 * 0.5 ** (t - 5),
    ),
    "both at once": (
        lambda o: schedules.ChainedScheduler(
            [schedules.ConstantLR(o, 0.1, 3), schedules.ExponentialLR(o, 0.9)]
        ),
        lambda t: (0.05 if t < 3 else 0.5) * 0.9**t,
    ),
}
every = pytest.mark.parametrize("name", CLOSED_FORMS)


@every
def test_closed_form(name):
    make, formula = CLOSED_FORMS[name]
    assert sequence(make) == pytest.approx([formula(t) for t in range(12)], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("make", [
    lambda o: schedules.OneCycleLR(o, 1.0, 11, pct_start=0.5, base_momentum=0.8, max_momentum=0.9),
    lambda o: schedules.CyclicLR(o, 0.1, 1.0, 5, base_momentum=0.8, max_momentum=0.9),
])  # fmt: skip
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_momentum_goes_the_other_way(make, kind):
    options = {"momentum": 0.5} if kind is optim.SGD else {}
    optimizer = kind([mg.zeros(1, requires_grad=True)], lr=0.5, **options)
    schedule = make(optimizer)
    (group,) = optimizer.param_groups
    rates, momenta = [], []
    for _ in range(10):
        rates.append(group["lr"])
        momenta.append(group["momentum"] if kind is optim.SGD else group["betas"][0])
        schedule.step()
    assert momenta[0] == pytest.approx(0.9) and momenta[rates.index(max(rates))] < 0.82
    for a, b, x, y in zip(rates, rates[1:], momenta, momenta[1:]):
        assert (b - a) * (y - x) < 0
    if kind is optim.Adam:
        assert group["betas"][1] == 0.999


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
        (lambda o: schedules.PolynomialLR(o, 0), "total_iters"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 0), "T_0"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 1, 0), "T_mult"),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 1).step(-1), "epoch >= 0"),
        (lambda o: schedules.CyclicLR(o, 0.1, 1.0, mode="square"), "mode"),
        (lambda o: schedules.CyclicLR(o, 0.1, 1.0, scale_mode="batch"), "scale_mode"),
        (lambda o: schedules.CyclicLR(o, 0.1, 1.0, step_size_up=0), "step_size_up"),
        (lambda o: schedules.CyclicLR(o, [0.1, 0.2], 1.0), "base_lr"),
        (lambda o: schedules.OneCycleLR(o, 1.0), "total_steps"),
        (lambda o: schedules.OneCycleLR(o, 1.0, epochs=3), "steps_per_epoch"),
        (lambda o: schedules.OneCycleLR(o, 1.0, 10, pct_start=1.5), "pct_start"),
        (lambda o: schedules.OneCycleLR(o, 1.0, 10, anneal_strategy="exp"), "anneal_strategy"),
        (lambda o: schedules.SequentialLR(o, [], []), "at least one"),
        (lambda o: schedules.SequentialLR(o, [schedules.StepLR(o, 1)], [2]), "0 milestones"),
        (lambda o: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(o)]), "Plateau"),
        (lambda o: schedules.ChainedScheduler([schedules.StepLR(optimiser(), 1)], o), "another"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make(optimiser())


def test_momentum_must_be_there_to_cycle():
    optimizer = optim.Adagrad([mg.zeros(1, requires_grad=True)])
    with pytest.raises(ValueError, match="CyclicLR: cycle_momentum .* got Adagrad"):
        schedules.CyclicLR(optimizer, 0.1, 1.0)
    with pytest.raises(ValueError, match="OneCycleLR: cycle_momentum"):
        schedules.OneCycleLR(optimizer, 1.0, 10)
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_one_cycle_ends():
    optimizer = optimiser()
    schedule = schedules.OneCycleLR(optimizer, 1.0, 5)
    for _ in range(5):
        schedule.step()
    with pytest.raises(ValueError, match="at most 5 steps"):
        schedule.step()


def test_foreign_states_of_parts_change_nothing():
    optimizer = optimiser()
    parts = [schedules.StepLR(optimizer, 2), schedules.ExponentialLR(optimizer, 0.5)]
    schedule = schedules.SequentialLR(optimizer, parts, [3])
    schedule.step()
    before = schedule.state_dict()
    for bad in ([], [{}, {}], [parts[1].state_dict(), parts[0].state_dict()]):
        with pytest.raises(ValueError, match="load_state_dict"):
            schedule.load_state_dict({**before, "_schedulers": bad})
    assert schedule.state_dict() == before


def test_not_an_optimiser():
    for make in (lambda o: schedules.StepLR(o, 1), schedules.ReduceLROnPlateau):
        with pytest.raises(TypeError, match="expected an Optimizer, got Linear"):
            make(mg.nn.Linear(1, 1))
