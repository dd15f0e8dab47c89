r"""Convolution as its formula reads: the slow, obvious twin that the kernels are compared with.

Belongs here: references for several test files of this folder, and how their inputs are drawn.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st

from minigrad.kernels.conv import output_size


def conv2d_reference(x, w, stride, padding, dilation, groups):
    r"""Loops over groups and over the places of the kernel. ``padding`` is a pair of pairs."""
    (top, bottom), (left, right) = padding
    N, C, H, W = x.shape
    O, per_group, kh, kw = w.shape
    big = np.zeros((N, C, H + max(top, 0) + max(bottom, 0), W + max(left, 0) + max(right, 0)))
    big[:, :, max(top, 0) : max(top, 0) + H, max(left, 0) : max(left, 0) + W] = x
    big = big[:, :, max(-top, 0) :, max(-left, 0) :]
    big = big[:, :, : H + top + bottom, : W + left + right]
    OH = output_size(H, kh, stride[0], padding[0], dilation[0])
    OW = output_size(W, kw, stride[1], padding[1], dilation[1])
    y = np.zeros((N, O, OH, OW))
    for o in range(O):
        first = o // (O // groups) * per_group
        for c, i, j in np.ndindex(per_group, kh, kw):
            rows = i * dilation[0] + stride[0] * np.arange(OH)
            columns = j * dilation[1] + stride[1] * np.arange(OW)
            y[:, o] += w[o, c, i, j] * big[:, first + c][:, rows][:, :, columns]
    return y


@dataclasses.dataclass(frozen=True)
class Shapes:
    r"""A convolution: the shapes of its operands, and its settings."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int

    @property
    def settings(self) -> tuple:
        return self.stride, self.padding, self.dilation, self.groups


@st.composite
def convolutions(draw, max_batch: int = 5, negative: bool = True) -> Shapes:
    r"""Few and many channels, groups with one channel each, uneven and negative padding, empty
    batches, rows that no window reaches: every way that the kernels may take."""
    groups = draw(st.sampled_from((1, 1, 1, 2, 3)))
    c = draw(st.sampled_from((1, 2, 5, 16, 17)))
    o = draw(st.sampled_from((1, 2, 4, 17)))
    n = draw(st.integers(0, max_batch))
    lowest = -1 if negative else 0
    size, stride, padding, dilation, kernel, out = [], [], [], [], [], []
    for _ in range(2):
        k, s, d = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
        p = draw(st.integers(lowest, 3)), draw(st.integers(lowest, 3))
        least = max(d * (k - 1) + 1 - sum(p), 1 - min(p[0], 0) - min(p[1], 0))
        length = least + draw(st.integers(0, 7))
        size.append(length)
        kernel.append(k)
        stride.append(s)
        dilation.append(d)
        padding.append(p)
        out.append(output_size(length, k, s, p, d))
    return Shapes(
        (n, c * groups, *size),
        (o * groups, c, *kernel),
        (n, o * groups, *out),
        tuple(stride),
        tuple(padding),
        tuple(dilation),
        groups,
    )
