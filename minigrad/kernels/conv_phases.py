r"""The gradient of a strided convolution's input, on the CPU, without adding anything up.

Belongs here: the way of ``conv_blocks.scatter`` for kernels larger than their stride.
Does not belong here: which way is taken (``conv.py``), blocks and columns (``conv_blocks.py``).

With a stride s the pixels y of the input fall into s phases: those with (y + p) mod s = a are read
by the places i = a, a + s, a + 2 s, ... of the kernel alone, p the padding. So with y + p = s q + a

    gx[y] = sum over t of g[q - t] w[a + s t]

each phase is a convolution of g with stride 1 and every s-th place of the kernel. All phases read
the same windows of g, T = ceil(k / s) long, so one matrix of columns serves them all: of a row of
phases side by side, which have the same rows of the kernel, one product makes whole rows of gx.

Adding columns up instead (``scatter``) makes k k numbers for each position of g, and adds each to a
pixel; here T T are copied for each, and s s pixels are written. Where s does not divide k, some
products are with zeros: 4/3 of the work for 3 by 3 with stride 2, 6/5 for 5 by 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .conv_blocks import Columns, Geometry, blocks_of, for_blocks
from .workspace import scratch

__all__ = ["input_grad", "suits"]


class _Axis(NamedTuple):
    r"""One axis: windows of T values of g, the first of which is for ``first``, n in all."""

    T: int
    first: int
    n: int

    @classmethod
    def of(cls, size: int, kernel: int, stride: int, padding: int) -> _Axis:
        first = padding // stride
        return cls(-(-kernel // stride), first, (size - 1 + padding) // stride - first + 1)


def suits(geo: Geometry) -> bool:
    r"""True where pixels are read by several positions, padding is smaller than the kernel, and
    zeros would not cost more than is gained: measured, with 3 by 3 and stride 2 that is so up to
    about 32 channels."""
    overlap = geo.kh > geo.sh and geo.kw > geo.sw and geo.sh * geo.sw > 1
    full = min(geo.N, geo.C, geo.O, geo.H, geo.W, geo.OH, geo.OW) > 0
    simple = geo.dh == geo.dw == 1 and geo.pt < geo.kh and geo.pl < geo.kw
    padded = -(-geo.kw // geo.sw) * geo.sw
    return overlap and full and simple and (4 * padded <= 5 * geo.kw or geo.C <= 32)


def input_grad(
    g: np.ndarray, w: np.ndarray, gx: np.ndarray, bias: np.ndarray | None, geo: Geometry
) -> None:
    r"""gx = bias + the gradient of the input; g (N, OH, OW, O), w (K, O), gx (N, H, W, C)."""
    rows = _Axis.of(geo.H, geo.kh, geo.sh, geo.pt)
    across = _Axis.of(geo.W, geo.kw, geo.sw, geo.pl)
    windows = geo._replace(
        C=geo.O,
        H=geo.OH,
        W=geo.OW,
        O=geo.sw * geo.C,
        kh=rows.T,
        kw=across.T,
        sh=1,
        sw=1,
        pt=rows.T - 1 - rows.first,
        pb=rows.first + rows.n - geo.OH,
        pl=across.T - 1 - across.first,
        pr=across.first + across.n - geo.OW,
        OH=rows.n,
        OW=across.n,
    )
    columns = Columns(g, windows)
    kernels = _kernels(w, geo, across.T)
    left = geo.pl % geo.sw  # the first window's pixels that are outside

    def block(n0: int, n1: int, r0: int, r1: int) -> None:
        matrix = columns(n0, n1, r0, r1)  # (positions, T T' O)
        made = scratch("phase", (len(matrix), windows.O), g.dtype)
        image = made.reshape(n1 - n0, r1 - r0, across.n * geo.sw, geo.C)
        for a, kernel in enumerate(kernels):
            # The rows y = s (first + r) + a - p that are inside the image, of the windows u0:u1.
            y = geo.sh * (rows.first + r0) + a - geo.pt
            u0 = max(0, -(y // geo.sh))
            u1 = min(r1 - r0, (geo.H - 1 - y) // geo.sh + 1)
            if u1 <= u0:
                continue
            np.matmul(matrix[:, matrix.shape[1] - len(kernel) :], kernel, out=made)
            part = image[:, u0:u1, left : left + geo.W]
            y += geo.sh * u0
            target = gx[n0:n1, y : y + geo.sh * (u1 - u0 - 1) + 1 : geo.sh]
            if bias is None:
                np.copyto(target, part)
            else:
                np.add(part, bias, out=target)

    for_blocks(blocks_of(windows, g.itemsize), block, windows.work * geo.sh)


def _kernels(w: np.ndarray, geo: Geometry, T: int) -> list[np.ndarray]:
    r"""For each row of phases a = 0 ... s - 1 the matrix (T_a T O, s C): rows a, a + s, ... of the
    kernel and all its columns, last ones first; T_a <= T counts those rows, as windows of g end
    with the one that place a reads."""
    w = w.reshape(geo.kh, geo.kw, geo.C, geo.O)
    w = np.pad(w, ((0, 0), (0, T * geo.sw - geo.kw), (0, 0), (0, 0)))
    w = w.reshape(geo.kh, T, geo.sw, geo.C, geo.O)[:, ::-1]
    return [
        np.ascontiguousarray(w[a :: geo.sh][::-1].transpose(0, 1, 4, 2, 3)).reshape(
            -1, geo.sw * geo.C
        )
        for a in range(geo.sh)
    ]
