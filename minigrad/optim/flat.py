r"""Parameters in one flat buffer, with their gradients and their optimiser state beside them.

Belongs here: :class:`FlatParameters`, the memory of an optimiser. Does not belong here: what a
step computes (``kernels/optim.py``) and hyperparameters (``optimizer.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import device_of, get_array_module, to_device

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["FlatParameters", "flatten"]


class FlatParameters:
    r"""Parameters of one dtype and device, as views of one flat buffer.

    Making one replaces the ``data`` of every parameter by a view of ``flat``, with the same
    values, so that a step over all of them is a handful of vector operations. Gradients stay
    ordinary tensors of their own: what a user holds is never overwritten.

    Attributes:
        flat: the parameters, one after the other; shape (n,).
        grad: room for their gradients; shape (n,). Allocated by the first :meth:`gather`.
        state: the optimiser's arrays by name, each of shape (n,); see :meth:`buffer`.
        ages: for each parameter, how many steps its state has seen.
    """

    __slots__ = ("ages", "dtype", "flat", "grad", "offsets", "params", "shapes", "state", "views")

    def __init__(self, params: Sequence[Tensor]) -> None:
        arrays = [p.data for p in params]
        xp = get_array_module(arrays[0])
        self.params = list(params)
        self.dtype = arrays[0].dtype
        self.shapes = [a.shape for a in arrays]
        self.offsets = [0]
        for a in arrays:
            self.offsets.append(self.offsets[-1] + a.size)
        self.flat: Any = xp.concatenate([a.reshape(-1) for a in arrays])
        self.views = [self.view(self.flat, i) for i in range(len(arrays))]
        self.grad: Any = None
        self.state: dict[str, Any] = {}
        self.ages = [0] * len(arrays)
        for p, view in zip(params, self.views):
            p.data = view

    def view(self, flat: Any, i: int) -> Any:
        r"""The part of ``flat`` that belongs to parameter ``i``, in that parameter's shape."""
        return flat[self.offsets[i] : self.offsets[i + 1]].reshape(self.shapes[i])

    def buffer(self, name: str) -> Any:
        r"""The flat array of state ``name``; zeros when it is first asked for."""
        array = self.state.get(name)
        if array is None:
            array = self.state[name] = get_array_module(self.flat).zeros_like(self.flat)
        return array

    def in_place(self) -> bool:
        r"""True while every parameter still is its view of the flat buffer."""
        for p, view in zip(self.params, self.views):
            if p.data is not view:
                return False
        return True

    def gather(self, who: str) -> list[list[int]]:
        r"""Copy the gradients into ``grad`` and say where they are.

        Returns:
            Runs ``[first, last + 1, age]`` of neighbouring parameters that have a gradient and
            have seen equally many steps. Parameters without a gradient are in no run.

        Raises:
            ValueError, TypeError, RuntimeError: a gradient's shape, dtype or device is not its
                parameter's; nothing has been changed.
        """
        runs: list[list[int]] = []
        pieces: list[list[Any]] = []
        shapes, dtype, ages, kind = self.shapes, self.dtype, self.ages, type(self.flat)
        end, age = -1, 0  # of the run that is growing
        for i, p in enumerate(self.params):
            g = p.grad
            if g is None:
                continue
            array = g.data
            if array.shape != shapes[i] or array.dtype != dtype or type(array) is not kind:
                _check_gradient(who, array, self.views[i])
            if end == i and age == ages[i]:
                pieces[-1].append(array)
                runs[-1][1] = end = i + 1
            else:
                end, age = i + 1, ages[i]
                runs.append([i, end, age])
                pieces.append([array])
        if runs:
            xp = get_array_module(self.flat)
            if self.grad is None:
                self.grad = xp.empty_like(self.flat)
            offsets = self.offsets
            for (first, stop, _), arrays in zip(runs, pieces):
                # axis=None also unrolls gradients that are not contiguous, in row-major order.
                xp.concatenate(arrays, axis=None, out=self.grad[offsets[first] : offsets[stop]])
        return runs


def _check_gradient(who: str, gradient: Any, parameter: Any) -> None:
    if gradient.shape != parameter.shape:
        raise ValueError(
            f"{who}: expected a gradient of shape {parameter.shape}, got {gradient.shape}"
        )
    if gradient.dtype != parameter.dtype:
        raise TypeError(
            f"{who}: expected a gradient of dtype {parameter.dtype}, got {gradient.dtype}"
        )
    if device_of(gradient) != device_of(parameter):
        raise RuntimeError(
            f"{who}: expected a gradient on {device_of(parameter)}, got {device_of(gradient)}"
        )


def _address(array: Any) -> int:
    r"""Where the first element is, in the memory of the array's device."""
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"][0]
    pointer = getattr(getattr(array, "data", None), "ptr", None)  # CuPy
    return id(array) if pointer is None else pointer


def flatten(
    who: str, params: Sequence[Tensor], old: Sequence[FlatParameters] = ()
) -> list[FlatParameters]:
    r"""Put parameters into flat buffers, one for each dtype and device among them.

    State that they had in ``old`` buffers comes along, converted to the parameter's present dtype
    and device (``module.to`` may have moved it).

    Raises:
        ValueError: a parameter has state of another shape, or two parameters share memory (each
            would get its own, and silently drift apart); nothing has been changed.
    """
    owners: dict[int, Tensor] = {}
    for p in params:
        if p.data.size and owners.setdefault(_address(p.data), p) is not p:
            raise ValueError(
                f"{who}: two parameters of shapes {owners[_address(p.data)].shape} and {p.shape} "
                "share memory; to tie them, use one Parameter in both places"
            )
    had: dict[int, tuple[FlatParameters, int]] = {}
    for flat in old:
        for i, p in enumerate(flat.params):
            if flat.ages[i] == 0:
                continue
            if p.data.shape != flat.shapes[i]:
                raise ValueError(
                    f"{who}: a parameter changed its shape from {flat.shapes[i]} to "
                    f"{p.data.shape}, and its state no longer fits; make a new optimizer"
                )
            had[id(p)] = (flat, i)
    kinds: dict[tuple[Any, str], list[Tensor]] = {}
    for p in params:
        kinds.setdefault((p.data.dtype, str(device_of(p.data))), []).append(p)
    result = []
    for (dtype, device), members in kinds.items():
        flat = FlatParameters(members)
        for i, p in enumerate(members):
            if id(p) not in had:
                continue
            source, k = had[id(p)]
            flat.ages[i] = source.ages[k]
            for name, array in source.state.items():
                moved = to_device(source.view(array, k), device).astype(dtype)
                flat.view(flat.buffer(name), i)[...] = moved
        result.append(flat)
    return result
