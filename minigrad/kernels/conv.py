r"""Two-dimensional convolution: forward, gradient of the input, gradient of the weight.

Belongs here: arrays in, arrays out, for every layout and array module. The three functions are
linear maps and each other's adjoints; ``conv2d_input_grad`` is also the transposed convolution, and
``conv2d_backward`` computes all gradients, sharing what can be shared.
Does not belong here: gradient rules and the checking of arguments (``ops/conv.py``), and how the
CPU cuts the work into blocks (``conv_blocks.py``).

Shapes and names, everywhere in this file::

    x (N, C, H, W)   w (O, C / groups, kh, kw)   bias (O,)   y, g (N, O, OH, OW)
    y[n, o, u, v] = bias[o] + sum over c, i, j of
                    w[o, c, i, j] x[n, c, u sh - top + i dh, v sw - left + j dw]

``stride`` and ``dilation`` are pairs (sh, sw), (dh, dw). ``padding`` is a pair (ph, pw), or a pair
of pairs ((top, bottom), (left, right)); where it is negative it crops.

On the CPU the memory of a result is channels-last, (N, H, W, C), seen through a transpose. Arrays
of any layout come in; those with channels last need no copy. On a GPU, and for any other array
module, one matrix product takes the whole batch (the functions ``_whole_...``), for there a launch
costs more than memory does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import get_array_module
from . import conv_blocks as blocks
from . import conv_phases as phases
from . import winograd
from .conv_blocks import Geometry
from .gemm import product

__all__ = ["conv2d", "conv2d_backward", "conv2d_input_grad", "conv2d_weight_grad", "output_size"]

Pair = tuple[int, int]
Padding = tuple[int, int] | tuple[Pair, Pair]


# ------------------------------------------------------------------------------ public functions
def output_size(size: int, kernel: int, stride: int, padding: Pair, dilation: int) -> int:
    r"""Output length of a convolution along one axis; ``padding`` is (before, after).

    >>> output_size(28, 3, 1, (1, 1), 1)
    28
    """
    return (size + padding[0] + padding[1] - dilation * (kernel - 1) - 1) // stride + 1


def conv2d(
    x: Any,
    w: Any,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    bias: Any = None,
) -> Any:
    r"""y = x * w + bias, (N, O, OH, OW); the formula is at the top of this file.

    >>> conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    x, padding = _crop(x, padding)
    geo = _geometry(x.shape, w.shape, stride, padding, dilation, groups)
    if get_array_module(x) is not np:
        return _whole_conv2d(x, w, geo, groups, bias)
    out = np.empty((geo.N, geo.OH, geo.OW, geo.O * groups), x.dtype)
    xl = x.transpose(0, 2, 3, 1)
    if geo.C == 1 < groups:
        for i in range(geo.O):  # output channels i, i + O, ... are those of the groups in order
            part = slice(i, None, geo.O)
            bias_part = None if bias is None else bias[part]
            blocks.depthwise(xl, _channel_taps(w[part]), out[..., part], bias_part, geo)
    elif groups == 1 and winograd.pays(geo, x.dtype):
        winograd.forward(xl, w, out, bias, geo)
    elif geo.sh == geo.sw == 1 and _much_fewer(geo.O, geo.C):
        flipped = _flipped(w, groups)
        for xg, wg, og, bg in _groups(groups, (xl, 3), (flipped, 0), (out, 3), (bias, 0)):
            blocks.scatter(xg, _matrix(wg), og, bg, geo.adjoint())
    else:
        for xg, wg, og, bg in _groups(groups, (xl, 3), (w, 0), (out, 3), (bias, 0)):
            blocks.forward(xg, _matrix(wg), og, bg, geo)
    return out.transpose(0, 3, 1, 2)


