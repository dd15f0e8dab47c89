r"""The harness compares only what computes the same, and says what it left out."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks.harness import Comparison, LossMismatch, Result, Side, compare, missing
from benchmarks.report import as_json, machine, table
from benchmarks.workloads import BATCHES, NAMES

FAKE = "tests.benchmarks.fake"


def fake(*sides):
    return compare(FAKE, [Side("minigrad", "minigrad"), *sides], rounds=3, seconds=0.01)


def test_comparison_and_report():
    done = fake(Side("math", "Maths"), Side("not_a_library", "?"), Side("cmath", "Complex"))
    assert [r.side.label for r in done.results] == ["minigrad", "Maths"]
    assert all(len(r.rounds) == 3 and r.ms > 0 for r in done.results)
    assert done.results[0].losses == done.results[1].losses
    assert done.skipped.keys() == {"not_a_library", "cmath"}
    text = table([done], machine())
    for part in ("fake: a number", "Maths", "not installed", "cmath: knows no numbers"):
        assert part in text
    record = json.loads(json.dumps(as_json([done], machine())))
    assert record["workloads"]["fake"]["sides"][1]["ratio"].keys() == {"median", "min", "max"}


def test_sides_that_compute_something_else_are_not_timed():
    with pytest.raises(LossMismatch, match=r"step 0: loss .* of minigrad, .* of Wrong"):
        fake(Side("math", "Wrong", {"wrong": 0.01}))
    fake(Side("math", "Nearly", {"wrong": 1e-7}))


def test_a_side_that_fails_is_named(capfd):
    with pytest.raises(RuntimeError, match="Broken ended with status 1; its error is above"):
        fake(Side("math", "Broken", {"wrong": "no number"}))
    assert "Traceback" in capfd.readouterr().err


def test_ratio_is_taken_within_rounds():
    ours = Result(Side("minigrad", "minigrad"), "0", [], [2.0, 3.0, 40.0])
    other = Result(Side("math", "Maths"), "0", [], [4.0, 4.0, 40.0])
    comparison = Comparison("x", "x", [ours, other], {})
    assert comparison.ratio(other) == (0.75, 0.5, 1.0)
    assert comparison.ratio(ours) is None


@pytest.mark.parametrize("name", NAMES)
def test_workload_trains(name):
    import minigrad

    module = importlib.import_module(f"benchmarks.workloads.{name}")
    arrays = module.arrays(np.random.default_rng(0))
    assert all(len(v) == BATCHES for k, v in arrays.items() if "." not in k and k != "weight")
    steps = [module.SIDES["minigrad"](minigrad, arrays, {}) for _ in range(2)]
    losses = [[float(step(0).item()) for _ in range(3)] for step in steps]
    assert losses[0] == losses[1]
    assert np.isfinite(losses[0]).all()
    if name != "dcgan":  # two losses against each other: their sum has no direction
        assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("peer", ["torch", "dezero", "autograd"])
def test_workload_agrees_with_peer(name, peer):
    if missing(peer):
        pytest.skip(f"{peer} is not installed")
    module = importlib.import_module(f"benchmarks.workloads.{name}")
    if peer not in module.SIDES:
        pytest.skip(module.CANNOT[peer])
    sides = [Side("minigrad", "minigrad"), Side(peer, peer)]
    done = compare(f"benchmarks.workloads.{name}", sides, rounds=1, seconds=0.0)
    assert done.results[1].losses == pytest.approx(done.results[0].losses, rel=1e-4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--workload", "mlp,what"], f"expected some of {','.join(NAMES)}, got what"),
        (["--peers", "jax"], "expected some of torch,dezero,autograd, got jax"),
        (["--rounds", "0"], "expected an integer >= 1, got 0"),
    ],
)
def test_bad_options(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        program.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
