r"""The op table: padding, interpolation, windows, pixels and channels."""

from __future__ import annotations

import math

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row


# ---------------------------------------------------------------------------------------- padding
def _pad_constant(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    widths = [d.int(-1 if shape[-1 - i // 2] > 1 else 0, 2) for i in range(2 * len(shape))]
    widths = widths[: 2 * d.int(1, len(shape))]
    for i in range(0, len(widths), 2):  # never cut off more than there is
        if widths[i] + widths[i + 1] + shape[-1 - i // 2] < 0:
            widths[i] = 0
    return Case((d.floats(shape),), {"pad": tuple(widths), "value": d.of(0.0, 1.5)})


def _pad_reference(x, pad, value):
    widths = [(0, 0)] * x.ndim
    for i in range(len(pad) // 2):
        widths[-1 - i] = (pad[2 * i], pad[2 * i + 1])
    result = np.full([n + a + b for n, (a, b) in zip(x.shape, widths)], value)
    for index in np.ndindex(result.shape):
        source = tuple(k - a for k, (a, _) in zip(index, widths))
        if all(0 <= k < n for k, n in zip(source, x.shape)):
            result[index] = x[source]
    return result


def _pad_edges(d: Draw) -> Case:
    mode = d.of("reflect", "replicate", "circular")
    axes = d.int(1, 2)
    shape = (d.int(0, 2), 2, *[d.int(1, 4) for _ in range(axes)])[d.int(0, 1) :]
    widths = []
    for n in shape[: -axes - 1 : -1]:
        widest = n - 1 if mode == "reflect" else n
        a, b = (d.int(-1 if n > 2 else 0, min(widest, 3)) for _ in range(2))
        if mode == "circular":
            left = n + min(a, 0) + min(b, 0)
            a, b = min(a, left), min(b, left)
        widths += [a, b]
    return Case((d.floats(shape),), {"pad": tuple(widths), "mode": mode})


def _pad_edges_reference(x, pad, mode):
    for i in range(len(pad) // 2):
        a, b, axis = pad[2 * i], pad[2 * i + 1], x.ndim - 1 - i
        full = [(0, 0)] * x.ndim
        full[axis] = (max(a, 0), max(b, 0))
        if mode == "circular":  # cut first, or what is cut off would come round again
            x = np.take(x, range(max(-a, 0), x.shape[axis] - max(-b, 0)), axis)
            a, b = max(a, 0), max(b, 0)
        how = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
        x = (
            np.pad(x, full, mode=how)
            if x.size
            else np.zeros([n + sum(w) for n, w in zip(x.shape, full)])
        )
        x = np.take(x, range(max(-a, 0), x.shape[axis] - max(-b, 0)), axis)
    return x


# ---------------------------------------------------------------------------------- interpolation
def _interpolate(*modes: str):
    def draw(d: Draw) -> Case:
        mode = d.of(*modes)
        axes = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}.get(mode, d.int(1, 2))
        shape = (d.int(0, 2), d.int(1, 2), *[d.int(1, 4) for _ in range(axes)])
        params = {"mode": mode}
        if d.bool():
            size = tuple(d.int(1, 7) for _ in range(axes))
            params["size"] = size[0] if d.bool() else size
        else:
            params["scale_factor"] = d.of(2, 3, 1.5, 2.5, (1.0, 2.0, 1.7)[:axes])
        if mode in ("linear", "bilinear", "bicubic", "trilinear"):
            params["align_corners"] = d.of(None, False, True)
        return Case((d.floats(shape),), params)

    return draw


def _kernel(mode):
    r"""The weight of a pixel by its distance."""
    if mode == "bicubic":  # Keys, 1981, with a = -3/4
        return lambda d: (
            1.25 * d**3 - 2.25 * d**2 + 1
            if d <= 1
            else -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
            if d < 2
            else 0.0
        )
    return lambda d: max(1 - d, 0.0)


def _interpolate_reference(x, mode, size=None, scale_factor=None, align_corners=None):
    r"""One pixel at a time, one axis after the other."""
    axes = x.ndim - 2
    for axis in range(axes):
        n = x.shape[2 + axis]
        s = scale_factor[axis] if isinstance(scale_factor, tuple) else scale_factor
        m = math.floor(n * s) if size is None else size if isinstance(size, int) else size[axis]
        step = n / m if s is None or (mode == "nearest" and axes == 2 and m == n) else 1 / s
        y = np.zeros((*x.shape[: 2 + axis], m, *x.shape[3 + axis :]))
        old, new = np.moveaxis(x, 2 + axis, 0), np.moveaxis(y, 2 + axis, 0)
        for k in range(m):
            if mode.startswith("nearest"):
                at = (k + 0.5 * (mode == "nearest-exact")) * step
                new[k] = old[min(math.floor(np.float32(at)), n - 1)]
                continue
            if align_corners:
                at = k * (n - 1) / (m - 1) if m > 1 else 0.0
            else:
                at = (k + 0.5) * step - 0.5
            if mode != "bicubic":
                at = k if m == n else min(max(at, 0.0), n - 1)
            for i in range(math.floor(at) - 1, math.floor(at) + 3):
                new[k] += _kernel(mode)(abs(at - i)) * old[min(max(i, 0), n - 1)]
        x = y
    return x


def _area_reference(x, mode, size=None, scale_factor=None):
    axes = x.ndim - 2
    for axis in range(axes):
        n = x.shape[2 + axis]
        s = scale_factor[axis] if isinstance(scale_factor, tuple) else scale_factor
        m = math.floor(n * s) if size is None else size if isinstance(size, int) else size[axis]
        parts = [
            np.take(x, range(k * n // m, -(-(k + 1) * n // m)), 2 + axis).mean(2 + axis)
            for k in range(m)
        ]
        x = np.stack(parts, 2 + axis)
    return x


# -------------------------------------------------------------------------------- pixels, windows
def _shuffled(up: bool):
    def draw(d: Draw) -> Case:
        r = d.int(1, 3)
        c, h, w = d.int(1, 2), d.int(1, 3), d.int(1, 3)
        lead = d.of((), (2,), (1, 2))  # PyTorch returns an empty batch as it is
        shape = (*lead, c * r * r, h, w) if up else (*lead, c, h * r, w * r)
        return Case((d.floats(shape),), {"upscale_factor" if up else "downscale_factor": r})

    return draw


def _shuffle_reference(x, upscale_factor):
    r = upscale_factor
    *lead, c, h, w = x.shape
    y = np.empty((*lead, c // r**2, h * r, w * r))
    for k in range(c // r**2):
        for i in range(h * r):
            for j in range(w * r):
                y[..., k, i, j] = x[..., k * r * r + i % r * r + j % r, i // r, j // r]
    return y


def _unshuffle_reference(x, downscale_factor):
    r = downscale_factor
    *lead, c, h, w = x.shape
    y = np.empty((*lead, c * r**2, h // r, w // r))
    for k in range(c):
        for i in range(h):
            for j in range(w):
                y[..., k * r * r + i % r * r + j % r, i // r, j // r] = x[..., k, i, j]
    return y


def _channels(d: Draw) -> Case:
    groups = d.int(1, 3)
    shape = (d.int(0, 2), groups * d.int(1, 2), *d.shape(1, 2))
    return Case((d.floats(shape),), {"groups": groups})


def _channel_reference(x, groups):
    size = x.shape[1] // groups
    return np.stack([x[:, k * size + i] for i in range(size) for k in range(groups)], 1)


def _window_case(d: Draw):
    kernel, dilation, padding, stride = (
        (d.int(1, 3), d.int(1, 2)),
        (d.int(1, 2), d.int(1, 2)),
        (d.int(0, 2), d.int(0, 1)),
        (d.int(1, 2), d.int(1, 3)),
    )
    size = [
        max(q * (k - 1) + 1 - 2 * p, 1) + d.int(0, 2) for k, q, p in zip(kernel, dilation, padding)
    ]
    params = {"kernel_size": kernel, "dilation": dilation, "padding": padding, "stride": stride}
    if d.bool():
        params = {"kernel_size": 1} if 1 in size else {"kernel_size": 2, "padding": 1}
    return size, params


def _pairs(kernel_size, dilation=1, padding=0, stride=1):
    return [v if isinstance(v, tuple) else (v, v) for v in (kernel_size, dilation, padding, stride)]


def _unfold(d: Draw) -> Case:
    size, params = _window_case(d)
    lead = d.of((2, 2), (2,), (0, 1))
    return Case((d.floats((*lead, *size)),), params)


def _unfold_reference(x, **params):
    kernel, dilation, padding, stride = _pairs(**params)
    images = x.reshape(-1, *x.shape[-3:])
    images = np.pad(images, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    reach = [q * (k - 1) + 1 for k, q in zip(kernel, dilation)]
    columns = []
    for u in range(0, images.shape[2] - reach[0] + 1, stride[0]):
        for v in range(0, images.shape[3] - reach[1] + 1, stride[1]):
            window = images[:, :, u : u + reach[0] : dilation[0], v : v + reach[1] : dilation[1]]
            columns.append(window.reshape(len(images), math.prod(window.shape[1:])))
    y = np.stack(columns, -1)
    return y if x.ndim == 4 else y[0]


def _fold(d: Draw) -> Case:
    size, params = _window_case(d)
    shape = _unfold_reference(np.zeros((1, 2, *size)), **params).shape
    lead = d.of((2,), (), (0,))
    return Case((d.floats((*lead, *shape[1:])),), {"output_size": tuple(size)} | params)


def _fold_reference(x, output_size, **params):
    r"""Where unfolding takes each number from, it is added."""
    columns = x.reshape(-1, *x.shape[-2:])
    channels = x.shape[-2] // math.prod(_pairs(**params)[0])
    places = np.arange(1.0, 1 + channels * math.prod(output_size)).reshape(
        1, channels, *output_size
    )
    source = _unfold_reference(places, **params)[0].astype(int)
    y = np.zeros((len(columns), places.size + 1))
    for at in np.ndindex(source.shape):
        y[:, source[at]] += columns[(slice(None), *at)]
    y = y[:, 1:].reshape(len(columns), *places.shape[1:])
    return y if x.ndim == 3 else y[0]


ROWS = [
    Row("pad", ops.pad, _pad_reference, _pad_constant),
    Row("pad-edges", ops.pad, _pad_edges_reference, _pad_edges, covers=("pad",)),
    Row("interpolate-nearest", ops.interpolate, _interpolate_reference,
        _interpolate("nearest", "nearest-exact"), covers=("interpolate",)),
    Row("interpolate-linear", ops.interpolate, _interpolate_reference,
        _interpolate("linear", "bilinear", "trilinear"), covers=("interpolate",)),
    Row("interpolate-cubic", ops.interpolate, _interpolate_reference,
        _interpolate("bicubic"), covers=("interpolate",), rtol=1e-5),
    Row("interpolate-area", ops.interpolate, _area_reference, _interpolate("area"),
        covers=("interpolate",)),
    Row("pixel_shuffle", ops.pixel_shuffle, _shuffle_reference, _shuffled(True)),
    Row("pixel_unshuffle", ops.pixel_unshuffle, _unshuffle_reference, _shuffled(False)),
    Row("channel_shuffle", ops.channel_shuffle, _channel_reference, _channels),
    Row("unfold", ops.unfold, _unfold_reference, _unfold),
    Row("fold", ops.fold, _fold_reference, _fold),
]  # fmt: skip
