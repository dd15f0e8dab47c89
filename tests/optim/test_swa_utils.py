"""Averages of weights: closed forms, buffers, devices, state, and batch norm afterwards."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)
from minigrad.testing.strict import strict


def sequence(average: AveragedModel, model: nn.Module, values: list[float]) -> float:
    for value in values:
        model.weight.data[...] = value
        average.update_parameters(model)
    return average.module.weight.item()


@pytest.mark.parametrize("one_by_one", [False, True])
def test_closed_forms(one_by_one):
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    ema = {"avg_fn": get_ema_avg_fn(0.9)} if one_by_one else {
        "multi_avg_fn": get_ema_multi_avg_fn(0.9)
    }  # fmt: skip
    mean = {"avg_fn": get_swa_avg_fn()} if one_by_one else {"multi_avg_fn": get_swa_multi_avg_fn()}
    expected = values[0]
    for value in values[1:]:
        expected = 0.9 * expected + 0.1 * value
    model = nn.Linear(1, 1, bias=False).double()
    assert sequence(AveragedModel(model, **ema), model, values) == pytest.approx(expected, 1e-14)
    for options in (mean, {}):
        average = AveragedModel(model, **options)
        assert sequence(average, model, values) == pytest.approx(2.8, 1e-14)
    assert model.weight.item() == 5.0


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_extreme_decays_are_exact(decay):
    model = nn.Linear(1, 1, bias=False)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    assert sequence(average, model, [0.1, 0.7]) == np.float32(0.7 if decay == 0 else 0.1)


def test_the_first_update_copies_whatever_the_model_was_before():
    model = nn.Linear(2, 2)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    nn.init.ones_(model.weight)
    average.update_parameters(model)
    assert (average.module.weight.detach().numpy() == 1).all()
    assert average.module.weight is not model.weight


def test_works_beside_an_optimiser_and_evaluates_like_the_model():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    expected, x = None, mg.randn(5, 3)
    for _ in range(6):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        average.update_parameters(model)
        now = model[0].weight.detach().numpy().copy()
        expected = now if expected is None else expected + 0.2 * (now - expected)
    np.testing.assert_allclose(average.module[0].weight.detach().numpy(), expected, rtol=1e-5)
    twin = copy.deepcopy(model)
    twin.load_state_dict(
        {n.removeprefix("module."): v for n, v in average.state_dict().items() if "n_av" not in n}
    )
    np.testing.assert_array_equal(average(x).detach().numpy(), twin(x).detach().numpy())


@pytest.mark.parametrize("use_buffers", [False, True])
def test_buffers(use_buffers):
    model = nn.BatchNorm1d(1)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=use_buffers)
    for mean, count in ((2.0, 1), (4.0, 2)):
        model.running_mean.data[...] = mean
        model.num_batches_tracked.data[...] = count
        average.update_parameters(model)
    assert average.module.running_mean.item() == (3.0 if use_buffers else 4.0)
    assert average.module.num_batches_tracked.item() == 2


def test_state_goes_on_bit_for_bit():
    model = nn.Linear(3, 2)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.7))
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 2, 3)).astype(np.float32)

    def go(a: AveragedModel, part: np.ndarray) -> None:
        for weight in part:
            model.weight.data[...] = weight
            a.update_parameters(model)

    go(average, weights[:3])
    saved = {n: v.numpy().copy() for n, v in average.state_dict().items()}
    go(average, weights[3:])
    other = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.7))
    other.load_state_dict(saved)
    go(other, weights[3:])
    assert other.n_averaged.item() == 6
    np.testing.assert_array_equal(
        other.module.weight.detach().numpy(), average.module.weight.detach().numpy()
    )


def test_updates_on_a_device_never_wait():
    model = nn.Linear(3, 2).to("strict")
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.7)).to("strict")
    average.update_parameters(model)
    with strict.count() as count:
        average.update_parameters(model)
    assert count.synchronisations == 0
    assert average.module.weight.device == "strict" and average.n_averaged.device == "cpu"


def test_another_device():
    model = nn.Linear(3, 2)
    average = AveragedModel(model, device="strict")
    average.update_parameters(model)
    assert average.module.weight.device == "strict" and model.weight.device == "cpu"


def test_a_graph_notices_that_the_average_changed():
    model = nn.Linear(2, 1, bias=False)
    average = AveragedModel(model)
    average.update_parameters(model)
    loss = (average(mg.ones(1, 2, requires_grad=True)) ** 2).sum()
    average.update_parameters(model)
    with pytest.raises(RuntimeError):
        loss.backward()


def test_batch_norm_of_averaged_weights():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, momentum=0.3), nn.Dropout(0.5)).eval()
    batches = [mg.randn(4, 2) for _ in range(3)]
    update_bn([(x, None) for x in batches], model)
    features = [model[0](x).detach().numpy() for x in batches]
    np.testing.assert_allclose(
        model[1].running_mean.numpy(), np.mean([f.mean(0) for f in features], 0), rtol=1e-4
    )
    np.testing.assert_allclose(
        model[1].running_var.numpy(), np.mean([f.var(0, ddof=1) for f in features], 0), rtol=1e-4
    )
    assert model[1].momentum == 0.3 and not any(m.training for m in model.modules())
    assert model[1].num_batches_tracked.item() == 3
    update_bn([], nn.Linear(1, 1))  # nothing to do


def test_swalr_closed_form():
    optimizer = optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
    schedule = SWALR(optimizer, 0.2, anneal_epochs=4, anneal_strategy="linear")
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert rates == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_bad_input():
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="decay"):
        get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="got both"):
        AveragedModel(model, avg_fn=get_swa_avg_fn(), multi_avg_fn=get_swa_multi_avg_fn())
    average = AveragedModel(model)
    before = average.module.weight.detach().numpy().copy()
    with pytest.raises(ValueError, match=r"update_parameters: .*\(3, 2\)"):
        average.update_parameters(nn.Linear(2, 3))
    np.testing.assert_array_equal(average.module.weight.detach().numpy(), before)
    assert average.n_averaged.item() == 0
    optimizer = optim.SGD(model.parameters())
    with pytest.raises(ValueError, match="anneal_strategy"):
        SWALR(optimizer, 0.1, anneal_strategy="exp")
    with pytest.raises(ValueError, match="anneal_epochs"):
        SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="swa_lr"):
        SWALR(optimizer, [0.1, 0.2])
