r"""Ops that select entries by position: indexing, gathering, masking, and their adjoints.

Belongs here: basic, integer-array and boolean indexing, ``gather``, ``scatter_add``, masks.
Every index is checked before use: CuPy would wrap an index that is out of range silently.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import check_later
from ..kernels.scatter import scatter_add as scatter_add_kernel
from ._base import (
    Function,
    get_array_module,
    is_array,
    is_tensor,
    normalise_axis,
    raw,
    run,
    shape_of,
)
from .elementwise import where

__all__ = [
    "argsort", "embedding", "gather", "getitem", "index_select", "masked_fill", "masked_select",
    "nonzero", "one_hot", "scatter", "scatter_add", "sort", "take_along_dim", "topk",
]  # fmt: skip


# ------------------------------------------------------------------------------ checking indices
def _check_range(index: Any, n: int, name: str, allow_negative: bool = True) -> None:
    r"""An error if an entry of the integer array ``index`` is outside [0, n), or [-n, n).

    On the host at once. On a GPU the answer is looked at when the host next waits for the device,
    so that the check costs no synchronisation (:func:`minigrad.backend.check_later`).
    """
    if not index.size:
        return
    message = f"{name}: index {{}} is out of range for an axis of length {n}"
    if isinstance(index, np.ndarray):
        if index.dtype == np.int64 and not allow_negative:
            # As unsigned, a negative index is huge: one pass instead of two.
            if index.view(np.uint64).max() < n:
                return
        low, high = index.min(), index.max()
        if low < (-n if allow_negative else 0) or high >= n:
            raise IndexError(message.format(high if high >= n else low))
        return
    bad = (index >= n) | (index < (-n if allow_negative else 0))
    check_later(bad.any(), IndexError(message.format("")))


def raw_index(index: Any, array: Any) -> Any:
    r"""``index`` with tensors as arrays on the array's device, checked against its shape."""
    xp = get_array_module(array)
    parts = list(index) if isinstance(index, tuple) else [index]
    out = []
    for part in parts:
        part = raw(part)
        if isinstance(part, (list, range)):
            part = np.asarray(part)
        if is_array(part) and not isinstance(part, np.generic):
            if part.dtype.kind not in "iub":
                if part.size:
                    raise IndexError(
                        f"getitem: expected integer or boolean index, got {part.dtype}"
                    )
                part = part.astype(np.int64)
            if get_array_module(part) is not xp:
                part = xp.asarray(part)  # an index list from the host is moved, data never is
        elif isinstance(part, (float, np.floating)):
            raise IndexError(f"getitem: expected an integer, slice or array index, got {part!r}")
        out.append(part)
    used = sum(
        [
            p.ndim if is_array(p) and p.dtype.kind == "b" else 1
            for p in out
            if p is not None and p is not Ellipsis and not isinstance(p, bool)
        ]
    )
    if used > array.ndim:
        raise IndexError(f"getitem: {used} indices for a tensor of shape {tuple(array.shape)}")
    axis = 0
    for k, part in enumerate(out):
        if part is None or isinstance(part, bool):
            continue
        if part is Ellipsis:
            rest = sum(
                [
                    p.ndim if is_array(p) and p.dtype.kind == "b" else 1
                    for p in out[k + 1 :]
                    if p is not None and not isinstance(p, bool)
                ]
            )
            axis = array.ndim - rest
            continue
        if is_array(part) and part.dtype.kind == "b":
            if tuple(part.shape) != tuple(array.shape[axis : axis + part.ndim]):
                raise IndexError(
                    f"getitem: expected a mask of shape {tuple(array.shape[axis:])}, "
                    f"got {tuple(part.shape)}"
                )
            axis += part.ndim
            continue
        n = array.shape[axis]
        if is_array(part):
            _check_range(np.asarray(part) if isinstance(part, np.generic) else part, n, "getitem")
        elif isinstance(part, int) and not -n <= part < n:
            raise IndexError(f"getitem: index {part} is out of range for an axis of length {n}")
        axis += 1
    return tuple(out) if isinstance(index, tuple) else out[0]


# ------------------------------------------------------------------------------------------ ops
def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return not any(is_array(p) or isinstance(p, bool) for p in parts)


