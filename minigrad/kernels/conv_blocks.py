r"""Convolution on the CPU: blocks of a batch that stay in the cache, on all cores.

Belongs here: the NumPy side of ``conv.py``, for one group of channels, channels last.
Does not belong here: layouts, groups and other array modules (``conv.py``).

A block is a few images, or a few rows of one. Its matrix of columns (what each output position
reads) is built in scratch memory and goes through one matrix product. In the names below::

    x (N, H, W, C)   w (K, O)   y, g (N, OH, OW, O)   K = kh kw C, ordered (kh, kw, C)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .parallel import parallel_for
from .windows import Tap, Windows, reach
from .workspace import scratch

__all__ = [
    "Columns",
    "Geometry",
    "LaneSums",
    "blocks_of",
    "depthwise",
    "depthwise_input_grad",
    "depthwise_weight_grad",
    "for_blocks",
    "forward",
    "scatter",
    "shared_backward",
    "weight_grad",
]

# What a block reads and writes should stay in a core's second-level cache, but a product with few
# rows spends its time repacking the weights.
_BLOCK_BYTES = 1 << 21
_BLOCK_MIN_ROWS = 256
# Multiply-adds below which waking other threads costs more than it brings.
_SERIAL_WORK = 2_000_000
# Where the values that stand together in memory are fewer than this, columns are stored transposed,
# so that copies run along the rows of an image.
_SHORT_RUN = 16


class Geometry(NamedTuple):
    r"""The sizes of one convolution, of one group of channels."""

    N: int
    C: int
    H: int
    W: int
    O: int
    kh: int
    kw: int
    sh: int
    sw: int
    pt: int
    pb: int
    pl: int
    pr: int
    dh: int
    dw: int
    OH: int
    OW: int

    @property
    def K(self) -> int:
        r"""How many values one output position reads."""
        return self.kh * self.kw * self.C

    @property
    def padded(self) -> bool:
        return bool(self.pt or self.pb or self.pl or self.pr)

    @property
    def work(self) -> int:
        r"""Multiply-adds of the forward."""
        return self.N * self.OH * self.OW * self.K * self.O

    def full_padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        r"""The padding of ``g`` with which a stride-1 convolution by the flipped kernel is exactly
        the gradient of the input, (H, W)."""
        top = self.dh * (self.kh - 1) - self.pt
        left = self.dw * (self.kw - 1) - self.pl
        # OH + top + bottom - dh (kh - 1) == H, and likewise for the columns.
        return (top, self.H - self.OH + self.pt), (left, self.W - self.OW + self.pl)

    def adjoint(self) -> Geometry:
        r"""The stride-1 convolution that maps ``g`` to the gradient of the input."""
        (pt, pb), (pl, pr) = self.full_padding()
        swapped = self._replace(C=self.O, H=self.OH, W=self.OW, O=self.C, OH=self.H, OW=self.W)
        return swapped._replace(pt=pt, pb=pb, pl=pl, pr=pr)


# ------------------------------------------------------------------------------------- blocks
Block = tuple[int, int, int, int]  # images n0:n1, output rows r0:r1


def blocks_of(geo: Geometry, itemsize: int) -> list[Block]:
    r"""Cut the output (N, OH, OW) into blocks whose columns, K long, fit in the cache.

    The cut must not depend on the number of threads, because the last bits of a matrix product
    depend on its shape.
    """
    N, rows = geo.N, geo.OH
    positions = max(_BLOCK_BYTES // ((geo.K + geo.O + 1) * itemsize), _BLOCK_MIN_ROWS)
    per_image = rows * geo.OW
    if per_image <= positions or rows == 1:
        images = max(positions // max(per_image, 1), 1)
        if geo.work >= _SERIAL_WORK:  # enough blocks to share
            images = min(images, max(-(-N // 16), 1))
        return [(n, min(n + images, N), 0, rows) for n in range(0, N, images)]
    pieces = -(-rows // max(positions // geo.OW, 1))
    step = -(-rows // pieces)
    return [(n, n + 1, r, min(r + step, rows)) for n in range(N) for r in range(0, rows, step)]


def _threads(work: int) -> int | None:
    return 1 if work < _SERIAL_WORK else None


def for_blocks(blocks: list[Block], fn: Callable[..., None], work: int) -> None:
    def run(start: int, stop: int) -> None:
        for block in blocks[start:stop]:
            fn(*block)

    parallel_for(run, len(blocks), threads=_threads(work))


def _windows(array: np.ndarray, geo: Geometry, rows: int) -> np.ndarray:
    r"""View of the padded images (n, H', W', C): (n, rows, OW, kh, kw, C)."""
    n, h, w, c = array.strides
    return np.lib.stride_tricks.as_strided(
        array,
        (array.shape[0], rows, geo.OW, geo.kh, geo.kw, geo.C),
        (n, h * geo.sh, w * geo.sw, h * geo.dh, w * geo.dw, c),
        writeable=False,
    )


class Columns:
    r"""``columns(n0, n1, r0, r1)``: the matrix (positions, K) of what the output positions of a
    block read from ``x`` (N, H, W, C).

    It is valid until the same thread asks for the next. Only a block's own rows are ever written
    out padded, and only where there is padding, or where channels lie far apart in memory.

    ``transposed`` says that the matrix lies in memory by columns. With ``ones`` it then has one
    more column, of ones, with which a product adds the bias, or sums.
    """

    def __init__(self, x: np.ndarray, geo: Geometry, ones: bool = False) -> None:
        self.x, self.geo = x, geo
        channels_last = x.strides[3] == x.itemsize
        self.pointwise = geo.kh == geo.kw == 1
        run = geo.C * geo.kw if geo.dw == 1 else geo.C
        self.transposed = run < _SHORT_RUN and not (self.pointwise and channels_last)
        self.ones = ones and self.transposed
        copies = geo.padded or not (self.transposed or channels_last)
        self.windows = None if copies else _windows(x, geo, geo.OH)

    def __call__(self, n0: int, n1: int, r0: int, r1: int) -> np.ndarray:
        geo, n, rows = self.geo, n1 - n0, r1 - r0
        if self.windows is None:
            windows = _windows(self._padded(n0, n1, r0, r1), geo, rows)
        else:
            windows = self.windows[n0:n1, r0:r1]
        positions = n * rows * geo.OW
        if self.transposed:
            matrix = scratch("columns", (geo.K + self.ones, positions), self.x.dtype)
            columns = matrix[: geo.K].reshape(geo.kh, geo.kw, geo.C, n, rows, geo.OW)
            np.copyto(columns, windows.transpose(3, 4, 5, 0, 1, 2))
            if self.ones:
                matrix[geo.K] = 1
            return matrix.T
        if self.pointwise:
            return windows.reshape(positions, geo.C)  # a view, unless there is a stride
        columns = scratch("columns", (n, rows, geo.OW, geo.kh, geo.kw, geo.C), self.x.dtype)
        np.copyto(columns, windows)
        return columns.reshape(positions, geo.K)

    def _padded(self, n0: int, n1: int, r0: int, r1: int) -> np.ndarray:
        r"""The rows that the block reads, padding included, channels last: (n, H', W', C)."""
        geo = self.geo
        first = r0 * geo.sh - geo.pt  # the row of x that is row 0 here; it may be outside of x
        height = (r1 - r0 - 1) * geo.sh + geo.dh * (geo.kh - 1) + 1
        width = geo.W + geo.pl + geo.pr
        padded = scratch("padded", (n1 - n0, height, width, geo.C), self.x.dtype)
        top, bottom = max(first, 0), min(first + height, geo.H)
        if bottom <= top:
            padded.fill(0)
            return padded
        rows = slice(top - first, bottom - first)
        columns = slice(geo.pl, geo.pl + geo.W)
        np.copyto(padded[:, rows, columns], self.x[n0:n1, top:bottom])
        padded[:, : rows.start] = 0  # the edges alone: each value is written once
        padded[:, rows.stop :] = 0
        padded[:, rows, : columns.start] = 0
        padded[:, rows, columns.stop :] = 0
        return padded


# -------------------------------------------------------------------------- one product a block
def forward(
    x: np.ndarray, w: np.ndarray, out: np.ndarray, bias: np.ndarray | None, geo: Geometry
) -> None:
    r"""out = columns(x) @ w + bias; x (N, H, W, C), w (K, O), out (N, OH, OW, O)."""
    columns = Columns(x, geo, ones=bias is not None)
    if columns.ones and bias is not None:
        w = np.concatenate([w, bias[None]])

    def block(n0: int, n1: int, r0: int, r1: int) -> None:
        matrix = columns(n0, n1, r0, r1)
        y = out[n0:n1, r0:r1].reshape(len(matrix), geo.O)  # a view: whole images, or one image
        np.matmul(matrix, w, out=y)
        if bias is not None and not columns.ones:
            y += bias

    for_blocks(blocks_of(geo, x.itemsize), block, geo.work)


def scatter(
    g: np.ndarray, w: np.ndarray, gx: np.ndarray, bias: np.ndarray | None, geo: Geometry
) -> None:
    r"""gx = bias + the columns g @ wᵀ added up where they were read from; g (N, OH, OW, O),
    w (K, O), gx (N, H, W, C). For any stride, and no multiplication more than the forward."""
    # The blocks of one image overlap in gx, so they stay together.
    by_image: dict[int, list[Block]] = {}
    for block in blocks_of(geo, g.itemsize):
        by_image.setdefault(block[0], []).append(block)
    items = list(by_image.values())
    if geo.C < _SHORT_RUN:
        add = _add_short
    elif geo.sw > 1 and geo.dw == 1 and geo.kw % geo.sw == 0:
        add = _add_strided
    else:
        add = _add_places

    def images(start: int, stop: int) -> None:
        for blocks in items[start:stop]:
            add(g, w, gx, bias, geo, blocks)

    parallel_for(images, len(items), threads=_threads(geo.work))


def _product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    r"""out = a @ b; BLAS is slow at the outer product of two vectors."""
    if a.shape[-1] == 1:
        np.multiply(a, b, out=out)
    else:
        np.matmul(a, b, out=out)


def _add_short(
    g: np.ndarray,
    w: np.ndarray,
    gx: np.ndarray,
    bias: np.ndarray | None,
    geo: Geometry,
    blocks: list[Block],
) -> None:
    r"""Few channels: the columns lie transposed, (kh, kw, C, n, rows, OW)."""
    n0, n1 = blocks[0][:2]
    target = gx[n0:n1]
    target[...] = 0 if bias is None else bias
    for _, _, r0, r1 in blocks:
        rows = g[n0:n1, r0:r1].reshape(-1, geo.O)
        matrix = scratch("columns", (geo.K, len(rows)), g.dtype)
        _product(w, rows.T, matrix)
        columns = matrix.reshape(geo.kh, geo.kw, geo.C, n1 - n0, r1 - r0, geo.OW)
        _add_columns(target, columns.transpose(0, 1, 3, 4, 5, 2), r0, r1, geo)


def _add_places(
    g: np.ndarray,
    w: np.ndarray,
    gx: np.ndarray,
    bias: np.ndarray | None,
    geo: Geometry,
    blocks: list[Block],
) -> None:
    r"""A product for every place of the kernel, (kh, kw, n, rows, OW, C): with stride 1 whole rows
    of it are added at once."""
    n0, n1 = blocks[0][:2]
    target = gx[n0:n1]
    target[...] = 0 if bias is None else bias
    by_place = w.reshape(geo.kh * geo.kw, geo.C, geo.O).transpose(0, 2, 1)
    for _, _, r0, r1 in blocks:
        rows = g[n0:n1, r0:r1].reshape(-1, geo.O)
        matrix = scratch("columns", (geo.kh * geo.kw, len(rows), geo.C), g.dtype)
        _product(rows, by_place, matrix)
        columns = matrix.reshape(geo.kh, geo.kw, n1 - n0, r1 - r0, geo.OW, geo.C)
        _add_columns(target, columns, r0, r1, geo)


def _add_columns(gx: np.ndarray, columns: np.ndarray, r0: int, r1: int, geo: Geometry) -> None:
    r"""Add columns (kh, kw, n, rows, OW, C) of the output rows r0:r1 to gx (n, H, W, C)."""
    for i in range(geo.kh):
        u0, u1, ys = reach(i * geo.dh - geo.pt, geo.sh, geo.H, r0, r1)
        for j in range(geo.kw):
            v0, v1, xs = reach(j * geo.dw - geo.pl, geo.sw, geo.W, 0, geo.OW)
            if u1 > u0 and v1 > v0:
                part = gx[:, ys, xs]
                part += columns[i, j, :, u0 - r0 : u1 - r0, v0:v1]


def _add_strided(
    g: np.ndarray,
    w: np.ndarray,
    gx: np.ndarray,
    bias: np.ndarray | None,
    geo: Geometry,
    blocks: list[Block],
) -> None:
    r"""A kernel as wide as q strides: sw places side by side never overlap, so their products,
    (kh, q, n, rows, OW, sw C), are added as whole rows to an image with padding, (n, H', W', sw C).
    """
    n0, n1 = blocks[0][:2]
    q, run = geo.kw // geo.sw, geo.sw * geo.C
    height, width = (geo.OH - 1) * geo.sh + geo.dh * (geo.kh - 1) + 1, geo.OW + q - 1
    padded = scratch("padded", (n1 - n0, height, width, run), g.dtype)
    padded.fill(0)
    by_place = w.reshape(geo.kh * q, run, geo.O).transpose(0, 2, 1)
    for _, _, r0, r1 in blocks:
        rows = g[n0:n1, r0:r1].reshape(-1, geo.O)
        matrix = scratch("columns", (geo.kh * q, len(rows), run), g.dtype)
        _product(rows, by_place, matrix)
        columns = matrix.reshape(geo.kh, q, n1 - n0, r1 - r0, geo.OW, run)
        for i in range(geo.kh):
            y = r0 * geo.sh + i * geo.dh
            ys = slice(y, y + (r1 - r0 - 1) * geo.sh + 1, geo.sh)
            for j in range(q):
                part = padded[:, ys, j : j + geo.OW]
                part += columns[i, j]
    target = gx[n0:n1]
    shift = 0 if bias is None else bias
    top, bottom = max(0, -geo.pt), min(geo.H, height - geo.pt)
    left, right = max(0, -geo.pl), min(geo.W, width * geo.sw - geo.pl)
    if (top, bottom, left, right) != (0, geo.H, 0, geo.W):
        target[...] = shift
    image = padded.reshape(n1 - n0, height, width * geo.sw, geo.C)
    if bottom > top and right > left:
        inside = image[:, top + geo.pt : bottom + geo.pt, left + geo.pl : right + geo.pl]
        np.add(inside, shift, out=target[:, top:bottom, left:right])


class LaneSums:
    r"""Sums over blocks that are the same in every run. A lane of consecutive blocks has its own
    accumulator; lanes go to threads whole, and the accumulators are added in order."""

    def __init__(self, blocks: list[Block], shape: tuple[int, ...], dtype: Any) -> None:
        self.blocks = blocks
        size = max(math.prod(shape), 1) * np.dtype(dtype).itemsize
        self.n = max(min(len(blocks), 16, max((1 << 25) // size, 4)), 1)
        self.bounds = [len(blocks) * i // self.n for i in range(self.n + 1)]
        self.matrix = np.zeros((self.n, *shape), dtype)

    def add_product(self, lane: int, first: bool, a: np.ndarray, b: np.ndarray) -> None:
        r"""matrix[lane] += a @ b"""
        if first:
            np.matmul(a, b, out=self.matrix[lane])
        else:
            product = scratch("product", self.matrix.shape[1:], self.matrix.dtype)
            np.matmul(a, b, out=product)
            self.matrix[lane] += product

    def run(self, fn: Callable[..., None], work: int) -> np.ndarray:
        r"""Call ``fn(lane, first, n0, n1, r0, r1)`` for all blocks; the total."""

        def lanes(start: int, stop: int) -> None:
            for lane in range(start, stop):
                for i in range(self.bounds[lane], self.bounds[lane + 1]):
                    fn(lane, i == self.bounds[lane], *self.blocks[i])

        parallel_for(lanes, self.n, threads=_threads(work))
        return self.matrix.sum(axis=0)


def weight_grad(
    g: np.ndarray, x: np.ndarray, gw: np.ndarray, gbias: np.ndarray | None, geo: Geometry
) -> None:
    r"""gw = (columns(x)ᵀ @ g)ᵀ and gbias = the sum of g; g (N, OH, OW, O), x (N, H, W, C),
    gw (O, kh, kw, C)."""
    columns = Columns(x, geo, ones=gbias is not None)
    K = geo.K + columns.ones
    sums = LaneSums(blocks_of(geo, x.itemsize), (K, geo.O), g.dtype)
    bias_sums = np.zeros((sums.n, geo.O), g.dtype)

    def block(lane: int, first: bool, n0: int, n1: int, r0: int, r1: int) -> None:
        matrix = columns(n0, n1, r0, r1)
        gm = g[n0:n1, r0:r1].reshape(len(matrix), geo.O)
        sums.add_product(lane, first, matrix.T, gm)
        if gbias is not None and not columns.ones:
            bias_sums[lane] += np.ones(len(gm), g.dtype) @ gm  # the fastest sum over rows

    total = sums.run(block, geo.work)
    np.copyto(gw, total[: geo.K].T.reshape(gw.shape))
    if gbias is not None:
        np.copyto(gbias, total[geo.K] if columns.ones else bias_sums.sum(axis=0))


def shared_backward(
    g: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    gx: np.ndarray,
    gw: np.ndarray,
    gbias: np.ndarray | None,
    geo: Geometry,
) -> None:
    r"""Stride 1: with one matrix of columns, of g, gx = columns(g) @ w and gw = xᵀ @ columns(g),
    flipped; g (N, OH, OW, O), x, gx (N, H, W, C), w (kh kw O, C) flipped, gw (O, kh, kw, C)."""
    adjoint = geo.adjoint()
    columns = Columns(g, adjoint)
    sums = LaneSums(blocks_of(adjoint, g.itemsize), (geo.C, adjoint.K), g.dtype)
    bias_sums = np.zeros((sums.n, geo.O), g.dtype)

    def block(lane: int, first: bool, n0: int, n1: int, r0: int, r1: int) -> None:
        matrix = columns(n0, n1, r0, r1)
        np.matmul(matrix, w, out=gx[n0:n1, r0:r1].reshape(len(matrix), geo.C))
        sums.add_product(lane, first, x[n0:n1, r0:r1].reshape(len(matrix), geo.C).T, matrix)
        if gbias is not None:  # each row of g once, though the block's rows are those of gx
            own = g[n0:n1, r0 * geo.OH // geo.H : r1 * geo.OH // geo.H]
            own = own.reshape(-1, geo.O)
            bias_sums[lane] += np.ones(len(own), g.dtype) @ own

    total = sums.run(block, 2 * adjoint.work).reshape(geo.C, geo.kh, geo.kw, geo.O)
    np.copyto(gw, total[:, ::-1, ::-1].transpose(3, 1, 2, 0))
    if gbias is not None:
        np.sum(bias_sums, axis=0, out=gbias)


# ------------------------------------------------------------------- one channel in every group
def _taps(geo: Geometry) -> list[Tap]:
    windows = Windows(
        (geo.H, geo.W),
        (geo.OH, geo.OW),
        (geo.kh, geo.kw),
        (geo.sh, geo.sw),
        (geo.pt, geo.pl),
        (geo.dh, geo.dw),
    )
    return windows.taps()


def _for_images(geo: Geometry, channels: int, itemsize: int, fn: Callable[..., None]) -> None:
    r"""Call ``fn(n0, n1)`` on a few images at a time, on all cores."""
    grain = max(_BLOCK_BYTES // max(geo.OH * geo.OW * channels * itemsize, 1), 1)
    parallel_for(fn, geo.N, min(grain, max(-(-geo.N // 16), 1)), _threads(geo.work * channels))


def depthwise(
    x: np.ndarray, w: np.ndarray, out: np.ndarray, bias: np.ndarray | None, geo: Geometry
) -> None:
    r"""out[n, u, v, c] = sum over i, j of x[...] w[i, j, c] + bias[c]; every channel by itself.
    x (N, H, W, C), w (kh, kw, C), out (N, OH, OW, C)."""
    taps = _taps(geo)

    def images(n0: int, n1: int) -> None:
        y = out[n0:n1]
        y[...] = 0 if bias is None else bias
        for i, j, here, there in taps:
            part = y[:, *here]
            part += x[n0:n1, *there] * w[i, j]

    _for_images(geo, x.shape[3], x.itemsize, images)


def depthwise_input_grad(g: np.ndarray, w: np.ndarray, gx: np.ndarray, geo: Geometry) -> None:
    r"""gx += the adjoint of :func:`depthwise` in x; g (N, OH, OW, C), gx (N, H, W, C)."""
    taps = _taps(geo)

    def images(n0: int, n1: int) -> None:
        for i, j, here, there in taps:
            part = gx[n0:n1, *there]
            part += g[n0:n1, *here] * w[i, j]

    _for_images(geo, g.shape[3], g.itemsize, images)


def depthwise_weight_grad(g: np.ndarray, x: np.ndarray, gw: np.ndarray, geo: Geometry) -> None:
    r"""gw = the adjoint of :func:`depthwise` in w; g (N, OH, OW, C), x (N, H, W, C),
    gw (kh, kw, C)."""
    taps = _taps(geo)
    by_image = np.zeros((geo.N, *gw.shape), gw.dtype)  # summed at the end, always in this order

    def images(n0: int, n1: int) -> None:
        for i, j, here, there in taps:
            (g[n0:n1, *here] * x[n0:n1, *there]).sum(axis=(1, 2), out=by_image[n0:n1, i, j])

    _for_images(geo, g.shape[3], g.itemsize, images)
    np.sum(by_image, axis=0, out=gw)
