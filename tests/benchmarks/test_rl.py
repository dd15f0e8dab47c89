r"""The comparison of agents: turns, ratios, and a side that really plays and learns."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import rl
from benchmarks.agents import NAMES

pytest.importorskip("gymnasium")


def test_ratios_are_taken_within_a_round() -> None:
    """The machine was half as fast in the second round, for both."""
    ours = rl.Speed("minigrad", "this tree", [400.0, 200.0, 420.0])
    other = rl.Speed("stable_baselines3", "2.9", [100.0, 50.0, 140.0])
    assert rl.ratio(ours, other) == (4.0, 3.0, 4.0)
    text = rl.table("title", [ours, other])
    assert "minigrad is 4.00 times as fast [3.00, 4.00]" in text and "400 steps/s" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_agent_has_both_sides(name: str) -> None:
    agent = importlib.import_module(f"benchmarks.agents.{name}")
    assert list(agent.SIDES) == ["minigrad", "stable_baselines3"]
    assert agent.TITLE and agent.STEPS >= 1


@pytest.mark.parametrize("name", NAMES)
def test_ours_plays_as_many_steps_as_it_is_asked_for(name: str) -> None:
    advance = importlib.import_module(f"benchmarks.agents.{name}").SIDES["minigrad"]()
    assert 200 <= advance(200) <= 2500
    assert 200 <= advance(200) <= 2500


def test_a_run_without_stable_baselines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In processes, as it is meant to be."""
    monkeypatch.setattr(rl, "missing", lambda library: library != "minigrad")
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    arguments = ["--agents", "dqn", "--rounds", "2", "--steps", "300", "--json"]
    assert rl.main([*arguments, str(tmp_path / "figures.json")]) == 0
    out = capsys.readouterr().out
    assert "minigrad alone" in out and "steps/s" in out
    found = json.loads((tmp_path / "figures.json").read_text())["agents"]["dqn"]
    assert len(found["steps_per_second"]["minigrad"]) == 2 and found["ratio"] == {}
