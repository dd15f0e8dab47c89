r"""fit, evaluate, mean_values, predict and the callbacks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from minigrad.train import (
    Accuracy,
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    JSONLogger,
    LRScheduler,
    MeanSquaredError,
    ModelCheckpoint,
    Progress,
    ReduceLROnPlateau,
    Run,
    RunConfig,
    cycle,
    evaluate,
    fit,
    load_safetensors,
    mean_values,
    predict,
)


def line(n: int = 32) -> tuple[mg.Tensor, mg.Tensor]:
    x = mg.linspace(-1, 1, n).reshape(n, 1)
    return x, 2 * x + 3


def setting(lr: float = 0.1) -> tuple[nn.Module, Any, DataLoader]:
    model = nn.Linear(1, 1)
    return model, optim.SGD(model.parameters(), lr=lr), DataLoader(TensorDataset(*line()), 8)


def train(epochs: int = 3, *callbacks: Callback, lr: float = 0.1, **settings: Any) -> History:
    model, optimizer, loader = setting(lr)
    return fit(
        model, F.mse_loss, optimizer, loader, epochs, loader, callbacks=callbacks, **settings
    )


class Scripted(Callback):
    """Puts given values in the place of the validation loss, and notes what happens."""

    def __init__(self, values: list[float]) -> None:
        self.values, self.seen, self.rates = values, [], []

    def on_epoch_end(self, training: Any) -> None:
        training.logs["val_loss"] = self.values[training.epoch - 1]
        training.model.weight.data[...] = training.epoch  # to recognise the epoch's weights
        self.seen.append(training.epoch)
        self.rates.append(training.optimizer.param_groups[0]["lr"])


def test_fit_finds_the_line() -> None:
    model, optimizer, loader = setting()
    history = fit(model, F.mse_loss, optimizer, loader, 60, metrics={"mse": MeanSquaredError()})
    assert model.weight.item() == pytest.approx(2, abs=1e-3)
    assert model.bias.item() == pytest.approx(3, abs=1e-3)
    assert len(history) == 60 and history["epoch"] == list(range(1, 61))
    assert history["step"][-1] == 240 and "val_loss" not in history.records[0]
    # The loss is the squared error, so the two means agree, and they fall.
    np.testing.assert_allclose(history["loss"], history["mse"], rtol=1e-5)
    assert history["loss"][-1] < 1e-4 * history["loss"][0]
    with pytest.raises(KeyError, match="the logs have epoch, step, loss"):
        history["val_loss"]


def test_fit_is_the_loop_written_out() -> None:
    mg.manual_seed(1)
    model, optimizer, loader = setting()
    fit(model, F.mse_loss, optimizer, loader, 2, max_norm=0.5)
    mg.manual_seed(1)
    model2, optimizer2, loader = setting()
    for _ in range(2):
        for x, y in loader:
            optimizer2.zero_grad()
            F.mse_loss(model2(x), y).backward()
            nn.utils.clip_grad_norm_(list(model2.parameters()), 0.5)
            optimizer2.step()
    assert model.weight.item() == model2.weight.item()


def test_the_mean_loss_weighs_samples_not_batches() -> None:
    x = mg.tensor([[0.0], [0.0], [0.0], [2.0]])
    loader = DataLoader(TensorDataset(x, mg.zeros(4, 1)), 3)
    model = nn.Linear(1, 1, bias=False)
    model.weight.data[...] = 1
    assert evaluate(model, loader, F.mse_loss) == {"loss": 1.0}  # not (0 + 4) / 2


def test_mean_values_weigh_samples_and_leave_no_graph() -> None:
    x = mg.tensor([0.0, 0.0, 0.0, 2.0], requires_grad=True)
    seen = []

    def values(batch: tuple[mg.Tensor, ...]) -> dict[str, mg.Tensor]:
        seen.append(batch[0] * x[0])
        return {"each": batch[0], "mean": batch[0].mean()}

    assert mean_values(values, [(x[:3],), (x[3:],)]) == {"each": 0.5, "mean": 0.5}
    assert not any(t.requires_grad for t in seen)
    assert mean_values(values, []) == {}


def test_evaluate_and_predict_use_evaluation_mode_and_put_it_back() -> None:
    model = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    x, _ = line()
    labels = mg.zeros(32, dtype=mg.int64)
    loader = DataLoader(TensorDataset(x, labels), 5)
    accuracy = Accuracy()
    accuracy.update(np.eye(2), np.array([0, 0]))
    first = evaluate(model, loader, F.cross_entropy, {"accuracy": accuracy})
    assert first == evaluate(model, loader, F.cross_entropy, {"accuracy": accuracy})
    assert accuracy.compute() == 0.5  # served as a pattern
    outputs = predict(model, x, batch_size=7)
    assert outputs.shape == (32, 2) and not outputs.requires_grad and model.training
    np.testing.assert_allclose(outputs.numpy(), predict(model, loader).numpy(), rtol=1e-5)
    assert first["accuracy"] == float((outputs.numpy().argmax(1) == 0).mean())
    with pytest.raises(ValueError, match="predict: expected at least one batch"):
        predict(model, [])


def test_several_inputs() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(mg.ones(1))

        def forward(self, a: mg.Tensor, b: mg.Tensor) -> mg.Tensor:
            return self.scale * a * b

    a, b = mg.rand(16, 1) + 0.5, mg.rand(16, 1) + 0.5
    model = Product()
    loader = DataLoader(TensorDataset(a, b, 3 * a * b), 4)
    fit(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.2), loader, 40)
    assert model.scale.item() == pytest.approx(3, abs=1e-2)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_diverging_loss_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match="loss is (nan|inf) in epoch"):
        train(100, lr=1e9)


# -------------------------------------------------------------------------------- callbacks
def test_early_stopping() -> None:
    script = Scripted([5, 4, 3, 3.5, 3.2, 3.1, 1, 1])
    stopping = EarlyStopping(patience=2, restore_best=True)
    model, optimizer, loader = setting()
    fit(model, F.mse_loss, optimizer, loader, 8, loader, callbacks=[script, stopping])
    assert script.seen == [1, 2, 3, 4, 5] and stopping.best == 3 and stopping.best_epoch == 3
    assert model.weight.item() == 3  # the weights of epoch 3

    script = Scripted([1.0, 1.5, 1.54, 1.58])
    train(4, script, EarlyStopping(mode="max", patience=2, min_delta=0.1))
    assert script.seen == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="patience >= 1"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="expected mode 'min' or 'max', got 'auto'"):
        EarlyStopping(mode="auto")


def test_model_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    model, optimizer, loader = setting()
    fit(
        *(model, F.mse_loss, optimizer, loader, 4, loader),
        callbacks=[Scripted([3, 1, 2, 1]), ModelCheckpoint(path, restore_best=True)],
    )
    assert load_safetensors(path)["weight"].item() == 2 == model.weight.item()
    with pytest.raises(ValueError, match="ModelCheckpoint: expected a path"):
        train(1, ModelCheckpoint())
    with pytest.raises(ValueError, match="expected 'val_accuracy' in the logs, got epoch, step"):
        train(1, ModelCheckpoint(path, monitor="val_accuracy"))


def test_schedules() -> None:
    model, optimizer, loader = setting(lr=1e-3)
    script = Scripted([1.0] * 3)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    fit(
        *(model, F.mse_loss, optimizer, loader, 3, loader),
        callbacks=[script, LRScheduler(schedule)],
    )
    assert script.rates == pytest.approx([1e-3, 5e-4, 2.5e-4])

    model, optimizer, loader = setting(lr=1e-3)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    fit(*(model, F.mse_loss, optimizer, loader, 1), callbacks=[LRScheduler(schedule, "batch")])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * 0.5**4)

    model, optimizer, loader = setting(lr=1e-3)
    script = Scripted([3, 2, 2, 2, 2, 2])
    plateau = ReduceLROnPlateau(optimizer, factor=0.1, patience=1)
    fit(*(model, F.mse_loss, optimizer, loader, 6, loader), callbacks=[script, plateau])
    # Two epochs without improvement are one more than the patience.
    assert script.rates == pytest.approx([1e-3] * 4 + [1e-4] * 2)


def test_a_schedule_overwrites_the_plateau() -> None:
    """The order of callbacks does not matter, a schedule that counts from the first rate wins."""
    model, optimizer, loader = setting(lr=1e-3)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)
    script = Scripted([1.0] * 4)
    fit(
        *(model, F.mse_loss, optimizer, loader, 4, loader),
        callbacks=[script, ReduceLROnPlateau(optimizer, patience=1), LRScheduler(schedule)],
    )
    assert script.rates == [1e-3] * 4


def test_loggers(tmp_path: Path) -> None:
    history = train(3, CSVLogger(tmp_path / "l.csv"), JSONLogger(tmp_path / "l.jsonl"))
    rows = list(csv.DictReader((tmp_path / "l.csv").read_text().splitlines()))
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    lines = [json.loads(text) for text in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert lines == history.records


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    train(2, Progress())
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and out[1].startswith("epoch 2/2  loss ") and "val_loss" in out[1]


def test_history_callback_sees_the_same_records() -> None:
    history = History()
    assert train(2, history).records is history.records and len(history) == 2
    assert [record["epoch"] for record in history] == [1, 2] and "2 epochs" in repr(history)


def test_the_history_of_a_resumed_run_is_whole(tmp_path: Path) -> None:
    def once(epochs: int) -> History:
        run = Run(RunConfig(out=str(tmp_path / "run"), resume=True), "test")
        model, optimizer, loader = setting()
        history = fit(model, F.mse_loss, optimizer, loader, epochs, run=run)
        run.finish()
        return history

    assert once(2)["epoch"] == [1, 2] and once(4)["epoch"] == [1, 2, 3, 4]
    assert once(4)["epoch"] == [1, 2, 3, 4]  # nothing left to do


def test_cycle_goes_through_the_loader_again() -> None:
    loader = DataLoader(list(range(3)), batch_size=2)
    batches = cycle(loader)
    assert [next(batches).tolist() for _ in range(4)] == [[0, 1], [2], [0, 1], [2]]
