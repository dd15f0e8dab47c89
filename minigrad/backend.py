r"""Where arrays live: the array module of an array, moves between devices, and random generators.

Belongs here: everything that must know which array library holds the data. This is the only file
of the project that imports cupy, and it does so only when a CUDA device is asked for.
Does not belong here: gradients (``autograd.py``), and mathematics (``ops/``, ``kernels/``).

The array module is chosen per array, never globally, so CPU and CUDA tensors live side by side.
"""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

__all__ = [
    "Device",
    "Generator",
    "check_later",
    "cuda_is_available",
    "default_generator",
    "device_of",
    "generators_restored",
    "generators_used",
    "get_array_module",
    "is_array",
    "manual_seed",
    "register_array_type",
    "set_default_dtype",
    "get_default_dtype",
    "synchronize",
    "to_device",
    "to_numpy",
]

# type of array -> (array module, device type). CuPy's and the test-only module's types are added
# when they are first needed.
_ARRAY_TYPES: dict[type, tuple[Any, str]] = {np.ndarray: (np, "cpu")}

_CUDA_HELP = (
    "CUDA was asked for, but {reason}. Install CuPy for your CUDA version "
    "(in minigrad's folder: pip install -e '.[cuda12]' or '.[cuda13]'); it needs an NVIDIA GPU."
)


def register_array_type(array_type: type, module: Any, device_type: str) -> None:
    r"""Make arrays of ``array_type`` known: ``module`` is their array module (NumPy's interface)
    and ``device_type`` the name under which :class:`Device` finds it."""
    _ARRAY_TYPES[array_type] = (module, device_type)
    _MODULES_BY_DEVICE[device_type] = module


_MODULES_BY_DEVICE: dict[str, Any] = {"cpu": np}


def _cupy() -> ModuleType:
    r"""Import cupy, register its array type, and return it; a one-line error says how to get it."""
    module = _MODULES_BY_DEVICE.get("cuda")
    if module is not None:
        return module
    if importlib.util.find_spec("cupy") is None:
        raise RuntimeError(_CUDA_HELP.format(reason="CuPy is not installed"))
    import cupy

    if not cupy.is_available():
        raise RuntimeError(_CUDA_HELP.format(reason="no CUDA device was found"))
    register_array_type(cupy.ndarray, cupy, "cuda")
    return cupy


def cuda_is_available() -> bool:
    r"""True if CuPy is installed and sees a GPU."""
    try:
        _cupy()
    except (RuntimeError, ImportError):
        return False
    return True


def _lookup(array: Any) -> tuple[Any, str] | None:
    entry = _ARRAY_TYPES.get(type(array))
    if entry is not None:
        return entry
    if isinstance(array, (np.ndarray, np.generic)):
        return np, "cpu"
    if type(array).__module__.partition(".")[0] == "cupy":  # made by the user before we met cupy
        return _cupy(), "cuda"
    return None


def is_array(x: Any) -> bool:
    r"""True for an array of any registered library (a NumPy scalar counts as one)."""
    return type(x) in _ARRAY_TYPES or _lookup(x) is not None


def get_array_module(*arrays: Any) -> Any:
    r"""The module (numpy, cupy, ...) of the first argument that is an array; numpy if none is.

    >>> get_array_module(np.zeros(3)).__name__
    'numpy'
    """
    for array in arrays:
        entry = _ARRAY_TYPES.get(type(array)) or _lookup(array)
        if entry is not None:
            return entry[0]
    return np


class Device:
    r"""Where a tensor lives: ``Device("cpu")``, ``Device("cuda")``, ``Device("cuda:1")``.

    Equal to its own name, so ``tensor.device == "cpu"`` reads as in PyTorch.

    >>> Device("cuda:1").type, Device("cuda:1").index
    ('cuda', 1)
    """

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, name: str | Device) -> None:
        if isinstance(name, Device):
            self.type, self.index = name.type, name.index
            return
        if not isinstance(name, str):
            raise TypeError(f"device: expected a string such as 'cpu' or 'cuda:0', got {name!r}")
        kind, _, index = name.partition(":")
        if kind not in ("cpu", "cuda") and kind not in _MODULES_BY_DEVICE:
            raise ValueError(f"device: expected 'cpu', 'cuda' or 'cuda:<index>', got {name!r}")
        if (index and not index.isdigit()) or (":" in name and not index):
            raise ValueError(f"device: expected 'cpu', 'cuda' or 'cuda:<index>', got {name!r}")
        self.type = kind
        self.index = int(index) if index else None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, str):
            other = Device(other)
        if not isinstance(other, Device):
            return NotImplemented
        # "cuda" means the first card, as "cuda:0" does.
        return self.type == other.type and (self.index or 0) == (other.index or 0)

    def __hash__(self) -> int:
        return hash((self.type, self.index or 0))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


_CPU = Device("cpu")


def device_of(array: Any) -> Device:
    r"""The device that holds ``array``."""
    if type(array) is np.ndarray:
        return _CPU
    entry = _lookup(array)
    if entry is None:
        raise TypeError(f"device_of: expected an array, got {type(array).__name__}")
    if entry[1] == "cuda":
        return Device(f"cuda:{array.device.id}")
    return Device(entry[1])


def module_of_device(device: str | Device) -> Any:
    r"""The array module that makes arrays on ``device``; an error says what is missing."""
    device = Device(device)
    module = _MODULES_BY_DEVICE.get(device.type)
    if module is None:
        module = _cupy()
    if device.type == "cuda" and (device.index or 0) >= module.cuda.runtime.getDeviceCount():
        count = module.cuda.runtime.getDeviceCount()
        raise RuntimeError(f"device {device} was asked for, but this machine has {count} GPU(s)")
    return module


