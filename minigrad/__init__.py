r"""minigrad: deep learning from scratch on NumPy and CuPy, with PyTorch's names.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x**2).sum().backward()
>>> x.grad
tensor([2., 4., 6.])

Importing this needs NumPy (and threadpoolctl) alone. ``minigrad.nn``, ``optim`` and ``data`` are
at hand; ``train``, ``testing`` and ``visualize`` are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as _np

from . import backend
from .backend import Device as device
from .backend import (
    Generator,
    cuda_is_available,
    default_generator,
    get_default_dtype,
    manual_seed,
    set_default_dtype,
    synchronize,
)

__version__ = "0.1.0"

float16 = _np.dtype("float16")
float32 = _np.dtype("float32")
float64 = _np.dtype("float64")
int8 = _np.dtype("int8")
int16 = _np.dtype("int16")
int32 = _np.dtype("int32")
int64 = _np.dtype("int64")
uint8 = _np.dtype("uint8")
bool = _np.dtype("bool")

from . import autograd, creation, data, interchange, nn, ops, optim  # noqa: E402
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled  # noqa: E402
from .creation import *  # noqa: E402, F403
from .interchange import load, load_safetensors, save_safetensors  # noqa: E402
from .ops import *  # noqa: E402, F403
from .tensor import Tensor  # noqa: E402

__all__ = [
    "Generator",
    "Tensor",
    "autograd",
    "backend",
    "bool",
    "cuda_is_available",
    "data",
    "default_generator",
    "device",
    "enable_grad",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "int16",
    "int32",
    "int64",
    "int8",
    "interchange",
    "is_grad_enabled",
    "load",
    "load_safetensors",
    "manual_seed",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "save_safetensors",
    "set_default_dtype",
    "set_grad_enabled",
    "synchronize",
    "uint8",
]
__all__ += creation.__all__
__all__ += ops.__all__

_LAZY = ("distributions", "rl", "testing", "train", "vision", "visualize")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
