r"""Where a window that slides over an axis reads: arithmetic that convolution and pooling share.

Belongs here: integers and slices. Does not belong here: arrays.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Tap", "Windows", "reach"]

Pair = tuple[int, int]


class Tap(NamedTuple):
    r"""One place (i, j) of a window: the output positions that have it inside the input, and the
    input positions that they read there."""

    i: int
    j: int
    here: tuple[slice, slice]
    there: tuple[slice, slice]


class Windows(NamedTuple):
    r"""Windows over the two axes of an image. ``padding`` is what stands before the first entry."""

    size: Pair
    out_size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def along(self, axis: int, k: int) -> tuple[slice, slice]:
        r"""Of the place ``k`` of the window along ``axis``: the outputs that have it inside the
        input, and what they read."""
        offset = k * self.dilation[axis] - self.padding[axis]
        first, last, read = reach(
            offset, self.stride[axis], self.size[axis], 0, self.out_size[axis]
        )
        return slice(first, max(first, last)), read

    def taps(self) -> list[Tap]:
        r"""The places of the window, row by row, that read anything."""
        taps = []
        for i in range(self.kernel[0]):
            us, ys = self.along(0, i)
            for j in range(self.kernel[1]):
                vs, xs = self.along(1, j)
                if us.stop > us.start and vs.stop > vs.start:
                    taps.append(Tap(i, j, (us, vs), (ys, xs)))
        return taps

    def all_inside(self) -> bool:
        r"""True if no window reaches over the border."""
        return all(
            p <= 0 and (o - 1) * s + d * (k - 1) - p < n
            for n, o, k, s, p, d in zip(*self, strict=True)
        )

    def apart(self) -> bool:
        r"""True if no two windows overlap."""
        return all(d * (k - 1) < s for k, s, d in zip(self.kernel, self.stride, self.dilation))


def reach(offset: int, stride: int, size: int, first: int, last: int) -> tuple[int, int, slice]:
    r"""Of the output positions first:last, those u0:u1 whose place at ``offset`` falls inside the
    input, 0 <= u stride + offset < size, and the slice of the input that they read.

    >>> reach(-1, 2, 5, 0, 3)  # the left place of a padded window: -1, 1, 3
    (1, 3, slice(1, 4, 2))
    """
    u0 = max(first, -(offset // stride))
    u1 = min(last, (size - 1 - offset) // stride + 1)
    start = u0 * stride + offset
    return u0, u1, slice(start, start + max(u1 - u0 - 1, 0) * stride + 1, stride)
