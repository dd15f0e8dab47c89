r"""The models on the strict device, which behaves as a GPU does: nothing reaches the host unless
the code says so, and a training step never waits."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.testing.strict import strict
from minigrad.train import Run
from models.__main__ import entries
from models.supervised import mlp

pytest.importorskip("matplotlib")

TINY: dict[str, Any] = {"epochs": 1, "validation": 100, "batch_size": 20}
IMAGES = {"train_images": 60, "test_images": 60}
GAN = {**IMAGES, "width": 0.125, "latent": 8, "samples": 20}
# A bias in front of batch norm has a gradient of rounding errors alone, of which Adam makes a whole
# step. In eval mode, where an average of weights meets running means, such steps are seen.
SLOWLY = {"lr": 1e-4, "lr_generator": 1e-4}
SAMPLES = {"train_samples": 60, "test_samples": 60}
POLYNOMIALS = {
    "width": 0.0625,
    "train_samples": 60,
    "validation": 20,
    "test_samples": 20,
}
LEARNER = {"batch_size": 8, "warmup": 20, "train_every": 20, "updates": 1}
OWN: dict[str, dict[str, Any]] = {
    "autoencoders.colourisation": {**IMAGES, "data": "shapes"},
    "autoencoders.plain": SAMPLES,
    "autoencoders.state": SAMPLES,
    "flows.energies": {"steps": 3, "lengths": (2, 3), "test_samples": 60},
    "flows.realnvp": {"steps": 3, "hidden": 32, "test_points": 60, "grid": 0.1},
    "flows.realnvp_mnist": {**IMAGES, "hidden": 4},
    "flows.vae_nf": {**IMAGES, "iwae_images": 10},
    "gan.cyclegan": {**GAN, "latent": 1, "train_images": 120},
    "gan.toys": {"steps": 3, "samples": 60},
    "gan.wgan": {**GAN, "looks": 1},
    "gan.dcgan_polynomials": POLYNOMIALS,
    "gan.wgan_polynomials": {
        **POLYNOMIALS,
        **SLOWLY,
        "width_generator": 0.125,
        "critic_steps": 2,
    },
    "neural_process.completion": {**IMAGES, "hidden": 32},
    "gan.infogan": {**GAN, **SLOWLY, "samples": 200},
    "neural_process.curves": {"steps": 3, "test_curves": 20},
    "rl.double_dqn": LEARNER,
    "rl.dqn": {**LEARNER, "dueling": True},
    "rl.prioritised_dqn": LEARNER,
    "variational.cvae": {**IMAGES, "generated": 20},
    "variational.introvae": {**IMAGES, "samples": 20},
}


AGENT = {"epochs": 1, "epoch_steps": 60, "watch_episodes": 1, "evaluation_episodes": 2}


def tiny(name: str) -> dict[str, Any]:
    """Options under which the model makes three steps."""
    if name.startswith("rl."):
        return {**AGENT, **OWN.get(name, {})}
    return {**TINY, **OWN.get(name, GAN if name.startswith("gan.") else IMAGES)}


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_the_device_computes_what_the_host_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = importlib.import_module(f"models.{name}")
    results = [
        model.train(model.Config(device=device, out=str(tmp_path / device), **tiny(name)))
        for device in ("cpu", "strict")
    ]
    for key, value in results[0].metrics.items():
        # Sums in another order: a single image may change sides.
        np.testing.assert_allclose(results[1].metrics[key], value, rtol=2e-3, atol=0.04)


# An agent's steps wait: its environment is on the host, and wants to know what it does.
@pytest.mark.parametrize("name", [e.name for e in entries() if not e.name.startswith("rl.")])
def test_a_step_does_not_wait(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the first batch to the last: whatever waits is in what happens once an epoch."""
    model = importlib.import_module(f"models.{name}")
    waits = []
    real = Run.batches

    def counted(self: Run, loader: Any, *values: Any) -> Any:
        with strict.count() as counts:
            yield from real(self, loader, *values)
        waits.append((len(loader), counts.synchronisations))

    monkeypatch.setattr(Run, "batches", counted)
    out = str(tmp_path / "run")
    model.train(model.Config(device="strict", out=out, **tiny(name)))
    assert waits == [(3, 0)]


class Killed(BaseException):
    """Ends a run at once, as nothing catches it."""


def test_a_run_may_go_on_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of one device is resumed on another."""
    options = {**tiny("supervised.mlp"), "epochs": 2, "out": str(tmp_path / "run")}
    real = Run.save

    def save(self: Run) -> None:
        real(self)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save)
        with pytest.raises(Killed):
            mlp.train(mlp.Config(device="strict", **options))
    result = mlp.train(mlp.Config(device="cpu", resume=True, **options))
    assert [line["epoch"] for line in result.history] == [1, 2]
