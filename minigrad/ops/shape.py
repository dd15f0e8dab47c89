r"""Ops that move entries without changing them: reshape, transpose, broadcast, join, split.

Belongs here: ops whose rule is another movement (the adjoint). Selecting by index is in
``indexing.py``, borders are in ``padding.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._base import (
    Function,
    get_array_module,
    normalise_axes,
    normalise_axis,
    raw,
    shape_of,
)

__all__ = [
    "broadcast_to", "cat", "chunk", "diagonal", "expand", "flatten", "flip", "meshgrid",
    "moveaxis", "movedim", "permute", "repeat", "repeat_interleave", "reshape", "roll", "split",
    "squeeze", "stack", "swapaxes", "tile", "transpose", "tril", "triu", "unbind", "unflatten",
    "unsqueeze",
]  # fmt: skip


class Reshape(Function):
    r"""The same entries in row-major order under another shape;  x̄ = ȳ in x's shape."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.target = shape

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(self.target)

    def backward(self, g):
        return reshape(g, self.shape)


class Permute(Function):
    r"""The axes in another order;  x̄ = ȳ with the axes put back."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x):
        return x.transpose(self.axes)

    def backward(self, g):
        inverse = [0] * len(self.axes)
        for i, axis in enumerate(self.axes):
            inverse[axis] = i
        return permute(g, inverse)


class BroadcastTo(Function):
    r"""Repetition along new axes and along axes of length 1;  x̄ = ȳ summed over them."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.target = shape

    def forward(self, x):
        self.shape = x.shape
        return get_array_module(x).broadcast_to(x, self.target)

    def backward(self, g):
        from .reduction import sum_to

        return sum_to(g, self.shape)


class Flip(Function):
    r"""Reversal along some axes, which is its own adjoint."""

    is_view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x):
        return get_array_module(x).flip(x, self.axes)

    def backward(self, g):
        return flip(g, self.axes)


class Roll(Function):
    r"""A cyclic shift;  x̄ = ȳ shifted back."""

    def __init__(self, shifts: tuple[int, ...], axes: tuple[int, ...] | None) -> None:
        self.shifts, self.axes = shifts, axes

    def forward(self, x):
        xp = get_array_module(x)
        if self.axes is None:
            return xp.roll(x, self.shifts[0])
        return xp.roll(x, self.shifts, self.axes)

    def backward(self, g):
        return Roll.apply(g, shifts=tuple([-s for s in self.shifts]), axes=self.axes)


class Cat(Function):
    r"""Tensors joined along an axis; each gets its part of ȳ."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *inputs):
        self.sizes = [x.shape[self.axis] for x in inputs]
        return get_array_module(*inputs).concatenate(inputs, axis=self.axis)

    def backward(self, g):
        parts = []
        start = 0
        for size, needed in zip(self.sizes, self.needs_input_grad):
            index = (slice(None),) * self.axis + (slice(start, start + size),)
            parts.append(g[index] if needed else None)
            start += size
        return tuple(parts)


class Stack(Function):
    r"""Tensors of one shape joined along a new axis; each gets its slice of ȳ."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *inputs):
        return get_array_module(*inputs).stack(inputs, axis=self.axis)

    def backward(self, g):
        lead = (slice(None),) * self.axis
        return tuple(
            [g[(*lead, i)] if needed else None for i, needed in enumerate(self.needs_input_grad)]
        )


class Split(Function):
    r"""Consecutive parts along an axis;  x̄ = the parts' gradients joined, 0 where none came."""

    is_view = True

    def __init__(self, axis: int, sizes: tuple[int, ...]) -> None:
        self.axis, self.sizes = axis, sizes

    def forward(self, x):
        self.shape, self.dtype, self.xp = x.shape, x.dtype, get_array_module(x)
        lead = (slice(None),) * self.axis
        ends = np.cumsum(self.sizes).tolist()
        return tuple([x[(*lead, slice(e - n, e))] for n, e in zip(self.sizes, ends)])

    def backward(self, g):
        parts = []
        for part, n in zip(g if type(g) is tuple else (g,), self.sizes):
            if part is None:
                shape = list(self.shape)
                shape[self.axis] = n
                part = self.xp.zeros(shape, self.dtype)
            parts.append(part)
        return cat(parts, self.axis)


class Triangle(Function):
    r"""The lower or upper triangle of the last two axes, 0 elsewhere, which is its own adjoint."""

    def __init__(self, k: int, lower: bool) -> None:
        self.k, self.lower = k, lower

    def forward(self, x):
        xp = get_array_module(x)
        return (xp.tril if self.lower else xp.triu)(x, self.k)

    def backward(self, g):
        return Triangle.apply(g, k=self.k, lower=self.lower)


