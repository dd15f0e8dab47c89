r"""Checkpoints: a whole run in one file.

Belongs here: the file format, and putting a state back all or nothing. Does not belong here: what a
run consists of (``run.py``), and plain weights (``minigrad.interchange``).

A checkpoint is one ``.safetensors`` file. Its arrays are the file's tensors; everything else
(numbers, strings, lists, the structure itself) is JSON in the file's metadata. Nothing is pickled,
so loading a file never runs code from it, and every safetensors reader opens it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import is_array
from minigrad.interchange.files import CheckpointError, PathLike, write_atomically
from minigrad.interchange.safetensors_file import (
    host_array,
    load_safetensors,
    pack,
    save_safetensors,
    unpack,
)
from minigrad.tensor import Tensor

__all__ = [
    "CheckpointError",
    "PathLike",
    "load_checkpoint",
    "load_safetensors",
    "save_checkpoint",
    "save_safetensors",
    "write_atomically",
]

FORMAT = "minigrad-checkpoint"
VERSION = 1


# --------------------------------------------------------------------------- any state, as a tree
# JSON knows neither tensors nor tuples nor keys that are no strings (an optimiser numbers its
# parameters), so these are written as an object with one of the following keys.
_TENSOR, _ARRAY, _TUPLE, _DICT = "$tensor", "$array", "$tuple", "$dict"
_MARKS = (_TENSOR, _ARRAY, _TUPLE, _DICT)


def _encode(value: Any, where: str, arrays: dict[str, Any]) -> Any:
    """``value`` as JSON; its arrays go to ``arrays`` under the path that leads to them."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor) or is_array(value):
        while where in arrays:  # {"a/b": x, "a": {"b": y}}
            where += "'"
        arrays[where] = value
        return {_TENSOR if isinstance(value, Tensor) else _ARRAY: where}
    if isinstance(value, Mapping):
        items = {
            k: _encode(v, f"{where}/{k}" if where else str(k), arrays) for k, v in value.items()
        }
        if all(isinstance(k, str) and k not in _MARKS for k in items):
            return items
        if not all(isinstance(k, (bool, int, float, str)) for k in items):
            raise TypeError(f"save_checkpoint: expected string or number keys at {where!r}")
        return {_DICT: [[k, v] for k, v in items.items()]}
    if isinstance(value, (list, tuple)):
        parts = [_encode(v, f"{where}/{i}", arrays) for i, v in enumerate(value)]
        return {_TUPLE: parts} if isinstance(value, tuple) else parts
    raise TypeError(
        f"save_checkpoint: cannot store {type(value).__name__} at {where!r}; expected tensors, "
        "arrays, numbers, strings, None, and lists, tuples and dicts of them"
    )


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_decode(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        mark, content = next(iter(value.items()))
        if mark == _TENSOR:
            return Tensor(arrays[content])
        if mark == _ARRAY:
            return arrays[content]
        if mark == _TUPLE:
            return tuple(_decode(v, arrays) for v in content)
        if mark == _DICT:
            return {k: _decode(v, arrays) for k, v in content}
    return {k: _decode(v, arrays) for k, v in value.items()}


# ---------------------------------------------------------------------------- things with a state
def _state_of(value: Any) -> Any:
    """The state of a module, optimiser, loader, generator ...; anything else is its own state."""
    if not isinstance(value, Tensor):
        for method in ("state_dict", "get_state"):
            if callable(getattr(value, method, None)):
                return getattr(value, method)()
    return value


def _loader_of(value: Any) -> Callable[[Any], Any] | None:
    for method in ("load_state_dict", "set_state"):
        if callable(getattr(value, method, None)):
            return getattr(value, method)
    return None


def save_checkpoint(path: PathLike, state: Mapping[str, Any]) -> None:
    r"""Write ``state`` to one file, at once or not at all.

    Args:
        path: where to; by convention ``*.safetensors``.
        state: by name, anything with ``state_dict()`` (modules, optimisers, schedules, loaders) or
            ``get_state()`` (generators), or plain values: tensors, arrays, numbers, strings, None,
            and lists, tuples and dicts of them.

    Raises:
        TypeError: something that cannot be stored, and where it stands; nothing is written.
        OSError: the file could not be written; the previous checkpoint is still there.

    >>> import tempfile, minigrad as mg
    >>> path = tempfile.mkdtemp() + "/checkpoint.safetensors"
    >>> generator = mg.Generator(3)
    >>> save_checkpoint(path, {"generator": generator, "epoch": 2, "best": (0.5, mg.ones(2))})
    >>> load_checkpoint(path, {"generator": generator})["best"]
    (0.5, tensor([1., 1.]))
    """
    states = {name: _state_of(value) for name, value in state.items()}
    arrays: dict[str, Any] = {}
    tree = _encode(states, "", arrays)
    metadata = {"format": FORMAT, "version": str(VERSION), "state": json.dumps(tree)}
    write_atomically(path, pack(arrays, metadata))


def load_checkpoint(path: PathLike, into: Mapping[str, Any] | None = None) -> dict[str, Any]:
    r"""Read a checkpoint, and put its states back into the objects in ``into``: all or none.

    Args:
        path: a file that :func:`save_checkpoint` wrote.
        into: name -> object with ``load_state_dict()`` or ``set_state()``.

    Returns:
        The whole state by name, as it was saved; tensors are on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is truncated, not a checkpoint of minigrad, of a newer format, or
            its states do not fit the objects; the objects are as they were.
    """
    path = Path(path)
    arrays, metadata = unpack(path)
    if metadata.get("format") != FORMAT:
        names = ", ".join(sorted(arrays)[:5]) or "no tensors"
        raise CheckpointError(
            f"load_checkpoint: {path} is not a checkpoint of minigrad: expected format "
            f"{FORMAT!r}, got {metadata.get('format')!r} (tensors: {names}); "
            "load_safetensors reads plain weights"
        )
    version = metadata.get("version", "")
    if not version.isdigit() or int(version) > VERSION:
        raise CheckpointError(
            f"load_checkpoint: {path}: expected format version <= {VERSION}, got {version!r}; "
            "it was written by a newer minigrad"
        )
    try:
        states = dict(_decode(json.loads(metadata["state"]), arrays))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"load_checkpoint: {path}: its state cannot be read ({type(error).__name__}: {error})"
        ) from None
    restore(states, into or {}, str(path))
    return states


