r"""What all models have in common: the list, the command line, the quick run, resuming."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.train import Run, load_safetensors, main
from minigrad.train.config import field_help
from models.__main__ import HERE, entries
from models.__main__ import main as list_models

pytest.importorskip("matplotlib")

NAMES = [entry.name for entry in entries()]

# Options under which a model makes a few steps only; two epochs, so that there is a middle.
IMAGES = {"epochs": 2, "train_images": 300, "validation": 100, "test_images": 100}
SAMPLES = {"epochs": 2, "train_samples": 300, "validation": 100, "test_samples": 100}
FEW = {"epochs": 2, "train_images": 60, "validation": 20, "test_images": 20, "batch_size": 10}
GAN = {**IMAGES, "width": 0.125, "latent": 8, "samples": 20}
POLYNOMIALS = {
    "epochs": 2,
    "width": 0.0625,
    "train_samples": 300,
    "validation": 20,
    "test_samples": 20,
}
# An agent's checkpoints are saved after its epochs alone: it is killed after three of them.
AGENT = {"epochs": 6, "epoch_steps": 60, "watch_episodes": 1, "evaluation_episodes": 2}
LEARNER = {**AGENT, "batch_size": 8, "warmup": 20, "train_every": 16, "updates": 2}
TINY: dict[str, dict[str, Any]] = {
    "autoencoders.colourisation": {**FEW, "data": "shapes"},
    "autoencoders.conv_pool": FEW,
    "autoencoders.denoising_classifier": FEW,
    "autoencoders.plain": SAMPLES,
    "autoencoders.state": SAMPLES,
    "flows.energies": {"epochs": 2, "steps": 6, "lengths": (2, 3), "test_samples": 100},
    "flows.realnvp": {
        "epochs": 2,
        "steps": 6,
        "hidden": 32,
        "validation": 100,
        "test_points": 100,
        "grid": 0.1,
    },
    "flows.realnvp_mnist": {**IMAGES, "hidden": 4},
    "flows.vae_nf": {**IMAGES, "iwae_images": 10},
    "gan.cyclegan": {**GAN, "latent": 1, "train_images": 600},
    "gan.progan": {**GAN, "epochs": 4, "train_images": 100, "batch_size": 20},
    "gan.toys": {"epochs": 2, "steps": 6, "samples": 100},
    "gan.dcgan_polynomials": POLYNOMIALS,
    "gan.wgan_polynomials": {**POLYNOMIALS, "width_generator": 0.125, "critic_steps": 2},
    "neural_process.completion": {**IMAGES, "hidden": 32},
    "gan.infogan": {**GAN, "samples": 200},
    "neural_process.curves": {"epochs": 2, "steps": 6, "validation": 10, "test_curves": 10},
    "rl.ppo": {**AGENT, "passes": 2},
    "rl.double_dqn": LEARNER,
    "rl.dqn": {**LEARNER, "dueling": True, "copies": 3, "capacity": 50},
    "rl.prioritised_dqn": LEARNER,
    "variational.cvae": {**IMAGES, "generated": 20},
    "variational.introvae": {**IMAGES, "samples": 20},
}


FAMILIES = {"gan": GAN, "rl": AGENT}


def tiny(name: str) -> dict[str, Any]:
    """Those of the model, else of its family; an agent's batch is its own affair."""
    family = name.partition(".")[0]
    batch = {} if family == "rl" else {"batch_size": 50}
    return {**batch, **TINY.get(name, FAMILIES.get(family, IMAGES))}


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"models.{request.param}")


def name_of(model: ModuleType) -> str:
    return model.__name__.removeprefix("models.")


# ----------------------------------------------------------------------------------- the list
def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    list_models()
    lines = capsys.readouterr().out.splitlines()
    for entry in entries():
        at = next(i for i, line in enumerate(lines) if line.split()[:1] == [entry.name])
        assert entry.title in lines[at]
        assert lines[at + 1].strip().startswith("paper:") and entry.paper in lines[at + 1]
        assert lines[at + 2].strip().startswith("expect:") and entry.expect in lines[at + 2]
    assert {"supervised.mlp", "supervised.cnn", "variational.vae", "variational.vae_conv"} <= {
        *NAMES
    }