# ---------------------------------------------------------------------------- the public functions
def reshape(input: Any, shape: Any) -> Any:
    r"""The same entries under another shape, which may hold one -1 (inferred).

    >>> import minigrad as mg
    >>> mg.reshape(mg.arange(6), (2, -1)).shape
    (2, 3)
    """
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    have = shape_of(input)
    if have == shape:
        return input
    size = math.prod(have)
    known = math.prod([n for n in shape if n != -1])
    unknown = shape.count(-1)
    fits = known == size if not unknown else known > 0 and size % known == 0
    if unknown > 1 or not fits or any(n < -1 for n in shape):
        raise ValueError(f"reshape: expected a shape of {size} entries, got {shape} for {have}")
    return Reshape.apply(input, shape=shape)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    r"""The axes from ``start_dim`` to ``end_dim`` merged into one."""
    shape = shape_of(input)
    if not shape:
        return reshape(input, (1,))
    start = normalise_axis(start_dim, len(shape), "flatten")
    end = normalise_axis(end_dim, len(shape), "flatten")
    if start > end:
        raise ValueError(f"flatten: expected start_dim <= end_dim, got {start_dim}, {end_dim}")
    return reshape(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    r"""The axis ``dim`` split into axes of the given sizes."""
    shape = shape_of(input)
    dim = normalise_axis(dim, len(shape), "unflatten")
    sizes = list(sizes)
    if -1 in sizes:
        rest = math.prod([n for n in sizes if n != -1])
        sizes[sizes.index(-1)] = shape[dim] // rest if rest else 0
    if math.prod(sizes) != shape[dim]:
        raise ValueError(f"unflatten: expected sizes of product {shape[dim]}, got {tuple(sizes)}")
    return reshape(input, (*shape[:dim], *sizes, *shape[dim + 1 :]))


def permute(input: Any, dims: Sequence[int]) -> Any:
    r"""The axes in the order ``dims``."""
    ndim = len(shape_of(input))
    axes = normalise_axes(tuple(dims), ndim, "permute")
    if len(axes) != ndim:
        raise ValueError(f"permute: expected {ndim} axes, got {tuple(dims)}")
    return Permute.apply(input, axes=axes)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    r"""Two axes swapped."""
    ndim = len(shape_of(input))
    a = normalise_axis(dim0, ndim, "transpose")
    b = normalise_axis(dim1, ndim, "transpose")
    axes = list(range(ndim))
    if ndim:
        axes[a], axes[b] = b, a
    return Permute.apply(input, axes=tuple(axes))


swapaxes = transpose


def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    r"""The axes ``source`` moved to the places ``destination``, the others in their order."""
    ndim = len(shape_of(input))
    src = normalise_axes(source, ndim, "movedim")
    dst = normalise_axes(destination, ndim, "movedim")
    if len(src) != len(dst):
        raise ValueError(f"movedim: expected as many destinations as sources, got {source}, {dst}")
    order = [i for i in range(ndim) if i not in src]
    for to, axis in sorted(zip(dst, src)):
        order.insert(to, axis)
    return permute(input, order)


moveaxis = movedim


def broadcast_to(input: Any, shape: Sequence[int]) -> Any:
    r"""Repeated, without copying, to ``shape``."""
    shape = tuple(shape)
    have = shape_of(input)
    if have == shape:
        return input
    lead = len(shape) - len(have)
    if lead < 0 or any(n != m and n != 1 for n, m in zip(have, shape[lead:])):
        raise ValueError(f"broadcast_to: shape {have} does not broadcast to {shape}")
    return BroadcastTo.apply(input, shape=shape)


def expand(input: Any, shape: Sequence[int]) -> Any:
    r"""Repeated, without copying, to ``shape``; -1 keeps an axis as it is."""
    have = shape_of(input)
    shape = tuple(shape)
    lead = len(shape) - len(have)
    if lead < 0 or any(n == -1 for n in shape[: max(lead, 0)]):
        raise ValueError(f"expand: shape {have} does not expand to {shape}")
    return broadcast_to(input, [have[i - lead] if n == -1 else n for i, n in enumerate(shape)])


def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    r"""Axes of length 1 removed: all of them, or those named that have length 1."""
    shape = shape_of(input)
    axes = normalise_axes(dim, len(shape), "squeeze")
    return reshape(input, [n for i, n in enumerate(shape) if not (i in axes and n == 1)])


def unsqueeze(input: Any, dim: int) -> Any:
    r"""A new axis of length 1 at ``dim``."""
    shape = list(shape_of(input))
    shape.insert(normalise_axis(dim, len(shape) + 1, "unsqueeze"), 1)
    return reshape(input, shape)


def _sequence(tensors: Any, name: str) -> list[Any]:
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"{name}: expected at least one tensor, got none")
    return tensors