class GetItem(Function):
    r"""y = x[index];  x̄ = zeros with ȳ added at ``index``, entry by entry, so that a position
    that is selected twice gets both gradients."""

    is_view = True  # for basic indices; for the others the shared counter is only cautious

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x):
        self.shape = x.shape
        return x[self.index]

    def backward(self, g):
        return PutAdd.apply(g, index=self.index, shape=self.shape)


class PutAdd(Function):
    r"""The adjoint of ``x[index]``: zeros of ``shape`` with the entries of y added at ``index``;
    ȳ = x̄[index]. ``once`` says that no position occurs twice."""

    def __init__(self, index: Any, shape: tuple[int, ...], once: bool = False) -> None:
        self.index, self.shape, self.once = index, shape, once

    def forward(self, y):
        x = get_array_module(y).zeros(self.shape, y.dtype)
        if self.once or _is_basic(self.index):
            x[self.index] = y
        else:
            scatter_add_kernel(x, self.index, y)
        return x

    def backward(self, g):
        return GetItem.apply(g, index=self.index)


class Gather(Function):
    r"""y = x at ``index`` along an axis, elsewhere at y's own position;  x̄ = ȳ added back there."""

    def __init__(self, index: Any, axis: int) -> None:
        self.position = _along(index, axis)
        self.once = not index.ndim or index.shape[axis] == 1

    def forward(self, x):
        self.shape = x.shape
        return x[self.position]

    def backward(self, g):
        return PutAdd.apply(g, index=self.position, shape=self.shape, once=self.once)


def _along(index: Any, axis: int) -> tuple[Any, ...]:
    r"""``index`` along ``axis`` as a full advanced index: arange along every other axis."""
    xp = get_array_module(index)
    parts = []
    for i, n in enumerate(index.shape):
        if i == axis:
            parts.append(index)
        else:
            shape = [1] * index.ndim
            shape[i] = n
            parts.append(xp.arange(n).reshape(shape))
    return tuple(parts)


# ---------------------------------------------------------------------------- the public functions
def getitem(input: Any, index: Any) -> Any:
    r"""``input[index]``: integers, slices, None, ``...``, integer arrays, boolean masks.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[mg.tensor([0, 0, 2])].sum().backward()
    >>> x.grad  # 0 was selected twice
    tensor([2., 0., 1.])
    """
    if not is_tensor(input):
        return input[index]
    return GetItem.apply(input, index=raw_index(index, input.data))


def _index_array(index: Any, like: Any, name: str) -> Any:
    array = raw(index)
    if not is_array(array):
        array = get_array_module(raw(like)).asarray(array)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected an integer index, got {array.dtype}")
    from ..backend import device_of

    if device_of(array) != device_of(raw(like)):
        raise RuntimeError(
            f"{name}: expected the index on {device_of(raw(like))}, got {device_of(array)}"
        )
    return array


def gather(input: Any, dim: int, index: Any) -> Any:
    r"""``out[i][j][k] = input[index[i][j][k]][j][k]`` for ``dim`` 0, and alike along others.

    ``index`` has as many axes as ``input`` and is nowhere longer except along ``dim``.
    """
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), "gather")
    index = _index_array(index, input, "gather")
    if index.ndim != len(shape) or any(
        m > n for i, (m, n) in enumerate(zip(index.shape, shape)) if i != axis
    ):
        raise ValueError(
            f"gather: expected an index within shape {shape} except along axis {axis}, "
            f"got {tuple(index.shape)}"
        )
    _check_range(index, shape[axis] if shape else 1, "gather", allow_negative=False)
    return Gather.apply(input, index=index, axis=axis)


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    r"""As :func:`gather`, with the other axes broadcast against each other; without ``dim``, of the
    flattened tensor."""
    from .shape import broadcast_to, reshape

    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    shape = list(shape_of(input))
    axis = normalise_axis(dim, len(shape), "take_along_dim")
    index = _index_array(indices, input, "take_along_dim")
    if index.ndim != len(shape):
        raise ValueError(f"take_along_dim: expected {len(shape)} axes, got {tuple(index.shape)}")
    if not shape:
        return gather(input, 0, index)
    rest = [tuple([n for i, n in enumerate(s) if i != axis]) for s in (shape, index.shape)]
    try:
        common = list(np.broadcast_shapes(*rest))
    except ValueError:
        raise ValueError(
            f"take_along_dim: expected shapes that broadcast but for axis {axis}, "
            f"got {tuple(shape)} and {tuple(index.shape)}"
        ) from None
    index = broadcast_to(index, common[:axis] + [index.shape[axis]] + common[axis:])
    input = broadcast_to(input, common[:axis] + [shape[axis]] + common[axis:])
    return gather(input, axis, index)