def conv2d_input_grad(
    g: Any,
    w: Any,
    input_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    bias: Any = None,
) -> Any:
    r"""The adjoint of ``x -> conv2d(x, w)`` at ``g`` (N, O, OH, OW): an array of ``input_shape``
    (N, C, H, W). That is the transposed convolution of ``g`` with ``w``; ``bias`` (C,) is added.

    >>> g, w = np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2))
    >>> conv2d_input_grad(g, w, (1, 1, 3, 3))[0, 0].tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    geo = _geometry(input_shape, w.shape, stride, padding, dilation, groups)
    if get_array_module(g) is not np:
        return _whole_input_grad(g, w, geo, groups, bias)
    depthwise = geo.C == 1 < groups
    if not depthwise and _about_as_large(geo, 1.3):
        return conv2d(g, _flipped(w, groups), (1, 1), geo.full_padding(), dilation, groups, bias)
    gl = g.transpose(0, 2, 3, 1)
    gx = np.empty((geo.N, geo.H, geo.W, geo.C * groups), g.dtype)
    if depthwise:
        gx[...] = 0 if bias is None else bias
        for i in range(geo.O):
            part = slice(i, None, geo.O)
            blocks.depthwise_input_grad(gl[..., part], _channel_taps(w[part]), gx, geo)
    else:
        for gg, wg, xg, bg in _groups(groups, (gl, 3), (w, 0), (gx, 3), (bias, 0)):
            way = phases.input_grad if phases.suits(geo) else blocks.scatter
            way(gg, _matrix(wg), xg, bg, geo)
    return gx.transpose(0, 3, 1, 2)


def conv2d_weight_grad(
    g: Any,
    x: Any,
    kernel_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    r"""The adjoint of ``w -> conv2d(x, w)`` at ``g`` (N, O, OH, OW): (O, C / groups, kh, kw), which
    is ``kernel_shape``.

    >>> g, x = np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3))
    >>> conv2d_weight_grad(g, x, (1, 1, 2, 2))[0, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    w = _ShapeOnly(tuple(kernel_shape))
    return conv2d_backward(g, x, w, stride, padding, dilation, groups, (False, True, False))[1]


def conv2d_backward(
    g: Any,
    x: Any,
    w: Any,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    needs: Sequence[bool] = (True, True, True),
) -> tuple[Any, Any, Any]:
    r"""The gradients ``(gx, gw, gbias)`` of ``conv2d`` at ``g`` (N, O, OH, OW); ``None`` for those
    that ``needs`` does not ask for.

    Kernels of 3 x 3 with many channels go Winograd's way (``winograd.py``). With stride 1 and an
    output about as large as the input, one matrix of columns, that of ``g``, serves both gradients.
    Otherwise (a small image without padding, a stride) that would multiply by many zeros, and each
    gradient takes its own way.
    """
    inside, rest = _crop(x, padding)
    geo = _geometry(inside.shape, w.shape, stride, rest, dilation, groups)
    geometry = (stride, padding, dilation, groups)
    gx = gw = gbias = None
    if get_array_module(g) is not np:
        if needs[0]:
            gx = _whole_input_grad(g, w, _geometry(x.shape, w.shape, *geometry), groups, None)
        if needs[1]:
            gw = _whole_weight_grad(g, inside, geo, groups)
        return gx, gw, g.sum(axis=(0, 2, 3)) if needs[2] else None

    gl, xl = g.transpose(0, 2, 3, 1), inside.transpose(0, 2, 3, 1)
    if needs[2]:
        gbias = np.empty(geo.O * groups, g.dtype)
    if geo.C == 1 < groups:
        if needs[1]:
            gw = np.empty(w.shape, g.dtype)
            for i in range(geo.O):
                part = slice(i, None, geo.O)
                blocks.depthwise_weight_grad(gl[..., part], xl, _channel_taps(gw[part]), geo)
        if needs[2]:
            _sum_positions(gl, gbias)
    elif needs[1] and groups == 1 and inside is x and winograd.pays(geo, g.dtype):
        gwl = np.empty((geo.O, 3, 3, geo.C), g.dtype)
        gxl = np.empty((geo.N, geo.H, geo.W, geo.C), g.dtype) if needs[0] else None
        winograd.backward(gl, xl, w, gxl, gwl, gbias, geo)
        gx = None if gxl is None else gxl.transpose(0, 3, 1, 2)
        return gx, gwl.transpose(0, 3, 1, 2), gbias
    elif needs[1]:
        share = needs[0] and _about_as_large(geo, 1.15) and not _much_fewer(geo.C, geo.O)
        share = share and inside is x and min(map(min, geo.full_padding())) >= 0
        gwl = np.empty((geo.O * groups, geo.kh, geo.kw, geo.C), g.dtype)
        gw = gwl.transpose(0, 3, 1, 2)
        if share:
            gxl = np.empty((geo.N, geo.H, geo.W, geo.C * groups), g.dtype)
            flipped = _flipped(w, groups)
            for gg, xg, wg, gxg, gwg, gbg in _groups(
                groups, (gl, 3), (xl, 3), (flipped, 0), (gxl, 3), (gwl, 0), (gbias, 0)
            ):
                blocks.shared_backward(gg, xg, _matrix(wg), gxg, gwg, gbg, geo)
            return gxl.transpose(0, 3, 1, 2), gw, gbias
        for gg, xg, gwg, gbg in _groups(groups, (gl, 3), (xl, 3), (gwl, 0), (gbias, 0)):
            blocks.weight_grad(gg, xg, gwg, gbg, geo)
    elif needs[2]:
        _sum_positions(gl, gbias)
    if needs[0]:
        gx = conv2d_input_grad(g, w, x.shape, *geometry)
    return gx, gw, gbias


# ------------------------------------------------------------------------------------- helpers
class _ShapeOnly(NamedTuple):
    r"""Stands in for a weight of which only the shape matters."""

    shape: tuple[int, ...]


def _sum_positions(gl: Any, gbias: Any) -> None:
    r"""gbias = the sum of gl (N, OH, OW, O) over positions."""
    rows = gl.reshape(-1, gl.shape[3])
    gbias[...] = product(np.ones(len(rows), gl.dtype), rows)


def _geometry(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Geometry:
    N, C, H, W = x_shape
    O, _, kh, kw = w_shape
    rows, columns = _pads(padding)
    OH = output_size(H, kh, stride[0], rows, dilation[0])
    OW = output_size(W, kw, stride[1], columns, dilation[1])
    return Geometry(
        N, C // groups, H, W, O // groups, kh, kw, *stride, *rows, *columns, *dilation, OH, OW
    )


def _about_as_large(geo: Geometry, factor: float) -> bool:
    r"""True if the adjoint, as a convolution over the input's positions, multiplies no more than
    ``factor`` times what it must."""
    return geo.sh == geo.sw == 1 and geo.H * geo.W <= factor * geo.OH * geo.OW


def _much_fewer(n_out: int, n_in: int) -> bool:
    r"""True if a map from n_in channels to n_out should rather add its results up (``scatter``)
    than gather what it reads: columns of the fewer channels are the shorter ones."""
    return n_out < 16 and 8 * n_out <= n_in


def _pads(padding: Padding) -> tuple[Pair, Pair]:
    rows, columns = padding
    if isinstance(rows, tuple):
        return padding  # type: ignore[return-value]
    return (rows, rows), (columns, columns)  # type: ignore[return-value]


def _crop(x: Any, padding: Padding) -> tuple[Any, Padding]:
    r"""``x`` without what a negative padding cuts off, and the padding that is left to add."""
    (top, bottom), (left, right) = _pads(padding)
    if min(top, bottom, left, right) >= 0:
        return x, padding
    H, W = x.shape[2:]
    x = x[:, :, max(-top, 0) : H - max(-bottom, 0), max(-left, 0) : W - max(-right, 0)]
    return x, ((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)))


def _matrix(w: Any) -> Any:
    r"""(O, C, kh, kw) -> (kh kw C, O)"""
    O, C, kh, kw = w.shape
    return w.transpose(2, 3, 1, 0).reshape(kh * kw * C, O)


def _channel_taps(w: Any) -> Any:
    r"""(C, 1, kh, kw) -> a view (kh, kw, C)"""
    return w[:, 0].transpose(1, 2, 0)


def _flipped(w: Any, groups: int) -> Any:
    r"""The kernel of the adjoint: rows and columns reversed, and in every group input and output
    channels swapped; (O, C / groups, kh, kw) -> (C, O / groups, kh, kw)."""
    O, C, kh, kw = w.shape
    w = w[:, :, ::-1, ::-1]
    if groups == 1:
        return w.transpose(1, 0, 2, 3)
    w = w.reshape(groups, O // groups, C, kh, kw)
    return w.transpose(0, 2, 1, 3, 4).reshape(groups * C, O // groups, kh, kw)


def _groups(groups: int, *arrays: tuple[Any, int]) -> Any:
    r"""Of each ``(array, channel axis)`` the part of one group after the other; ``None`` stays."""
    for i in range(groups):
        parts = []
        for array, axis in arrays:
            if array is not None and groups > 1:
                n = array.shape[axis] // groups
                array = array[(slice(None),) * axis + (slice(i * n, (i + 1) * n),)]
            parts.append(array)
        yield parts


# ------------------------------------------------- any array module: the whole batch in one product
def _whole_columns(x: Any, geo: Geometry, groups: int) -> Any:
    r"""What every output position reads: (groups, N OH OW, K), K ordered (kh, kw, C)."""
    xp = get_array_module(x)
    if geo.padded:
        x = xp.pad(x, ((0, 0), (0, 0), (geo.pt, geo.pb), (geo.pl, geo.pr)))
    n, c, h, w = x.strides
    windows = xp.lib.stride_tricks.as_strided(
        x,
        (groups, geo.N, geo.OH, geo.OW, geo.kh, geo.kw, geo.C),
        (c * geo.C, n, h * geo.sh, w * geo.sw, h * geo.dh, w * geo.dw, c),
    )
    return windows.reshape(groups, geo.N * geo.OH * geo.OW, geo.K)


def _whole_product(a: Any, b: Any) -> Any:
    r"""(groups, i, k) @ (groups, k, j); one group goes through the two-dimensional product, the
    fastest that CuPy has."""
    if len(a) == 1:
        return (a[0] @ b[0])[None]
    return get_array_module(a).matmul(a, b)


def _by_group(g: Any, groups: int) -> Any:
    r"""(N, O, OH, OW) -> (groups, N OH OW, O / groups)"""
    N, O, OH, OW = g.shape
    g = g.reshape(N, groups, O // groups, OH, OW).transpose(1, 0, 3, 4, 2)
    return g.reshape(groups, N * OH * OW, O // groups)


def _matrices(w: Any, groups: int) -> Any:
    r"""(O, C / groups, kh, kw) -> (groups, K, O / groups)"""
    O, C, kh, kw = w.shape
    w = w.reshape(groups, O // groups, C, kh, kw).transpose(0, 3, 4, 2, 1)
    return w.reshape(groups, kh * kw * C, O // groups)


def _whole_conv2d(x: Any, w: Any, geo: Geometry, groups: int, bias: Any) -> Any:
    y = _whole_product(_whole_columns(x, geo, groups), _matrices(w, groups))
    y = y.reshape(groups, geo.N, geo.OH, geo.OW, geo.O).transpose(1, 0, 4, 2, 3)
    y = y.reshape(geo.N, groups * geo.O, geo.OH, geo.OW)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def _whole_weight_grad(g: Any, x: Any, geo: Geometry, groups: int) -> Any:
    columns = _whole_columns(x, geo, groups)
    gw = _whole_product(_by_group(g, groups).transpose(0, 2, 1), columns)
    gw = gw.reshape(groups * geo.O, geo.kh, geo.kw, geo.C)
    return gw.transpose(0, 3, 1, 2)


def _whole_input_grad(g: Any, w: Any, geo: Geometry, groups: int, bias: Any) -> Any:
    if geo.sh == geo.sw == 1:
        g, rest = _crop(g, geo.full_padding())
        stride_one = ((1, 1), rest, (geo.dh, geo.dw), groups)
        w = _flipped(w, groups)
        return _whole_conv2d(g, w, _geometry(g.shape, w.shape, *stride_one), groups, bias)
    xp = get_array_module(g)
    columns = _whole_product(_by_group(g, groups), _matrices(w, groups).transpose(0, 2, 1))
    columns = columns.reshape(groups, geo.N, geo.OH, geo.OW, geo.kh, geo.kw, geo.C)
    # Every place of the kernel adds to a lattice of the padded input.
    top, left = max(geo.pt, 0), max(geo.pl, 0)
    H, W = top + geo.H + max(geo.pb, 0), left + geo.W + max(geo.pr, 0)
    gx = xp.zeros((groups, geo.N, H, W, geo.C), g.dtype)
    for i in range(geo.kh):
        y = top - geo.pt + i * geo.dh
        rows = slice(y, y + (geo.OH - 1) * geo.sh + 1, geo.sh)
        for j in range(geo.kw):
            z = left - geo.pl + j * geo.dw
            gx[:, :, rows, z : z + (geo.OW - 1) * geo.sw + 1 : geo.sw] += columns[..., i, j, :]
    gx = gx[:, :, top : top + geo.H, left : left + geo.W].transpose(1, 0, 4, 2, 3)
    gx = gx.reshape(geo.N, groups * geo.C, geo.H, geo.W)
    return gx if bias is None else gx + bias.reshape(-1, 1, 1)