def cat(tensors: Any, dim: int = 0) -> Any:
    r"""Joined along the existing axis ``dim``; the other axes must agree.

    >>> import minigrad as mg
    >>> mg.cat([mg.ones(1, 2), mg.zeros(2, 2)]).shape
    (3, 2)
    """
    tensors = _sequence(tensors, "cat")
    shapes = [shape_of(t) for t in tensors]
    axis = normalise_axis(dim, len(shapes[0]), "cat")
    for shape in shapes:
        same = len(shape) == len(shapes[0]) and len(shape) > 0
        if not same or any(a != b for i, (a, b) in enumerate(zip(shape, shapes[0])) if i != axis):
            raise ValueError(
                f"cat: expected equal shapes except along axis {axis}, "
                f"got {', '.join(map(str, shapes))}"
            )
    return Cat.apply(*tensors, axis=axis)


def stack(tensors: Any, dim: int = 0) -> Any:
    r"""Tensors of one shape joined along a new axis ``dim``."""
    tensors = _sequence(tensors, "stack")
    shapes = [shape_of(t) for t in tensors]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"stack: expected equal shapes, got {', '.join(map(str, shapes))}")
    return Stack.apply(*tensors, axis=normalise_axis(dim, len(shapes[0]) + 1, "stack"))


def split(input: Any, split_size: int | Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    r"""Consecutive parts along ``dim``: of one size (the last may be smaller), or of given ones."""
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), "split")
    if not shape:
        raise ValueError("split: expected at least one axis, got shape ()")
    n = shape[axis]
    if isinstance(split_size, (int, np.integer)):
        if split_size <= 0:
            raise ValueError(f"split: expected a positive size, got {split_size}")
        sizes = [min(split_size, n - start) for start in range(0, n, split_size)] or [0]
    else:
        sizes = list(split_size)
        if sum(sizes) != n or any(s < 0 for s in sizes):
            raise ValueError(f"split: expected sizes of sum {n}, got {tuple(sizes)}")
    return Split.apply(input, axis=axis, sizes=tuple(sizes))


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    r"""At most ``chunks`` parts of equal size along ``dim`` (the last may be smaller)."""
    if chunks <= 0:
        raise ValueError(f"chunk: expected a positive number of chunks, got {chunks}")
    axis, shape = normalise_axis(dim, len(shape_of(input)), "chunk"), shape_of(input)
    if not shape:
        raise ValueError("chunk: expected at least one axis, got shape ()")
    n = shape[axis]
    if not n:
        return split(input, [0] * chunks, dim)  # as PyTorch has it
    return split(input, -(-n // chunks), dim)


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    r"""The slices along ``dim``, without that axis."""
    axis = normalise_axis(dim, len(shape_of(input)), "unbind")
    if not shape_of(input):
        raise ValueError("unbind: expected at least one axis, got shape ()")
    if not shape_of(input)[axis]:
        return ()
    return tuple([squeeze(part, axis) for part in split(input, 1, axis)])


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    r"""Vectors of lengths n, m, ... as tensors (n, m, ...), each constant along the others' axes.

    Args:
        indexing: "ij", or "xy", which swaps the first two axes.
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    vectors = [reshape(t, (-1,)) if not shape_of(t) else t for t in tensors]
    shape = [shape_of(t)[0] for t in vectors if len(shape_of(t)) == 1]
    if not vectors or len(shape) != len(vectors):
        raise ValueError(f"meshgrid: expected vectors, got {[shape_of(t) for t in tensors]}")
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: expected indexing 'ij' or 'xy', got {indexing!r}")
    floats = sorted({str(raw(v).dtype) for v in vectors if raw(v).dtype.kind == "f"})
    if len(floats) > 1:
        raise TypeError(f"meshgrid: expected one floating dtype, got {', '.join(floats)}")
    grids = []
    for i, v in enumerate(vectors):
        ones = [1] * len(shape)
        ones[i] = shape[i]
        grid = broadcast_to(reshape(v, ones), shape)
        grids.append(transpose(grid, 0, 1) if indexing == "xy" and len(shape) > 1 else grid)
    return tuple(grids)


def flip(input: Any, dims: Sequence[int]) -> Any:
    r"""The order of entries reversed along ``dims``."""
    return Flip.apply(input, axes=normalise_axes(dims, len(shape_of(input)), "flip"))


def roll(input: Any, shifts: int | Sequence[int], dims: Any = None) -> Any:
    r"""Entries shifted cyclically along ``dims``, or in the flattened tensor if None."""
    shifts = (shifts,) if isinstance(shifts, (int, np.integer)) else tuple(shifts)
    axes = None
    if dims is not None:
        named = (dims,) if isinstance(dims, (int, np.integer)) else tuple(dims)
        axes = tuple([normalise_axis(a, len(shape_of(input)), "roll") for a in named])
    if len(shifts) != (1 if axes is None else len(axes)):
        raise ValueError(f"roll: expected a shift for each axis, got {shifts} for {dims}")
    if axes is not None and not shape_of(input):
        raise IndexError(f"roll: expected at least one axis for dims {dims}, got shape ()")
    if axes is not None and len(set(axes)) != len(axes):  # an axis named twice is shifted twice
        total = {a: sum([s for s, b in zip(shifts, axes) if a == b]) for a in axes}
        axes, shifts = tuple(total), tuple(total.values())
    return Roll.apply(input, shifts=shifts, axes=axes)


def repeat(input: Any, repeats: Sequence[int]) -> Any:
    r"""The whole tensor repeated ``repeats[i]`` times along axis i; extra repeats lead."""
    shape = shape_of(input)
    repeats = tuple(repeats)
    lead = len(repeats) - len(shape)
    if lead < 0 or any(r < 0 for r in repeats):
        raise ValueError(f"repeat: expected at least {len(shape)} counts, got {repeats}")
    shape = (1,) * lead + shape
    # (r0, n0, r1, n1, ...) without copying, then merged.
    wide = reshape(input, [k for n in shape for k in (1, n)])
    wide = broadcast_to(wide, [k for r, n in zip(repeats, shape) for k in (r, n)])
    return reshape(wide, [r * n for r, n in zip(repeats, shape)])


def tile(input: Any, dims: Sequence[int]) -> Any:
    r"""As :func:`repeat`; missing counts are 1."""
    dims = tuple(dims)
    return repeat(input, (1,) * (len(shape_of(input)) - len(dims)) + dims)


def repeat_interleave(input: Any, repeats: int, dim: int | None = None) -> Any:
    r"""Each entry repeated ``repeats`` times along ``dim`` (flattened if None)."""
    if dim is None:
        input, dim = flatten(input), 0
    if repeats < 0:
        raise ValueError(f"repeat_interleave: expected repeats >= 0, got {repeats}")
    shape = shape_of(input)
    dim = normalise_axis(dim, len(shape), "repeat_interleave")
    wide = reshape(input, (*shape[: dim + 1], 1, *shape[dim + 1 :]))
    wide = broadcast_to(wide, (*shape[: dim + 1], repeats, *shape[dim + 1 :]))
    return reshape(wide, (*shape[:dim], shape[dim] * repeats, *shape[dim + 1 :]))


def _matrix(input: Any, name: str) -> Any:
    if len(shape_of(input)) < 2:
        raise ValueError(f"{name}: expected at least 2 axes, got shape {shape_of(input)}")
    return input


def tril(input: Any, diagonal: int = 0) -> Any:
    r"""The lower triangle of the last two axes, up to ``diagonal``; 0 above."""
    return Triangle.apply(_matrix(input, "tril"), k=diagonal, lower=True)


def triu(input: Any, diagonal: int = 0) -> Any:
    r"""The upper triangle of the last two axes, from ``diagonal`` on; 0 below."""
    return Triangle.apply(_matrix(input, "triu"), k=diagonal, lower=False)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    r"""The diagonal of the axes ``dim1``, ``dim2``, as the last axis."""
    ndim = len(shape_of(input))
    if ndim < 2:
        raise ValueError(f"diagonal: expected at least 2 axes, got shape {shape_of(input)}")
    a = normalise_axis(dim1, ndim, "diagonal")
    b = normalise_axis(dim2, ndim, "diagonal")
    moved = movedim(input, (a, b), (ndim - 2, ndim - 1))
    rows, columns = shape_of(moved)[-2:]
    n = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    i = np.arange(n)
    xp = get_array_module(raw(input))
    return moved[(Ellipsis, xp.asarray(i + max(-offset, 0)), xp.asarray(i + max(offset, 0)))]
