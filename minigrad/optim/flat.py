r"""Parameters in one flat buffer, with their gradients and their optimiser state beside them.

Belongs here: :class:`FlatParameters`, the memory of an optimiser. Does not belong here: what a
step computes (``kernels/optim.py``) and hyperparameters (``optimizer.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import device_of, get_array_module, to_device

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["FlatParameters", "Run", "flatten"]


class Run:
    r"""Neighbouring parameters that take the same step.

    Attributes:
        first, stop: which parameters: ``first`` to ``stop - 1``.
        part: where they are in the flat arrays.
        age: how many steps their state has seen.
        numbers: the numbers in their state, by name; a step may replace them.
    """

    __slots__ = ("age", "first", "numbers", "part", "stop")

    def __init__(self, first: int, age: int, numbers: tuple[float, ...]) -> None:
        self.first, self.stop, self.age = first, first + 1, age
        self.part = slice(0)
        self.numbers: Any = numbers  # values only, until the run is complete


class FlatParameters:
    r"""Parameters of one dtype and device, as views of one flat buffer.

    Making one replaces the ``data`` of every parameter by a view of ``flat``, with the same
    values, so that a step over all of them is a handful of vector operations. Gradients stay
    ordinary tensors of their own: what a user holds is never overwritten.

    Attributes:
        flat: the parameters, one after the other; shape (n,).
        grad: room for their gradients; shape (n,). Allocated by the first :meth:`gather`.
        state: the optimiser's arrays by name, each of shape (n,); see :meth:`buffer`.
        numbers: numbers in the state by name, one for each parameter.
        ages: for each parameter, how many steps its state has seen.

    Args:
        params: of one dtype and device.
        fills: what a state array holds before the first step, where that is not 0.
        numbers: the numbers that a state begins with.
    """

    __slots__ = (
        "ages",
        "dtype",
        "fills",
        "flat",
        "grad",
        "numbers",
        "offsets",
        "params",
        "shapes",
        "state",
        "views",
    )

    def __init__(
        self,
        params: Sequence[Tensor],
        fills: Mapping[str, float] = MappingProxyType({}),
        numbers: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
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
        self.fills = dict(fills)
        self.numbers = {name: [start] * len(arrays) for name, start in numbers.items()}
        self.ages = [0] * len(arrays)
        for p, view in zip(params, self.views):
            p.data = view

    def view(self, flat: Any, i: int) -> Any:
        r"""The part of ``flat`` that belongs to parameter ``i``, in that parameter's shape."""
        return flat[self.offsets[i] : self.offsets[i + 1]].reshape(self.shapes[i])

    def buffer(self, name: str) -> Any:
        r"""The flat array of state ``name``; its initial value when it is first asked for."""
        array = self.state.get(name)
        if array is None:
            array = self.state[name] = get_array_module(self.flat).zeros_like(self.flat)
            if self.fills.get(name):
                array.fill(self.fills[name])
        return array

    def in_place(self) -> bool:
        r"""True while every parameter still is its view of the flat buffer."""
        for p, view in zip(self.params, self.views):
            if p.data is not view:
                return False
        return True

    def gather(self, who: str) -> list[Run]:
        r"""Copy the gradients into ``grad`` and say where they are.

        Returns:
            Runs of neighbouring parameters that have a gradient and a state of equal age and
            numbers. Parameters without a gradient are in no run.

        Raises:
            ValueError, TypeError, RuntimeError: a gradient's shape, dtype or device is not its
                parameter's; nothing has been changed.
        """
        runs: list[Run] = []
        pieces: list[list[Any]] = []
        shapes, dtype, ages, kind = self.shapes, self.dtype, self.ages, type(self.flat)
        columns = list(self.numbers.values())
        numbers: tuple[float, ...] = ()
        for i, p in enumerate(self.params):
            g = p.grad
            if g is None:
                continue
            array = g.data
            if array.shape != shapes[i] or array.dtype != dtype or type(array) is not kind:
                _check_gradient(who, array, self.views[i])
            if columns:
                numbers = tuple([column[i] for column in columns])
            if runs:
                last = runs[-1]
                if last.stop == i and last.age == ages[i] and last.numbers == numbers:
                    pieces[-1].append(array)
                    last.stop = i + 1
                    continue
            runs.append(Run(i, ages[i], numbers))
            pieces.append([array])
        if runs:
            xp = get_array_module(self.flat)
            if self.grad is None:
                self.grad = xp.empty_like(self.flat)
            for run, arrays in zip(runs, pieces):
                run.part = slice(self.offsets[run.first], self.offsets[run.stop])
                run.numbers = dict(zip(self.numbers, run.numbers))
                # axis=None also unrolls gradients that are not contiguous, in row-major order.
                xp.concatenate(arrays, axis=None, out=self.grad[run.part])
        return runs

    def aged(self, run: Run) -> None:
        r"""Note that the parameters of ``run`` have taken a step that left state behind."""
        for i in range(run.first, run.stop):
            self.ages[i] = run.age + 1
            for name, value in run.numbers.items():
                self.numbers[name][i] = value


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
    who: str,
    params: Sequence[Tensor],
    old: Sequence[FlatParameters] = (),
    fills: Mapping[str, float] = MappingProxyType({}),
    numbers: Mapping[str, float] = MappingProxyType({}),
) -> list[FlatParameters]:
    r"""Put parameters into flat buffers, one for each dtype and device among them.

    State that they had in ``old`` buffers comes along, converted to the parameter's present dtype
    and device (``module.to`` may have moved it). ``fills`` and ``numbers`` are what state begins
    with, as in :class:`FlatParameters`.

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
            if flat.ages[i] == 0 and not flat.fills:
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
        flat = FlatParameters(members, fills, numbers)
        for i, p in enumerate(members):
            if id(p) not in had:
                continue
            source, k = had[id(p)]
            flat.ages[i] = source.ages[k]
            for name, column in source.numbers.items():
                flat.numbers[name][i] = column[k]
            for name, array in source.state.items():
                moved = to_device(source.view(array, k), device).astype(dtype)
                flat.view(flat.buffer(name), i)[...] = moved
        result.append(flat)
    return result
