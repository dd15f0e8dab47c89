r"""The command line that is made of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.train import RunConfig, parse_config
from minigrad.train.config import field_help
from minigrad.train.record import command


@dataclass
class Config(RunConfig):
    epochs: int = 20  #: passes over the data
    lr: float = 0.1  #: learning rate
    #: of the hidden layers, 100 % of them
    activation: Literal["relu", "tanh"] = "relu"
    layers: tuple[int, ...] = (256, 128)  #: units
    shuffle: bool = True
    clip: float | None = None
    name: str = "net: #1"  #: what it is called

    quick_values: ClassVar = {"epochs": 1, "layers": (8,)}

    def check(self) -> None:
        self.expect_at_least(1, "epochs")


def parse(*arguments: str) -> Config:
    return parse_config(Config, list(arguments), prog="program")


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command line says about ``arguments``: one line and exit code 2."""
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == "" and err.count("\n") == 1 and err.endswith("\n")
    return err


def test_defaults_and_values() -> None:
    assert parse() == Config()
    assert parse(
        *("--epochs 3 --lr 1e-3 --activation tanh --layers 4,5,6 --no-shuffle".split()),
        *("--clip 2 --name x --seed 7 --device cpu --out there --resume".split()),
    ) == Config(
        seed=7,
        out="there",
        resume=True,
        epochs=3,
        lr=1e-3,
        activation="tanh",
        layers=(4, 5, 6),
        shuffle=False,
        clip=2.0,
        name="x",
    )
    assert parse("--clip", "none").clip is None
    assert parse("--lr=3").lr == 3.0


def test_quick_changes_defaults_only() -> None:
    assert (parse("--quick").epochs, parse("--quick").layers) == (1, (8,))
    assert parse("--quick", "--epochs", "20").epochs == 20
    assert Config(quick=True, epochs=5).epochs == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], "unknown option '--epoch' (did you mean --epochs?)"),
        (["--frobnicate"], "unknown option '--frobnicate' (--help lists the options)"),
        (["--Epochs=3"], "unknown option '--Epochs' (did you mean --epochs?)"),
        (["stray"], "unexpected argument 'stray'"),
        (["--epochs", "many"], "expected an integer, got 'many'"),
        (["--epochs", "2.5"], "expected an integer, got '2.5'"),
        (["--epochs"], "expected one argument"),
        (["--epochs", "0"], "epochs: expected a number >= 1, got 0"),
        (["--lr", "fast"], "expected a number, got 'fast'"),
        (["--activation", "swish"], "expected one of relu, tanh, got 'swish'"),
        (["--layers", "4,x"], "expected an integer or more, separated by commas, got '4,x'"),
        (["--seed", "-1"], "seed: expected a non-negative integer, got -1"),
        (["--device", "tpu"], "expected 'cpu', 'cuda' or 'cuda:<index>', got 'tpu'"),
        (["--device", "cuda:x"], "expected 'cpu', 'cuda' or 'cuda:<index>', got 'cuda:x'"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in error(capsys, *arguments)


def test_cuda_without_a_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    from minigrad import backend

    monkeypatch.delitem(backend._MODULES_BY_DEVICE, "cuda", raising=False)
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "cupy" else real(name, *a)
    )
    assert "Install CuPy" in error(capsys, "--device", "cuda")


def test_help_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_config(Config, ["--help"], "program", "What it does.")
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for part in (
        "What it does.",
        "passes over the data (default: 20; quick: 1)",
        "of the hidden layers, 100 % of them (default: relu)",
        "--activation {relu,tanh}",
        "units (default: 256,128; quick: (8,))",
        "--shuffle, --no-shuffle",
        "what it is called (default: net: #1)",
        "--device",
        "of all random numbers",
        "by default a new one, runs/MODEL/NUMBER",
    ):
        assert part in text, part


def test_help_is_read_from_comments() -> None:
    found = field_help(Config)
    assert found["epochs"] == "passes over the data"
    assert found["activation"] == "of the hidden layers, 100 % of them"
    assert "shuffle" not in found and "resume" in found


def test_types_are_checked_in_python_too() -> None:
    with pytest.raises(TypeError, match="epochs: expected an integer, got '3'"):
        Config(epochs="3")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="epochs: expected an integer, got True"):
        Config(epochs=True)
    with pytest.raises(TypeError, match="activation: expected one of relu, tanh"):
        Config(activation="swish")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="epochs: expected a number >= 1"):
        Config(epochs=0)
    assert Config(lr=1).lr == 1 and Config(clip=None).clip is None


configs = st.builds(
    Config,
    seed=st.integers(0, 2**40),
    quick=st.booleans(),
    epochs=st.integers(1, 10**6),
    lr=st.floats(allow_nan=False),
    activation=st.sampled_from(["relu", "tanh"]),
    layers=st.lists(st.integers(-5, 10**9), min_size=1).map(tuple),
    shuffle=st.booleans(),
    clip=st.none() | st.floats(0, 1),
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
)


@given(configs)
def test_dict_and_back(config: Config) -> None:
    import json

    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@given(configs.filter(lambda c: not c.name.startswith("-") and c.layers[0] >= 0 and c.lr >= 0))
def test_the_command_of_a_configuration_makes_it_again(config: Config) -> None:
    import shlex

    words = shlex.split(command("test", config))
    assert words[:3] == ["python", "-m", "models.test"]
    assert parse(*words[3:]) == config


def test_unknown_fields_in_a_file() -> None:
    with pytest.raises(ValueError, match="Config: unknown fields colour"):
        Config.from_dict({"colour": 3})
