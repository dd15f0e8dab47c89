r"""The configuration of a run: a dataclass that is also the command line.

Belongs here: the fields that every run has, and making an argument parser from a dataclass.
Does not belong here: what is done with the values (``run.py``).

A field's help is the ``#:`` comment beside or above it, so that a configuration is written once:

    @dataclass
    class Config(RunConfig):
        epochs: int = 20  #: passes over the training set
        activation: Literal["relu", "tanh"] = "relu"  #: of the hidden layers

becomes ``--epochs EPOCHS`` and ``--activation {relu,tanh}``, with those defaults and that help.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NoReturn, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as type_hints

from minigrad.backend import Device, module_of_device

__all__ = ["RunConfig", "parse_config"]

ConfigType = TypeVar("ConfigType", bound="RunConfig")


@dataclass
class RunConfig:
    r"""What every run has. A model's ``Config`` inherits it and adds its own fields.

    Values are checked when the configuration is made: a wrong type is a ``TypeError``, a wrong
    value a ``ValueError``. A model adds its own checks in :meth:`check`.

    >>> @dataclass
    ... class Config(RunConfig):
    ...     epochs: int = 20
    ...     quick_values = {"epochs": 1}
    >>> Config(quick=True).epochs, Config(quick=True, epochs=3).epochs
    (1, 3)
    """

    seed: int = 0  #: of all random numbers; the same seed gives the same run
    device: str = "cpu"  #: where to compute: cpu, cuda or cuda:1
    #: folder for everything the run leaves; by default a new one, runs/MODEL/NUMBER
    out: str | None = None
    resume: bool = False  #: continue the run in --out, or the newest one
    quick: bool = False  #: a version that takes seconds, to see that everything works

    #: what ``quick`` puts in the place of defaults
    quick_values: ClassVar[dict[str, Any]] = {}
    #: fields that may differ when a run is resumed
    resumable: ClassVar[tuple[str, ...]] = ("device", "out", "resume", "epochs")

    def __post_init__(self) -> None:
        if self.quick:
            for field in fields(self):
                if field.name in self.quick_values and getattr(self, field.name) == field.default:
                    setattr(self, field.name, self.quick_values[field.name])
        self._check_all()

    def _check_all(self) -> None:
        hints = type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            if not _fits(value, hints[field.name]):
                raise TypeError(
                    f"{field.name}: expected {_describe(hints[field.name])}, got {value!r}"
                )
        self.expect("seed", self.seed >= 0, "a non-negative integer")
        Device(self.device)
        self.check()

    def check(self) -> None:
        r"""Raise ``ValueError`` for values that make no sense. Models override it."""

    def expect(self, name: str, good: bool, what: str) -> None:
        r"""Raise a ``ValueError`` about the field ``name`` unless ``good``."""
        if not good:
            raise ValueError(f"{name}: expected {what}, got {getattr(self, name)!r}")

    def expect_at_least(self, least: float, *names: str) -> None:
        r"""Raise a ``ValueError`` unless the fields ``names`` are ``>= least``."""
        for name in names:
            self.expect(name, getattr(self, name) >= least, f"a number >= {least}")

    def to_dict(self) -> dict[str, Any]:
        r"""The values that make the run what it is, JSON-able: all but ``out`` and ``resume``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["out"], values["resume"]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls: type[ConfigType], values: dict[str, Any]) -> ConfigType:
        r"""The configuration that :meth:`to_dict` wrote, exactly; ``quick`` changes nothing here.

        Raises:
            ValueError: unknown fields. TypeError, ValueError: as for the constructor.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"{cls.__name__}: unknown fields {', '.join(unknown)}")
        config = cls()
        hints = type_hints(cls)
        for name, value in values.items():
            # JSON has no tuples.
            is_tuple = isinstance(value, list) and _container(hints[name]) is tuple
            setattr(config, name, tuple(value) if is_tuple else value)
        config._check_all()
        return config


# --------------------------------------------------------------------------------- field types
def _options(hint: Any) -> list[Any]:
    """The members of a union, ``None`` among them; a list of one for other types."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _container(hint: Any) -> Any:
    for option in _options(hint):
        if get_origin(option) in (tuple, list):
            return get_origin(option)
    return None


def _fits(value: Any, hint: Any) -> bool:
    for option in _options(hint):
        origin = get_origin(option)
        if option is type(None):
            good = value is None
        elif origin is Literal:
            good = value in get_args(option)
        elif origin in (tuple, list):
            good = isinstance(value, origin) and all(_fits(v, get_args(option)[0]) for v in value)
        elif option is float:
            good = isinstance(value, (int, float)) and not isinstance(value, bool)
        elif option is int:
            good = isinstance(value, int) and not isinstance(value, bool)
        else:
            good = isinstance(value, option)
        if good:
            return True
    return False


def _describe(hint: Any) -> str:
    names = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
    parts = []
    for option in _options(hint):
        if option is type(None):
            parts.append("none")
        elif get_origin(option) is Literal:
            parts.append("one of " + ", ".join(map(str, get_args(option))))
        elif get_origin(option) in (tuple, list):
            parts.append(f"{_describe(get_args(option)[0])} or more, separated by commas")
        else:
            parts.append(names.get(option, getattr(option, "__name__", str(option))))
    return " or ".join(parts)


