r"""Winograd's convolution: 3 x 3 kernels with a quarter of the multiplications.

Belongs here: the CPU's way of a 3 x 3 convolution with stride 1 and many channels, and of its two
gradients. Does not belong here: the choice between this and the direct way (``conv.py``).

Six inputs and three weights of a row make four outputs. With the matrices below

    y = Aᵀ [(G w) ⊙ (Bᵀ x)]          x (6,)   w (3,)   y (4,)

takes 6 products instead of 12; in two dimensions 36 instead of 144. The transforms are the same for
all channels, so they are matrix products too, with the tile's 36 places as rows; and for each place
the products over all tiles and channels are one matrix product:

    X (36, tiles, C) = (B ⊗ B)ᵀ x      U (36, C, O) = (G ⊗ G) w      Y = X @ U      y = (A ⊗ A)ᵀ Y

Every map is linear in x and in w, so the gradients are the same products transposed:

    Ȳ = (A ⊗ A) ȳ      ū = Xᵀ @ Ȳ      w̄ = (G ⊗ G)ᵀ ū      x̄ = (B ⊗ B) (Ȳ @ Uᵀ), tiles added up

Sources: Lavin and Gray, Fast algorithms for convolutional neural networks, arXiv:1509.09308, 2015;
the matrices follow from the points 0, ±1, ±2 and infinity. They magnify rounding errors about ten
times, so float32 alone goes this way.
"""

from __future__ import annotations

import numpy as np

from .conv_blocks import Geometry, LaneSums
from .gemm import product
from .parallel import parallel_for
from .workspace import scratch

__all__ = ["backward", "forward", "pays"]

_BT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float64,
)
_AT = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
    np.float64,
)
# In two dimensions, with a row for each of the 36 places.
_B2 = np.kron(_BT, _BT).astype(np.float32)  # (36, 36): places of the transform, of the tile
_G2 = np.kron(_G, _G).astype(np.float32)  # (36, 9)
_A2 = np.kron(_AT, _AT).astype(np.float32)  # (16, 36)

# What a block's transform may take: about a core's second-level cache. Fewer tiles than the minimum
# are too few rows for a fast product.
_BLOCK_BYTES, _MIN_TILES = 1 << 20, 64


def pays(geo: Geometry, dtype: np.dtype) -> bool:
    r"""True where this way is the faster one: many channels, and tiles that are mostly full."""
    if (geo.kh, geo.kw, geo.sh, geo.sw, geo.dh, geo.dw) != (3, 3, 1, 1, 1, 1):
        return False
    if dtype != np.float32 or min(geo.C, geo.O) < 32 or min(geo.pt, geo.pb, geo.pl, geo.pr) < 0:
        return False
    rows, columns = _tiles(geo)
    here = rows * columns * (36 * geo.C * geo.O + 1296 * geo.C + 576 * geo.O)
    direct = geo.OH * geo.OW * 9 * geo.C * geo.O
    return geo.N * rows * columns >= 8 * _MIN_TILES and 1.5 * here < direct


