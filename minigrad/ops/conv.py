r"""Convolution and transposed convolution, along one and two axes.

Belongs here: the gradient rules of convolution and the checks of its arguments. How it is computed
is in ``kernels/conv.py``.

Convolution is linear in the input and linear in the weight. Three ops, the forward and its two
adjoints, are therefore each other's rules, and every order of derivative follows:

===================== ==================== ==============================================
op                    value                gradients
===================== ==================== ==============================================
``Conv2d``            y = x * w            x̄ = transpose(ȳ, w), w̄ = weight-gradient(ȳ, x)
``ConvTranspose2d``   x = transpose(y, w)  ȳ = x̄ * w, w̄ = weight-gradient(y, x̄)
``Conv2dWeightGrad``  w = wg(y, x)         ȳ = x * w̄, x̄ = transpose(y, w̄)
===================== ==================== ==============================================

Along one axis, the same ops run on images of height one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..kernels import conv as kernels
from ._base import Function, shape_of
from .reduction import sum as sum_
from .shape import reshape

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]

Pair = tuple[int, int]


class _Settings(NamedTuple):
    r"""What a convolution is, beside its operands."""

    stride: Pair
    padding: tuple[Pair, Pair]  # (top, bottom), (left, right); negative crops
    dilation: Pair
    groups: int


class Conv2d(Function):
    r"""y = x * w + b, x (N, C, H, W), w (O, C / groups, kh, kw), b (O,);
    x̄ = the transposed convolution of ȳ, w̄ = the correlation of ȳ with x, b̄ = Σ ȳ."""

    def __init__(self, settings: _Settings) -> None:
        self.settings = settings

    def forward(self, x, w, b):
        return kernels.conv2d(x, w, *self.settings, bias=b)

    def backward(self, g, x, w):
        need_x, need_w, need_b = self.needs_input_grad
        settings = self.settings
        gx = gw = gb = None
        if need_x:
            gx = ConvTranspose2d.apply(g, w, None, settings=settings, shape=shape_of(x))
        if need_w:
            gw = Conv2dWeightGrad.apply(g, x, settings=settings, shape=shape_of(w))
        if need_b:
            gb = sum_(g, (0, 2, 3))
        return gx, gw, gb

    def backward_array(self, g, x, w):
        return kernels.conv2d_backward(g, x, w, *self.settings, needs=self.needs_input_grad)


class ConvTranspose2d(Function):
    r"""x = the adjoint of ``x -> x * w`` at y, plus b; y (N, O, OH, OW), x of ``shape``
    (N, C, H, W), b (C,);  ȳ = x̄ * w, w̄ = the correlation of y with x̄, b̄ = Σ x̄."""

    def __init__(self, settings: _Settings, shape: tuple[int, ...]) -> None:
        self.settings = settings
        self.shape = shape

    def forward(self, y, w, b):
        return kernels.conv2d_input_grad(y, w, self.shape, *self.settings, bias=b)

    def backward(self, g, y, w):
        need_y, need_w, need_b = self.needs_input_grad
        settings = self.settings
        gy = gw = gb = None
        if need_y:
            gy = Conv2d.apply(g, w, None, settings=settings)
        if need_w:
            gw = Conv2dWeightGrad.apply(y, g, settings=settings, shape=shape_of(w))
        if need_b:
            gb = sum_(g, (0, 2, 3))
        return gy, gw, gb


class Conv2dWeightGrad(Function):
    r"""w = the adjoint of ``w -> x * w`` at y; y (N, O, OH, OW), x (N, C, H, W), w of ``shape``;
    ȳ = x * w̄, x̄ = the transposed convolution of y with w̄."""

    def __init__(self, settings: _Settings, shape: tuple[int, ...]) -> None:
        self.settings = settings
        self.shape = shape

    def forward(self, y, x):
        return kernels.conv2d_weight_grad(y, x, self.shape, *self.settings)

    def backward(self, g, y, x):
        need_y, need_x = self.needs_input_grad
        settings = self.settings
        gy = Conv2d.apply(x, g, None, settings=settings) if need_y else None
        gx = None
        if need_x:
            gx = ConvTranspose2d.apply(y, g, None, settings=settings, shape=shape_of(x))
        return gy, gx


# ---------------------------------------------------------------------------- the public functions
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    r"""Cross-correlation of images with kernels, plus a bias for each output channel.

    .. math:: y_{nouv} = b_o + \sum_{cij} w_{ocij}\, x_{n,\, c,\, su + di - p,\, sv + dj - p}

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        weight: (O, C / groups, kh, kw).
        bias: (O,) or None.
        stride, dilation: an int, or one for each of height and width.
        padding: zeros around the image: an int, one for each axis, "valid" (none), or "same" (as
            many as keep the size, the odd one at the bottom and right; stride 1 only).
        groups: split the channels into groups that do not see each other.

    Returns:
        (N, O, OH, OW) with :math:`OH = \lfloor (H + 2p - d (kh - 1) - 1) / s \rfloor + 1`.

    Raises:
        ValueError: shapes that do not fit each other, or a kernel larger than the padded input.

    >>> import minigrad as mg
    >>> mg.conv2d(mg.ones(1, 1, 3, 3), mg.ones(1, 1, 2, 2), padding="same")[0, 0]
    tensor([[4., 4., 2.],
            [4., 4., 2.],
            [2., 2., 1.]])
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    r"""Cross-correlation along one axis: input (N, C, L) or (C, L), weight (O, C / groups, k),
    bias (O,) -> (N, O, OL); the arguments are those of :func:`conv2d`.

    >>> import minigrad as mg
    >>> mg.conv1d(mg.tensor([[[1.0, 2.0, 4.0]]]), mg.tensor([[[-1.0, 1.0]]]))
    tensor([[[1., 2.]]])
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    r"""The adjoint of :func:`conv2d` with the same weight, plus a bias: each input value adds its
    multiple of the kernel to the output. With stride s it enlarges an image s times.

    Args:
        input: (N, O, H, W), or (O, H, W) for one image.
        weight: (O, C / groups, kh, kw): the input's channels come first.
        bias: (C,) or None.
        stride, dilation: an int, or one for each of height and width.
        padding: rows and columns to cut off the result on every side.
        output_padding: rows and columns to add at the bottom and right; a convolution with stride
            s maps s sizes to the same, and this says which of them is wanted.
        groups: split the channels into groups that do not see each other.

    Returns:
        (N, C, H', W') with
        :math:`H' = (H - 1) s - 2p + d (kh - 1) + \text{output\_padding} + 1`.

    Raises:
        ValueError: shapes that do not fit each other, or ``output_padding`` at least as large as
            both stride and dilation.

    >>> import minigrad as mg
    >>> mg.conv_transpose2d(mg.tensor([[[[1.0, 2.0]]]]), mg.ones(1, 1, 1, 2), stride=(1, 2))
    tensor([[[[1., 1., 2., 2.]]]])
    """
    return _transpose(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    r"""The adjoint of :func:`conv1d`: input (N, O, L) or (O, L), weight (O, C / groups, k),
    bias (C,) -> (N, C, L'); the arguments are those of :func:`conv_transpose2d`.

    >>> import minigrad as mg
    >>> mg.conv_transpose1d(mg.tensor([[[1.0, 2.0]]]), mg.ones(1, 1, 2))
    tensor([[[1., 3., 2.]]])
    """
    return _transpose(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


# ------------------------------------------------------------------------------------- arguments
def integers(name: str, what: str, value: Any, n: int, lowest: int) -> tuple[int, ...]:
    r"""``value``, an integer or one for each axis, as a tuple of ``n``."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) == 1:
        values *= n
    if len(values) != n or any(
        isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < lowest for v in values
    ):
        wanted = "an integer" if n == 1 else f"an integer or {n} of them"
        raise ValueError(f"{name}: expected {what} to be {wanted}, >= {lowest}, got {value!r}")
    return tuple([int(v) for v in values])


def _operands(
    name: str, axes: int, x: Any, w: Any, b: Any, groups: int, transposed: bool
) -> tuple[Any, Any, bool]:
    r"""Input and weight with a batch axis and two spatial axes, and whether the batch axis is new;
    an error if they do not fit each other."""
    xs, ws = shape_of(x), shape_of(w)
    layout = "(N, C, H, W)" if axes == 2 else "(N, C, L)"
    if len(xs) not in (axes + 1, axes + 2):
        raise ValueError(f"{name}: expected input {layout}, got shape {xs}")
    if len(ws) != axes + 2:
        sizes = "kh, kw" if axes == 2 else "k"
        wanted = f"(in, out / groups, {sizes})" if transposed else f"(out, in / groups, {sizes})"
        raise ValueError(f"{name}: expected weight {wanted}, got shape {ws}")
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise ValueError(f"{name}: expected groups to be an integer >= 1, got {groups!r}")
    channels = xs[-axes - 1]
    if channels % groups:
        raise ValueError(
            f"{name}: expected the input's channels to divide into {groups} groups, "
            f"got input {xs} with {channels} channels"
        )
    if ws[0] % groups:
        raise ValueError(
            f"{name}: expected the weight's first axis to divide into {groups} groups, "
            f"got weight {ws}"
        )
    expected = ws[0] if transposed else ws[1] * groups
    if channels != expected:
        grouped = f" and groups={groups}" if groups > 1 else ""
        raise ValueError(
            f"{name}: expected input with {expected} channels for weight {ws}{grouped}, "
            f"got input {xs} with {channels}"
        )
    if 0 in ws[2:]:
        raise ValueError(f"{name}: expected a kernel of at least size 1, got weight {ws}")
    n_out = ws[1] * groups if transposed else ws[0]
    if b is not None and shape_of(b) != (n_out,):
        raise ValueError(f"{name}: expected bias of shape ({n_out},), got {shape_of(b)}")
    single = len(xs) == axes + 1
    if axes == 1:
        xs, ws = (*xs[:-1], 1, xs[-1]), (*ws[:-1], 1, ws[-1])
        w = reshape(w, ws)
    if single:
        xs = (1, *xs)
    return (x if xs == shape_of(x) else reshape(x, xs)), w, single


def _restore(y: Any, axes: int, single: bool) -> Any:
    r"""The result without the axes that :func:`_operands` added."""
    if axes == 2 and not single:
        return y
    N, C, H, W = shape_of(y)
    return reshape(y, ((C,) if single else (N, C)) + ((H, W) if axes == 2 else (W,)))


def _two(values: tuple[int, ...], unit: int) -> Pair:
    r"""Of one axis or two: what the two axes get; a missing height gets ``unit``."""
    return (unit, values[0]) if len(values) == 1 else (values[0], values[1])


def _convolve(
    name: str,
    axes: int,
    x: Any,
    w: Any,
    b: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    x, w, single = _operands(name, axes, x, w, b, groups, transposed=False)
    strides = _two(integers(name, "stride", stride, axes, 1), 1)
    dilations = _two(integers(name, "dilation", dilation, axes, 1), 1)
    kernel, size = shape_of(w)[2:], shape_of(x)[2:]
    pads = _pads(name, axes, padding, strides, dilations, kernel)
    for n, k, d, (before, after) in zip(size, kernel, dilations, pads):
        if d * (k - 1) + 1 > n + before + after:
            raise ValueError(
                f"{name}: expected a kernel no larger than the padded input, got kernel "
                f"{kernel[-axes:]} with dilation {dilations[-axes:]} on input {size[-axes:]} "
                f"with padding {padding!r}"
            )
    settings = _Settings(strides, pads, dilations, int(groups))
    return _restore(Conv2d.apply(x, w, b, settings=settings), axes, single)


def _pads(
    name: str, axes: int, padding: Any, stride: Pair, dilation: Pair, kernel: tuple[int, ...]
) -> tuple[Pair, Pair]:
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding != "same":
            raise ValueError(f"{name}: expected padding 'same' or 'valid', got {padding!r}")
        if stride != (1, 1):
            raise ValueError(f"{name}: padding='same' expected stride 1, got {stride[-axes:]}")
        rows, columns = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    ph, pw = _two(integers(name, "padding", padding, axes, 0), 0)
    return (ph, ph), (pw, pw)


def _transpose(
    name: str,
    axes: int,
    y: Any,
    w: Any,
    b: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    y, w, single = _operands(name, axes, y, w, b, groups, transposed=True)
    strides = _two(integers(name, "stride", stride, axes, 1), 1)
    dilations = _two(integers(name, "dilation", dilation, axes, 1), 1)
    padded = _two(integers(name, "padding", padding, axes, 0), 0)
    extra = _two(integers(name, "output_padding", output_padding, axes, 0), 0)
    for s, d, e in zip(strides, dilations, extra):
        if e >= max(s, d):
            raise ValueError(
                f"{name}: expected output_padding smaller than stride or dilation, got "
                f"output_padding {extra[-axes:]}, stride {strides[-axes:]}, "
                f"dilation {dilations[-axes:]}"
            )
    kernel, size = shape_of(w)[2:], shape_of(y)[2:]
    # Seen from the convolution that this is the adjoint of, output_padding is less padding behind:
    # the size below is exactly what its windows cover.
    rows, columns = [(p, p - e) for p, e in zip(padded, extra)]
    full = [
        (n - 1) * s + d * (k - 1) + 1 - before - after
        for n, s, d, k, (before, after) in zip(size, strides, dilations, kernel, (rows, columns))
    ]
    if min(full) < 1:
        raise ValueError(
            f"{name}: expected an output of at least size 1, got {tuple(full[-axes:])} from input "
            f"{size[-axes:]} with kernel {kernel[-axes:]}, stride {strides[-axes:]}, padding "
            f"{padded[-axes:]}"
        )
    settings = _Settings(strides, (rows, columns), dilations, int(groups))
    shape = (shape_of(y)[0], shape_of(w)[1] * settings.groups, *full)
    return _restore(ConvTranspose2d.apply(y, w, b, settings=settings, shape=shape), axes, single)