def _scatter(input: Any, dim: int, index: Any, src: Any, name: str) -> tuple[Any, Any, Any]:
    r"""The checked position of each entry of ``src`` in ``input``, and that part of ``src``."""
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), name)
    index = _index_array(index, input, name)
    source = shape_of(src)
    if not len(shape) == index.ndim == len(source) or any(
        m > n or (m > k and i != axis)
        for i, (m, n, k) in enumerate(zip(index.shape, source, shape))
    ):
        raise ValueError(
            f"{name}: expected an index within src {source} and input {shape}, "
            f"got {tuple(index.shape)}"
        )
    _check_range(index, shape[axis] if shape else 1, name, allow_negative=False)
    if source != tuple(index.shape):
        src = src[tuple([slice(0, n) for n in index.shape])]
    return _along(index, axis), src, shape


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    r"""``input`` with ``src`` added at ``index`` along ``dim``: the adjoint of :func:`gather`."""
    position, src, shape = _scatter(input, dim, index, src, "scatter_add")
    return input + PutAdd.apply(src, index=position, shape=shape)


def scatter(input: Any, dim: int, index: Any, src: Any) -> Any:
    r"""``input`` with ``src``, a tensor or a number, in place of the entries at ``index`` along
    ``dim``. Where an index occurs twice, one of the values stays: use :func:`scatter_add`."""
    from .elementwise import cast

    array = raw(input)
    xp = get_array_module(array)
    if isinstance(src, (int, float)):
        src = xp.full(shape_of(index), src, array.dtype)
    position, src, shape = _scatter(input, dim, index, src, "scatter")
    floats = {a.dtype for a in (array, raw(src)) if a.dtype.kind == "f"}
    if len(floats) > 1:
        names = ", ".join(sorted([str(dtype) for dtype in floats]))
        raise TypeError(f"scatter: expected one floating dtype, got {names}")
    dtype = floats.pop() if floats else array.dtype
    if raw(src).dtype != dtype:
        src = cast(src, dtype)
    if array.dtype != dtype:
        input = cast(input, dtype)
    hit = xp.zeros(shape, bool)
    hit[position] = True
    # Which entry of src won: of those that share a place only one is to get a gradient.
    winner = xp.zeros(shape, np.int64)
    number = xp.arange(raw(src).size).reshape(raw(src).shape)
    winner[position] = number
    won = winner[position] == number
    placed = PutAdd.apply(where(won, src, 0.0), index=position, shape=shape)
    return where(hit, placed, input)


def nonzero(input: Any, as_tuple: bool = False) -> Any:
    r"""The positions of the entries that are not 0, (count, axes), or a vector for each axis.
    No gradient. Waits for the device, as the result's length is in the data."""
    found = [run(lambda x, a=a: x.nonzero()[a], input) for a in range(len(shape_of(input)))]
    if as_tuple:
        return tuple(found)
    from .shape import stack

    if not found:
        return run(lambda x: get_array_module(x).zeros((int((x != 0).item()), 0), np.int64), input)
    return stack(found, 1)


