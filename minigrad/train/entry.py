r"""The command-line entry of a model.

Belongs here: what happens between the shell and ``train(config)``, and which errors a user reads as
one line. Does not belong here: the options (``config.py``), the run itself (``run.py``).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from .checkpoint import CheckpointError
from .config import RunConfig, describe, parse_config
from .record import CONFIG, module_name, run_folder
from .run import Result, RunError

__all__ = ["main"]

ConfigType = TypeVar("ConfigType", bound=RunConfig)


def main(
    train: Callable[[Any], Result],
    config_type: type[ConfigType],
    argv: list[str] | None = None,
) -> Result:
    r"""The command line of a model: parse, train, and print the metrics as the last line.

    What a user can put right (an unknown option, a folder in use, a checkpoint of something else,
    a full disk) ends in one line on stderr; exit code 2 for the command line, 1 for the rest.
    """
    name = module_name(config_type.__module__)
    prog = f"python -m models.{name}"
    module = sys.modules.get(config_type.__module__)

    def saved(typed: Any) -> dict[str, Any] | None:
        """What the run to resume was configured with."""
        if not getattr(typed, "resume", False):
            return None
        out = getattr(typed, "out", None)
        folder = run_folder(name, RunConfig(out=out, resume=True))
        if not (folder / CONFIG).exists():
            return None
        try:
            return dict(json.loads((folder / CONFIG).read_bytes())["config"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{folder / CONFIG} is not the configuration of a run") from None

    config = parse_config(config_type, argv, prog, describe(getattr(module, "__doc__", "")), saved)
    missing = [p for p in ("safetensors", "matplotlib") if importlib.util.find_spec(p) is None]
    if missing:
        _fail(prog, f"needs {' and '.join(missing)}: pip install 'minigrad[models]'")
    try:
        result = train(config)
    except (RunError, CheckpointError, OSError, FloatingPointError) as error:
        _fail(prog, str(error))
    except KeyboardInterrupt:
        _fail(prog, "interrupted; the same command with --resume continues", 130)
    print(result.line(), flush=True)
    return result


def _fail(prog: str, message: str, code: int = 1) -> NoReturn:
    print(f"{prog}: error: {message}", file=sys.stderr)
    raise SystemExit(code)