def _tiles(geo: Geometry) -> tuple[int, int]:
    r"""How many tiles of 4 x 4 outputs cover an image, down and across."""
    return -(-geo.OH // 4), -(-geo.OW // 4)


def _image_blocks(geo: Geometry) -> list[tuple[int, int]]:
    rows, columns = _tiles(geo)
    tiles = max(_BLOCK_BYTES // (36 * 4 * max(geo.C, geo.O)), _MIN_TILES)
    images = max(tiles // (rows * columns), 1)
    images = min(images, max(-(-geo.N // 8), 1))  # enough blocks to share
    return [(n, min(n + images, geo.N)) for n in range(0, geo.N, images)]


def _kernel(w: np.ndarray) -> np.ndarray:
    r"""(O, C, 3, 3) -> U (36, C, O)"""
    O, C = w.shape[:2]
    return product(_G2, w.transpose(2, 3, 1, 0).reshape(9, C * O)).reshape(36, C, O)


def _input(x: np.ndarray, geo: Geometry) -> np.ndarray:
    r"""Images (n, H, W, C) -> X (36, tiles, C), in scratch memory."""
    n, (rows, columns) = len(x), _tiles(geo)
    C, height, width = geo.C, 4 * rows + 2, 4 * columns + 2
    padded = scratch("padded", (n, height, width, C), x.dtype)
    # The last tiles may end before the padding does; what lies beyond is read by no output.
    bottom, right = min(geo.pt + geo.H, height), min(geo.pl + geo.W, width)
    padded[:, : geo.pt] = 0
    padded[:, bottom:] = 0
    padded[:, geo.pt : bottom, : geo.pl] = 0
    padded[:, geo.pt : bottom, right:] = 0
    padded[:, geo.pt : bottom, geo.pl : right] = x[:, : bottom - geo.pt, : right - geo.pl]
    s = padded.strides
    windows = np.lib.stride_tricks.as_strided(
        padded,
        (6, 6, n, rows, columns, C),
        (s[1], s[2], s[0], 4 * s[1], 4 * s[2], s[3]),
        writeable=False,
    )
    places = scratch("columns", (6, 6, n, rows, columns, C), x.dtype)
    np.copyto(places, windows)
    out = scratch("winograd", (36, n * rows * columns * C), x.dtype)
    np.matmul(_B2, places.reshape(36, -1), out=out)
    return out.reshape(36, n * rows * columns, C)


def forward(
    x: np.ndarray, w: np.ndarray, out: np.ndarray, bias: np.ndarray | None, geo: Geometry
) -> None:
    r"""out = x * w + bias; x (N, H, W, C), w (O, C, 3, 3), out (N, OH, OW, O)."""
    U = _kernel(w)
    rows, columns = _tiles(geo)
    blocks = _image_blocks(geo)

    def run(start: int, stop: int) -> None:
        for n0, n1 in blocks[start:stop]:
            X = _input(x[n0:n1], geo)
            tiles = X.shape[1]
            Y = scratch("columns", (36, tiles, geo.O), x.dtype)
            np.matmul(X, U, out=Y)
            y = scratch("winograd", (16, tiles * geo.O), x.dtype)
            np.matmul(_A2, Y.reshape(36, -1), out=y)
            places = y.reshape(4, 4, n1 - n0, rows, columns, geo.O)
            for i in range(4):
                for j in range(4):
                    target = out[n0:n1, i::4, j::4]
                    place = places[i, j, :, : target.shape[1], : target.shape[2]]
                    if bias is None:
                        np.copyto(target, place)
                    else:
                        np.add(place, bias, out=target)

    parallel_for(run, len(blocks))


def backward(
    g: np.ndarray,
    x: np.ndarray | None,
    w: np.ndarray,
    gx: np.ndarray | None,
    gw: np.ndarray | None,
    gbias: np.ndarray | None,
    geo: Geometry,
) -> None:
    r"""The gradients that are not None; g (N, OH, OW, O), x, gx (N, H, W, C), w (O, C, 3, 3),
    gw (O, 3, 3, C), gbias (O,). ``x`` is needed for ``gw`` alone."""
    UT = np.empty((0,)) if gx is None else np.ascontiguousarray(_kernel(w).transpose(0, 2, 1))
    rows, columns = _tiles(geo)
    C, O = geo.C, geo.O
    blocks = _image_blocks(geo)
    sums = LaneSums([(n0, n1, 0, geo.OH) for n0, n1 in blocks], (36, C, O), g.dtype)
    bias_sums = np.zeros((sums.n, O), g.dtype)

    def block(lane: int, first: bool, n0: int, n1: int, *_: int) -> None:
        n = n1 - n0
        tiles = n * rows * columns
        places = scratch("places", (4, 4, n, rows, columns, O), g.dtype)
        for i in range(4):
            for j in range(4):
                source = g[n0:n1, i::4, j::4]
                place = places[i, j]
                place[:, : source.shape[1], : source.shape[2]] = source
                place[:, source.shape[1] :] = 0
                place[:, : source.shape[1], source.shape[2] :] = 0
        if gbias is not None:
            own = g[n0:n1].reshape(-1, O)
            bias_sums[lane] += np.ones(len(own), g.dtype) @ own
        Y = scratch("gradients", (36, tiles * O), g.dtype)
        np.matmul(_A2.T, places.reshape(16, -1), out=Y)
        Y = Y.reshape(36, tiles, O)
        if gw is not None and x is not None:
            sums.add_product(lane, first, _input(x[n0:n1], geo).transpose(0, 2, 1), Y)
        if gx is not None:
            X = scratch("columns", (36, tiles, C), g.dtype)
            np.matmul(Y, UT, out=X)
            x_places = scratch("winograd", (36, tiles * C), g.dtype)
            np.matmul(_B2.T, X.reshape(36, -1), out=x_places)
            _add_tiles(x_places.reshape(6, 6, n, rows, columns, C), gx[n0:n1], geo)

    total = sums.run(block, 2 * geo.work)
    if gw is not None:
        places = product(_G2.T, total.reshape(36, C * O))
        np.copyto(gw, places.reshape(3, 3, C, O).transpose(3, 0, 1, 2))
    if gbias is not None:
        np.sum(bias_sums, axis=0, out=gbias)


def _add_tiles(places: np.ndarray, gx: np.ndarray, geo: Geometry) -> None:
    r"""Add tiles (6, 6, n, rows, columns, C), which overlap by two, to images gx (n, H, W, C)."""
    _, _, n, rows, columns, C = places.shape
    padded = scratch("padded", (n, 4 * rows + 4, 4 * columns + 4, C), gx.dtype)
    # By fours: a place of every tile at once is a block of this view.
    fours = padded.reshape(n, rows + 1, 4, columns + 1, 4, C)
    fours[:, rows] = 0
    fours[:, :rows, :, columns] = 0
    for i in range(6):
        for j in range(6):
            down, across = i // 4, j // 4
            target = fours[:, down : rows + down, i % 4, across : columns + across, j % 4]
            if down or across:
                target += places[i, j]
            else:
                np.copyto(target, places[i, j])
    bottom, right = min(geo.H, 4 * rows + 2 - geo.pt), min(geo.W, 4 * columns + 2 - geo.pl)
    gx[:, :bottom, :right] = padded[:, geo.pt : geo.pt + bottom, geo.pl : geo.pl + right]
    gx[:, bottom:] = 0
    gx[:, :bottom, right:] = 0