def _converter(hint: Any) -> Callable[[str], Any]:
    """Text from the command line to a value of the field's type."""

    def one(option: Any, text: str) -> Any:
        if option is type(None):
            if text.lower() == "none":
                return None
            raise ValueError
        if get_origin(option) is Literal:
            return next(c for c in get_args(option) if str(c) == text)
        if get_origin(option) in (tuple, list):
            item = _converter(get_args(option)[0])
            return get_origin(option)(item(part) for part in text.split(",") if part)
        return option(text)

    def convert(text: str) -> Any:
        # None first: "none" is text as well.
        for option in sorted(_options(hint), key=lambda o: o is not type(None)):
            try:
                return one(option, text)
            except (ValueError, StopIteration, argparse.ArgumentTypeError):
                continue
        raise argparse.ArgumentTypeError(f"expected {_describe(hint)}, got {text!r}")

    return convert


def field_help(config_type: type) -> dict[str, str]:
    r"""The ``#:`` comments of the fields of a dataclass and its bases, by field."""
    found: dict[str, str] = {}
    for cls in reversed(config_type.__mro__):
        try:
            lines = inspect.getsource(cls).splitlines()
        except (OSError, TypeError):  # typed in at a prompt, or built in
            continue
        above: list[str] = []
        for line in lines:
            code, mark, comment = line.partition("#:")
            if mark and not code.strip():
                above.append(comment.strip())
                continue
            name, colon, _ = code.strip().partition(":")
            if colon and name.isidentifier():
                text = " ".join([*above, comment.strip()]).strip()
                if text:
                    found[name] = text
            above = []
    return found


# -------------------------------------------------------------------------------- command line
class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line on stderr and exit code 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def _parser(config_type: type[RunConfig], prog: str, description: str) -> _Parser:
    parser = _Parser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = parser.add_argument_group("options of every run")
    own = parser.add_argument_group("options of this model")
    hints, helps = type_hints(config_type), field_help(config_type)
    shared = {field.name for field in fields(RunConfig)}
    for field in fields(config_type):
        group = common if field.name in shared else own
        option = "--" + field.name.replace("_", "-")
        text = helps.get(field.name, "").replace("%", "%%")
        # Only what was typed ends up in the namespace: the rest keeps its default.
        settings: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        hint = hints[field.name]
        if hint is bool:
            if field.default:
                text += " (default: yes)"
                settings["action"] = argparse.BooleanOptionalAction
            else:
                settings["action"] = "store_true"
        else:
            shown = field.default
            if isinstance(shown, (tuple, list)):
                shown = ",".join(map(str, shown))
            if shown is not None:
                text += f" (default: {shown}"
                if field.name in config_type.quick_values:
                    text += f"; quick: {config_type.quick_values[field.name]}"
                text += ")"
            settings["type"] = _converter(hint)
            if get_origin(hint) is Literal:
                settings["metavar"] = "{" + ",".join(map(str, get_args(hint))) + "}"
        group.add_argument(option, help=text, **settings)
    return parser


def parse_config(
    config_type: type[ConfigType],
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    description: str = "",
    saved: Callable[[argparse.Namespace], dict[str, Any] | None] | None = None,
) -> ConfigType:
    r"""The configuration that a command line describes.

    Args:
        config_type: a dataclass that inherits :class:`RunConfig`.
        argv: the arguments; by default those of this process.
        prog: the program's name in messages.
        description: shown by ``--help``.
        saved: given what was typed, the values of the run that is resumed, which then take the
            place of the defaults; None if there is none.

    Mistakes (an unknown option, a bad value, a device that is not there) end the program with one
    line on stderr and exit code 2.

    >>> @dataclass
    ... class Config(RunConfig):
    ...     lr: float = 0.1
    >>> parse_config(Config, ["--lr", "0.5", "--seed", "3"]).lr
    0.5
    """
    parser = _parser(config_type, prog or "python", description)
    typed, unknown = parser.parse_known_args(sys.argv[1:] if argv is None else list(argv))
    if unknown:
        word = unknown[0].partition("=")[0]
        known = [option for action in parser._actions for option in action.option_strings]
        close = difflib.get_close_matches(word, known, 1)
        hint = f"did you mean {close[0]}?" if close else "--help lists the options"
        kind = "unknown option" if word.startswith("-") else "unexpected argument"
        parser.error(f"{kind} {word!r} ({hint})")
    values = vars(typed)
    try:
        before = saved(typed) if saved is not None else None
        if before is not None:
            config = config_type.from_dict(before)
        else:
            config = config_type(quick=values.get("quick", False))
        for name, value in values.items():
            setattr(config, name, value)
        config._check_all()
        module_of_device(config.device)
    except (ValueError, TypeError, RuntimeError) as error:
        parser.error(str(error))
    return config


def describe(module_doc: str | None) -> str:
    """A module's docstring as the description of its command line."""
    return textwrap.dedent(module_doc or "").strip()