# Conditions computed on a device that nobody has looked at yet, and the error each one means.
_unchecked: list[tuple[Any, Exception]] = []


def check_later(failed: Any, error: Exception) -> None:
    r"""Raise ``error`` if the 0-d device array ``failed`` turns out true, when the host next waits
    for the device. CUDA libraries do the same: looking at once would stall every step."""
    _unchecked.append((failed, error))
    if len(_unchecked) >= 10_000:  # a program that never looks at a result
        _raise_unchecked()


def _raise_unchecked() -> None:
    pending = _unchecked[:]
    _unchecked.clear()
    for failed, error in pending:
        if failed.get():
            raise error


def to_numpy(array: Any) -> np.ndarray:
    r"""``array`` on the host. This waits for the device, so it never happens implicitly."""
    if type(array) is np.ndarray:
        return array
    entry = _lookup(array)
    if entry is None or entry[0] is np:
        return np.asarray(array)
    if _unchecked:
        _raise_unchecked()
    return array.get()


def to_device(array: Any, device: str | Device) -> Any:
    r"""``array`` on ``device``; the same object if it is there already."""
    device = Device(device)
    module = module_of_device(device)
    if is_array(array) and device_of(array) == device and not isinstance(array, np.generic):
        return array
    host_or_device = array if get_array_module(array) is module else to_numpy(array)
    if device.type == "cuda":
        with module.cuda.Device(device.index or 0):
            return module.asarray(host_or_device)
    return module.asarray(host_or_device)


def synchronize(device: str | Device | None = None) -> None:
    r"""Wait until the device has finished. Nothing to do on the CPU; with no argument, wait for
    CUDA if it is in use at all."""
    cuda = _MODULES_BY_DEVICE.get("cuda")
    if cuda is None or (device is not None and Device(device).type != "cuda"):
        return
    index = 0 if device is None else Device(device).index or 0
    cuda.cuda.Device(index).synchronize()
    _raise_unchecked()


# ------------------------------------------------------------------------------ default dtype
_default_dtype = np.dtype(np.float32)


def set_default_dtype(dtype: Any) -> None:
    r"""The dtype that Python floats and ``zeros``, ``randn``, ... get; float32 unless changed."""
    global _default_dtype
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"set_default_dtype: expected a floating dtype, got {dtype}")
    _default_dtype = dtype


def get_default_dtype() -> np.dtype:
    r"""The dtype that Python floats become.

    >>> get_default_dtype()
    dtype('float32')
    """
    return _default_dtype


# -------------------------------------------------------------------------------- randomness
class Generator:
    r"""A stream of random numbers, drawn on the host, so that CPU and GPU runs start equal.

    A thin owner of ``numpy.random.Generator(PCG64)`` (the ``numpy`` property) whose state is plain
    JSON, so that a checkpoint can hold it.

    >>> g = Generator(0)
    >>> state = g.get_state()
    >>> a = g.numpy.random()
    >>> g.set_state(state)
    >>> g.numpy.random() == a
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = 0
        self._generator = np.random.Generator(np.random.PCG64(0))
        self.manual_seed(secrets.randbits(63) if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        r"""Start the stream again from ``seed`` (a non-negative integer)."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"manual_seed: expected a non-negative integer, got {seed!r}")
        self._seed = int(seed)
        # In place, so that whoever holds `.numpy` keeps drawing from this stream.
        self._generator.bit_generator.state = np.random.PCG64(self._seed).state
        return self

    def initial_seed(self) -> int:
        r"""The seed that this stream was last started from."""
        return self._seed

    @property
    def numpy(self) -> np.random.Generator:
        r"""The NumPy generator underneath."""
        for states in _watch.states:
            if self not in states:
                states[self] = self.get_state()
        return self._generator

    def get_state(self) -> dict[str, Any]:
        r"""The state as JSON-able values; :meth:`set_state` continues from it exactly."""
        return {"seed": self._seed, "bit_generator": self._generator.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        r"""Continue the stream from a state that :meth:`get_state` returned."""
        try:
            self._generator.bit_generator.state = state["bit_generator"]
            self._seed = int(state["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"set_state: not a state of a minigrad Generator: {error}") from None


class _Watch(threading.local):
    r"""What :func:`generators_used` fills in this thread, the innermost block last."""

    def __init__(self) -> None:
        self.states: list[dict[Generator, dict[str, Any]]] = []


_watch = _Watch()


@contextlib.contextmanager
def generators_used() -> Iterator[dict[Generator, dict[str, Any]]]:
    r"""Note which generators are drawn from inside the block, with their states before."""
    states: dict[Generator, dict[str, Any]] = {}
    _watch.states.append(states)
    try:
        yield states
    finally:
        _watch.states.pop()


@contextlib.contextmanager
def generators_restored(states: dict[Generator, dict[str, Any]]) -> Iterator[None]:
    r"""Draw from these states inside the block; afterwards every generator goes on as before it."""
    before = [(generator, generator.get_state()) for generator in states]
    try:
        for generator, state in states.items():
            generator.set_state(state)
        yield
    finally:
        for generator, state in before:
            generator.set_state(state)


_default_generator = Generator()


def default_generator() -> Generator:
    r"""The generator that is used wherever none is given."""
    return _default_generator


def manual_seed(seed: int) -> Generator:
    r"""Seed the default generator, from which all randomness flows unless a generator is given.

    >>> g = manual_seed(0)
    """
    return _default_generator.manual_seed(seed)