def restore(states: Mapping[str, Any], into: Mapping[str, Any], source: str) -> None:
    """Put ``states`` back into the objects of the same names: all, or none and an error."""
    missing = [name for name in into if name not in states]
    if missing:
        raise CheckpointError(
            f"load_checkpoint: {source}: expected the states {sorted(into)}, got {sorted(states)}"
        )
    for name, target in into.items():
        if _loader_of(target) is None:
            raise TypeError(
                "load_checkpoint: expected objects with load_state_dict() or set_state(), "
                f"got {type(target).__name__} at {name!r}"
            )
        _compare_tensors(name, _state_of(target), states[name], source)
    # Whatever else an object finds wrong with its state, it says when it loads it; those that were
    # loaded before then get their old state back.
    before = {name: _copied(_state_of(target)) for name, target in into.items()}
    loaded: list[str] = []
    try:
        for name, target in into.items():
            loaded.append(name)
            _load(target, states[name])
    except Exception as error:
        for name in loaded:
            with contextlib.suppress(Exception):
                _load(into[name], before[name])
        raise CheckpointError(
            f"load_checkpoint: {source}: the state of {loaded[-1]!r} does not fit "
            f"{type(into[loaded[-1]]).__name__}: {error}"
        ) from error


def _load(target: Any, state: Any) -> None:
    loader = _loader_of(target)
    assert loader is not None
    loader(state)


def _copied(state: Any) -> Any:
    arrays: dict[str, Any] = {}
    tree = _encode(state, "", arrays)
    return _decode(tree, {name: host_array(name, array).copy() for name, array in arrays.items()})


def _compare_tensors(name: str, expected: Any, got: Any, source: str) -> None:
    """For a module's state, names and shapes of its tensors: a difference is listed in full."""
    if not isinstance(expected, Mapping) or not isinstance(got, Mapping):
        return
    if not expected or not all(isinstance(v, Tensor) for v in expected.values()):
        return  # not a module's state
    lines = [
        f"  {key}: expected {tuple(expected[key].shape)}, got nothing"
        for key in expected
        if key not in got
    ]
    lines += [
        f"  {key}: expected nothing, got {np.shape(got[key])}" for key in got if key not in expected
    ]
    lines += [
        f"  {key}: expected {tuple(expected[key].shape)}, got {tuple(got[key].shape)}"
        for key in expected
        if key in got and tuple(expected[key].shape) != tuple(getattr(got[key], "shape", ()))
    ]
    if lines:
        shown = lines[:12] + ([f"  ... and {len(lines) - 12} more"] if len(lines) > 12 else [])
        raise CheckpointError(
            f"load_checkpoint: {source} holds another architecture; {name!r} differs in "
            f"{len(lines)} tensors:\n" + "\n".join(shown)
        )
