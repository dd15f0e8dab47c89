"""Saving, restoring and copying optimisers, and states that are not theirs."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import optim
from tests.optim.common import assert_equal, every, parameters, run, values


@every
@given(steps=st.integers(0, 3))
def test_a_restored_optimiser_goes_on_bit_for_bit(maker, steps):
    params = parameters()
    optimizer = maker(params)
    run(optimizer, params, steps)
    saved = copy.deepcopy(optimizer.state_dict())
    weights = values(params)
    run(optimizer, params, 3, seed=9)

    others = [mg.tensor(w, requires_grad=True) for w in weights]
    restored = maker(others)
    run(restored, others, 2, seed=5)  # it had a life before
    for p, w in zip(others, weights):
        p.data[...] = w
    restored.load_state_dict(saved)
    run(restored, others, 3, seed=9)
    assert_equal(values(params), values(others))


@every
def test_deepcopy_goes_its_own_way(maker):
    params = parameters()
    optimizer = maker(params)
    run(optimizer, params, 2)
    others, twin = copy.deepcopy((params, optimizer))
    run(optimizer, params, 2)
    before = values(params)
    run(twin, others, 2)
    assert_equal(values(others), before)
    run(twin, others, 1)
    assert_equal(values(params), before)


def test_state_dict_structure():
    params = parameters()
    optimizer = optim.Adam([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}])
    assert optimizer.state_dict()["state"] == {}
    run(optimizer, params, 2)
    saved = optimizer.state_dict()
    assert [g["params"] for g in saved["param_groups"]] == [[0, 1], [2, 3, 4]]
    assert list(saved["state"]) == [0, 1, 2, 3, 4]
    assert list(saved["state"][0]) == ["step", "exp_avg", "exp_avg_sq"]
    assert saved["state"][0]["step"] == 2
    assert saved["state"][0]["exp_avg"].shape == (3, 4)
    groups = json.loads(json.dumps(saved["param_groups"]))  # JSON has no tuples
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_states_from_before_a_hyperparameter_existed():
    optimizer = optim.AdamW(parameters())
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["decoupled_weight_decay"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_state_can_be_written_through():
    params = parameters()
    optimizer = optim.SGD(params, lr=1.0, momentum=0.5)
    run(optimizer, params, 1)
    optimizer.state[params[0]]["momentum_buffer"].zero_()
    before = values(params)[0]
    params[0].grad = mg.Tensor(np.zeros((3, 4)))
    optimizer.step()
    np.testing.assert_array_equal(values(params)[0], before)


def broken(saved: dict) -> list[tuple[str, dict]]:
    def change(f):
        s = copy.deepcopy(saved)
        f(s)
        return s

    bad = mg.zeros(7, dtype=mg.float64)
    return [
        ("expected 'state' and 'param_groups'", {"weights": 1}),
        ("groups of", change(lambda s: s["param_groups"].append(s["param_groups"][0]))),
        ("groups of", change(lambda s: s["param_groups"][0]["params"].pop())),
        ("missing lr", change(lambda s: s["param_groups"][0].pop("lr"))),
        ("lr >= 0", change(lambda s: s["param_groups"][0].update(lr=-1.0))),
        ("no such parameter", change(lambda s: s["state"].update({17: s["state"][0]}))),
        ("shape", change(lambda s: s["state"][0].update(exp_avg=bad))),
        ("expected", change(lambda s: s["state"][0].update(momentum_buffer=bad))),
        ("whole number", change(lambda s: s["state"][0].update(step=1.5))),
        ("whole number", change(lambda s: s["state"][0].update(step=-1))),
        ("whole number", change(lambda s: s["state"][0].pop("step"))),
        ("floating", change(lambda s: s["state"][1].update(exp_avg="hello"))),
    ]


@pytest.mark.parametrize("case", range(12))
def test_a_foreign_state_changes_nothing(case):
    params, same = parameters(), parameters()
    optimizer, untouched = optim.Adam(params), optim.Adam(same)
    run(optimizer, params, 2)
    run(untouched, same, 2)
    message, bad = broken(optimizer.state_dict())[case]
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(bad)
    run(optimizer, params, 2, seed=3)
    run(untouched, same, 2, seed=3)
    assert_equal(values(params), values(same))


def test_all_errors_are_listed():
    params = parameters()
    optimizer = optim.Adam(params)
    run(optimizer, params, 1)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["exp_avg"] = mg.zeros(1)
    saved["state"][99] = {}
    with pytest.raises(ValueError, match=r"parameter 0: .*parameter 99"):
        optimizer.load_state_dict(saved)
