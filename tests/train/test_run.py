r"""The folder that a run leaves, and what stops it."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.interchange import files as checkpoint_module
from minigrad.train import CheckpointError, Result, Run, RunConfig, RunError, load_safetensors, main


@dataclass
class Config(RunConfig):
    epochs: int = 2
    width: int = 3


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(config: Config) -> Result:
    run = Run(config, "test.model")
    model = nn.Linear(2, config.width)
    run.track(model=model)
    for epoch in run.epochs(config.epochs):
        for x in run.batches([mg.ones(1, 2), mg.zeros(2, 2)]):
            run.record(len(x), loss=float(epoch), size=mg.tensor(float(len(x))))
        run.log(val_loss=np.float32(1 / epoch), seen=run.step)
        run.keep_best(1 / epoch, model)
    run.load_best(model)
    return run.finish(model, accuracy=mg.tensor(0.5), n=np.int64(3))


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_what_a_run_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    result = train(Config(seed=4))
    folder = Path("runs/test.model/001")
    assert result.folder == folder and result.metrics == {"accuracy": 0.5, "n": 3}
    assert {p.name for p in folder.iterdir()} == {
        *("config.json", "metrics.jsonl", "result.json", "checkpoint.safetensors"),
        *("model.safetensors", "best-0002-00000004.safetensors"),
    }
    config = {"seed": 4, "device": "cpu", "quick": False, "epochs": 2, "width": 3}
    assert read(folder / "config.json") == {"model": "test.model", "config": config}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    mean_size = (1 * 1 + 2 * 2) / 3  # weighted by the batches' sizes
    assert lines == result.history
    assert lines == [
        {"epoch": 1, "step": 2, "loss": 1.0, "size": mean_size, "val_loss": 1.0, "seen": 2},
        {"epoch": 2, "step": 4, "loss": 2.0, "size": mean_size, "val_loss": 0.5, "seen": 4},
    ]
    record = read(folder / "result.json")
    assert record["command"] == "python -m models.test.model --seed 4"
    assert record["metrics"] == {"accuracy": 0.5, "n": 3}
    assert record["parameters"] == 9 and record["hardware"] and record["seconds"] >= 0
    assert load_safetensors(folder / "model.safetensors")["weight"].shape == (3, 2)
    assert json.loads(result.line())["accuracy"] == 0.5
    assert "epoch 1/2  loss 1" in capsys.readouterr().out


def test_each_run_gets_a_folder_and_resume_takes_the_newest() -> None:
    assert train(Config()).folder.name == "001"
    assert train(Config(seed=1)).folder.name == "002"
    assert train(Config(seed=1, resume=True)).folder.name == "002"
    assert train(Config(resume=True, out="new")).folder == Path("new")  # nothing there: begins


def test_the_same_seed_gives_the_same_run() -> None:
    weights = [
        load_safetensors(train(Config(seed=s)).folder / "model.safetensors")["weight"]
        for s in (1, 1, 2)
    ]
    assert weights[0].tolist() == weights[1].tolist() != weights[2].tolist()


def test_a_folder_in_use_is_left_alone() -> None:
    train(Config(out="here"))
    before = {p: p.read_bytes() for p in Path("here").iterdir()}
    with pytest.raises(RunError, match="here holds a run already; --resume continues it"):
        train(Config(out="here"))
    with pytest.raises(RunError, match="another configuration: seed=0 there, 5 here"):
        train(Config(out="here", resume=True, seed=5))
    with pytest.raises(RunError, match="holds a run of test.model, not of test.other"):
        Run(Config(out="here", resume=True), "test.other")
    assert {p: p.read_bytes() for p in Path("here").iterdir()} == before


def test_a_folder_of_somebody_else_is_left_alone() -> None:
    Path("mine").mkdir()
    Path("mine/notes.tmp").write_text("x")
    for resume in (False, True):
        with pytest.raises(RunError, match="mine is not empty and holds no run"):
            train(Config(out="mine", resume=resume))
    assert [p.name for p in Path("mine").iterdir()] == ["notes.tmp"]
    # What a process leaves that was killed at once is not in the way.
    Path("killed").mkdir()
    Path("killed/config.json.tmp").write_text("{")
    assert train(Config(out="killed")).metrics["n"] == 3
    assert not list(Path("killed").glob("*.tmp"))


def test_more_epochs_later_are_the_same_as_at_once() -> None:
    train(Config(out="short"))
    train(Config(out="short", resume=True, epochs=4))
    train(Config(out="long", epochs=4))
    for name in ("metrics.jsonl", "model.safetensors", "config.json"):
        assert Path("short", name).read_bytes() == Path("long", name).read_bytes()


def test_a_checkpoint_of_another_architecture() -> None:
    train(Config(out="a"))
    train(Config(out="b", width=4))
    Path("b/checkpoint.safetensors").replace("a/checkpoint.safetensors")
    with pytest.raises(CheckpointError, match=r"weight: expected \(3, 2\), got \(4, 2\)"):
        train(Config(out="a", resume=True))


def test_a_log_shorter_than_the_checkpoint_says() -> None:
    train(Config(out="a"))
    Path("a/metrics.jsonl").write_text("")
    with pytest.raises(CheckpointError, match="expected at least"):
        train(Config(out="a", resume=True))


def test_nan_is_not_logged() -> None:
    run = Run(Config(out="a"), "test.model")
    for _ in run.epochs(1):
        run.record(loss=mg.tensor(float("nan")))
        with pytest.raises(FloatingPointError, match=r"loss is nan after step 0 \(epoch 1\)"):
            run.log()
        break
    run.finish()
    assert Path("a/metrics.jsonl").read_text() == ""


def test_a_guard_keeps_the_last_good_checkpoint() -> None:
    run = Run(Config(out="a"), "test.model")
    model = nn.Linear(2, 3)
    run.track(model=model)

    def guard() -> None:
        if not np.isfinite(model.weight.data).all():
            raise RunError(f"weights are nan; the last good checkpoint is of {run.saved_step}")

    run.guard = guard
    with pytest.raises(RunError, match="the last good checkpoint is of 2"):
        for epoch in run.epochs(3):
            for _ in run.batches([0, 1]):
                model.weight.data[0, 0] = np.nan if epoch == 2 else 7.0
            run.log()
    resumed = Run(Config(out="a", resume=True), "test.model")
    resumed.track(model=model)
    resumed.restore()
    assert resumed.epoch == 1 and model.weight[0, 0].item() == 7.0 and len(resumed.history) == 1


def test_keep_best() -> None:
    run = Run(Config(out="a"), "test.model")
    model = nn.Linear(1, 1, bias=False)
    kept = []
    for _, value in zip(run.epochs(5), [0.5, 0.7, 0.7, 0.6, 0.9]):
        model.weight.data[...] = value
        kept.append(run.keep_best(value, model, "max"))
    run.load_best(model)
    run.finish()
    assert kept == [True, True, False, False, True]
    assert model.weight.item() == pytest.approx(0.9)
    with pytest.raises(ValueError, match="expected mode 'min' or 'max', got 'most'"):
        run.keep_best(1, model, "most")


def test_stop_ends_the_loop_and_stays() -> None:
    for _ in range(2):
        run = Run(Config(out="a", resume=True), "test.model")
        seen = []
        for epoch in run.epochs(5):
            seen.append(epoch)
            run.stop = epoch == 2
        run.finish()
    assert seen == [] and run.epoch == 2


def test_pictures() -> None:
    run = Run(Config(out="a"), "test.model")
    path = run.picture("grey", np.eye(4))
    assert path == Path("a/grey.png") and path.read_bytes().startswith(b"\x89PNG")
    for name in ("../up", "a/b", ""):
        with pytest.raises(ValueError, match="expected a plain file name"):
            run.picture(name, np.eye(4))
    run.finish()


# ------------------------------------------------------------------------------ command line
def entry(*arguments: str) -> Result:
    return main(train, Config, list(arguments))


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        entry(*arguments)
    assert stop.value.code == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def test_the_last_line_is_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    entry("--epochs", "1", "--out", "a")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["model"] == "test.model" and line["accuracy"] == 0.5 and "seconds" in line


def test_resuming_takes_the_configuration_of_the_run() -> None:
    entry("--out", "a", "--width", "5", "--seed", "9")
    entry("--out", "a", "--resume", "--epochs", "3")
    assert read(Path("a/config.json"))["config"] == {
        "seed": 9,
        "device": "cpu",
        "quick": False,
        "epochs": 3,
        "width": 5,
    }


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, 2, "--width", "x").count("\n") == 1
    entry("--out", "a")
    assert "holds a run already" in fails(capsys, 1, "--out", "a")
    assert "another configuration: width=3 there, 8 here" in fails(
        capsys, 1, "--out", "a", "--resume", "--width", "8"
    )
    content = Path("a/checkpoint.safetensors").read_bytes()
    Path("a/checkpoint.safetensors").write_bytes(content[:-9])
    assert "truncated" in fails(capsys, 1, "--out", "a", "--resume")
    Path("a/config.json").write_text("{")
    assert "not the configuration of a run" in fails(capsys, 2, "--out", "a", "--resume")


def test_a_full_disk_keeps_the_previous_checkpoint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry("--out", "a", "--epochs", "1")
    before = Path("a/checkpoint.safetensors").read_bytes()
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("checkpoint.safetensors"):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.os, "replace", full)
        err = fails(capsys, 1, "--out", "a", "--epochs", "2", "--resume")
    assert "No space left on device" in err and err.count("\n") == 1
    assert Path("a/checkpoint.safetensors").read_bytes() == before
    assert not list(Path("a").glob("*.tmp"))
    entry("--out", "a", "--epochs", "2", "--resume")
    entry("--out", "b", "--epochs", "2")
    assert Path("a/metrics.jsonl").read_bytes() == Path("b/metrics.jsonl").read_bytes()


def test_ctrl_c_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "log", interrupted)
    assert "--resume continues" in fails(capsys, 130, "--out", "a")


def test_missing_packages_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "needs safetensors and matplotlib: pip install" in fails(capsys, 1, "--out", "a")