def test_the_list_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "models"],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
        check=True,
    )
    assert all(name in done.stdout for name in NAMES) and done.stderr == ""


def test_every_model_says_what_the_list_needs() -> None:
    for entry in entries():
        assert entry.title and any(c.isdigit() for c in entry.paper), entry
        assert any(c.isdigit() for c in entry.expect), entry


#: files that a family's models share, and a model that comes trained
NO_MODELS = {"__init__", "common", "elbo", "networks", "on_policy", "unet", "mobilenet_v2"}


def test_a_model_file_without_an_entry_would_be_missed() -> None:
    """Every file of a family is a model, or shared by the family's models, or comes trained."""
    for path in HERE.glob("*/*.py"):
        if path.stem not in NO_MODELS:
            assert f"{path.parent.name}.{path.stem}" in NAMES, path


# --------------------------------------------------------------------------- the command line
def test_every_option_is_documented(model: ModuleType) -> None:
    helps = field_help(model.Config)
    assert [f.name for f in fields(model.Config) if not helps.get(f.name)] == []


def test_help(model: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(model.train, model.Config, ["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert ast.get_docstring(ast.parse(Path(str(model.__file__)).read_text()))[:40] in out  # type: ignore[index]
    for option in ("--device", "--seed", "--out", "--resume", "--quick", "--epochs"):
        assert option in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epoch", "3"],
        ["--epochs", "few"],
        ["--epochs", "0"],
        ["--lr", "-1"],
        ["--batch-size", "0"],
        ["--validation", "0"],
        ["--train-images", "0"],
        ["--seed", "x"],
        ["--device", "gpu"],
    ],
)
def test_mistakes_are_one_line(
    model: ModuleType,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(model.train, model.Config, arguments)
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == "" and err.count("\n") == 1
    assert err.startswith(f"python -m {model.__name__}: error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_as_a_command(tmp_path: Path) -> None:
    if mg.cuda_is_available():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [sys.executable, "-m", "models.supervised.mlp", "--device", "cuda", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "Install CuPy" in done.stderr


# ----------------------------------------------------------------------------- runs of seconds
def test_quick_run(
    model: ModuleType,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = main(model.train, model.Config, ["--quick", "--out", "run"])
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    numbers = [v for v in line.values() if isinstance(v, float)]
    assert line["model"] == name_of(model) and len(numbers) >= 3 and np.isfinite(numbers).all()
    folder = tmp_path / "run"
    assert result.folder == Path("run")
    record = json.loads((folder / "result.json").read_text())
    assert record["quick"] and record["metrics"] == result.metrics
    assert record["command"] == f"python -m {model.__name__} --seed 0 --quick"
    assert (folder / "metrics.jsonl").read_text().count("\n") == record["epochs"]
    assert (folder / "curves.png").exists() and len(list(folder.glob("*.png"))) >= 2
    assert load_safetensors(folder / "model.safetensors")


class Killed(BaseException):
    """Ends a run at once, as nothing catches it."""


def test_killed_and_resumed(
    model: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice in the middle of an epoch, and once after the first; an agent always after one."""
    options: dict[str, Any] = {**tiny(name_of(model)), "seed": 1}
    real_init, real_save = Run.__init__, Run.save

    def saves_every_two_steps(self: Run, config: Any) -> None:
        real_init(self, config, checkpoint_steps=2)

    monkeypatch.setattr(Run, "__init__", saves_every_two_steps)
    model.train(model.Config(out=str(tmp_path / "unbroken"), **options))

    for saves in (1, 2, 2):
        left = saves

        def save(self: Run) -> None:
            nonlocal left
            real_save(self)
            left -= 1
            if left == 0:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Run, "save", save)
            with pytest.raises(Killed):
                model.train(model.Config(out=str(tmp_path / "killed"), resume=True, **options))
    model.train(model.Config(out=str(tmp_path / "killed"), resume=True, **options))

    for name in ("model.safetensors", "metrics.jsonl", "config.json"):
        unbroken, killed = (tmp_path / run / name for run in ("unbroken", "killed"))
        assert unbroken.read_bytes() == killed.read_bytes(), name
    results = [
        json.loads((tmp_path / r / "result.json").read_text()) for r in ("unbroken", "killed")
    ]
    assert results[0]["metrics"] == results[1]["metrics"]