def index_select(input: Any, dim: int, index: Any) -> Any:
    r"""The slices of ``input`` at the 1-d integer ``index`` along ``dim``."""
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), "index_select")
    index = _index_array(index, input, "index_select")
    if index.ndim > 1:
        raise ValueError(f"index_select: expected a 1-d index, got shape {tuple(index.shape)}")
    index = index.reshape(-1)
    _check_range(index, shape[axis] if shape else 1, "index_select", allow_negative=False)
    if not shape:
        return input * 1
    return GetItem.apply(input, index=(slice(None),) * axis + (index,))


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    r"""Rows of ``weight`` (n, d) at the integers ``input`` (...): the result has shape (..., d).
    The row ``padding_idx``, from the end if negative, receives no gradient."""
    index = _index_array(input, weight, "embedding")
    if len(shape_of(weight)) != 2:
        raise ValueError(f"embedding: expected a weight of shape (n, d), got {shape_of(weight)}")
    _check_range(index, shape_of(weight)[0], "embedding", allow_negative=False)
    n = shape_of(weight)[0]
    if padding_idx is not None and not -n <= padding_idx < n:
        raise ValueError(f"embedding: expected padding_idx within {n} rows, got {padding_idx}")
    rows = GetItem.apply(weight, index=index)
    if padding_idx is None or not is_tensor(rows):
        return rows
    padding = (index == padding_idx % n)[..., None]
    return where(padding, rows.detach(), rows)


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    r"""``value`` where ``mask`` holds, else ``input``, whose dtype stays."""
    if raw(mask).dtype.kind != "b":
        raise TypeError(f"masked_fill: expected a boolean mask, got {raw(mask).dtype}")
    dtype = raw(input).dtype
    if dtype.kind in "iub" and isinstance(value, (int, float)):
        if dtype.kind != "b" and not float(value).is_integer():
            raise ValueError(f"masked_fill: {value} is no value of {dtype}")
        value = bool(value) if dtype.kind == "b" else int(value)
    return where(mask, value, input)


def masked_select(input: Any, mask: Any) -> Any:
    r"""The entries of ``input`` where ``mask`` holds, as a vector."""
    from .shape import broadcast_to

    if raw(mask).dtype.kind != "b":
        raise TypeError(f"masked_select: expected a boolean mask, got {raw(mask).dtype}")
    try:
        shape = np.broadcast_shapes(shape_of(input), shape_of(mask))
    except ValueError:
        raise ValueError(
            "masked_select: expected input and mask of shapes that broadcast, "
            f"got {shape_of(input)} and {shape_of(mask)}"
        ) from None
    return getitem(broadcast_to(input, shape), broadcast_to(mask, shape))


def one_hot(input: Any, num_classes: int = -1) -> Any:
    r"""Integer labels (...) as vectors (..., num_classes) with a single 1. No gradient.

    >>> import minigrad as mg
    >>> mg.one_hot(mg.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    labels = _index_array(input, input, "one_hot")
    if num_classes == -1:
        num_classes = int(labels.max().item()) + 1 if labels.size else 0
    _check_range(labels, num_classes, "one_hot", allow_negative=False)
    return run(
        lambda x: (x[..., None] == get_array_module(x).arange(num_classes)).astype(np.int64), input
    )


def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Any:
    r"""The indices that sort ``input`` along ``dim``. Equal entries keep their order, also where
    ``stable`` does not ask for it. No gradient."""
    axis = normalise_axis(dim, len(shape_of(input)), "argsort")

    def order(x: Any) -> Any:
        if not x.ndim:
            return get_array_module(x).zeros((), np.int64)
        if not descending:
            return x.argsort(axis=axis, kind="stable")
        # Reversed twice, so that equal entries keep their order.
        xp = get_array_module(x)
        flipped = xp.flip(xp.flip(x, axis).argsort(axis=axis, kind="stable"), axis)
        return x.shape[axis] - 1 - flipped

    return run(order, input)


def sort(
    input: Any, dim: int = -1, descending: bool = False, *, stable: bool = True
) -> tuple[Any, Any]:
    r"""``(values, indices)`` sorted along ``dim``, stably; gradients follow the values."""
    index = argsort(input, dim, descending)
    return take_along_dim(input, index, dim), index


def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Any, Any]:
    r"""``(values, indices)`` of the ``k`` largest (or smallest) entries along ``dim``, in order,
    also where ``sorted`` does not ask for it."""
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), "topk")
    if not 0 <= k <= (shape[axis] if shape else 1):
        raise ValueError(f"topk: expected k within axis {dim} of shape {shape}, got {k}")
    index = argsort(input, dim, largest)
    if shape:
        index = index[(slice(None),) * axis + (slice(0, k),)]
    return take_along_dim(input, index, dim), index
