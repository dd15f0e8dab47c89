"""Layers against formulas written out, and what they refuse. Gradients are checked in tests/ops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional
from minigrad.testing.strict import strict


def test_linear():
    layer = nn.Linear(3, 2, dtype=mg.float64)
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    expected = np.einsum("abi,oi->abo", x, layer.weight.data) + layer.bias.data
    np.testing.assert_allclose(layer(mg.tensor(x)).detach().numpy(), expected, rtol=1e-12)
    assert nn.Linear(3, 2, bias=False).bias is None
    with pytest.raises(ValueError, match="linear"):
        layer(mg.zeros(4, 2, dtype=mg.float64))


def test_flatten_and_unflatten_undo_each_other():
    x = mg.randn(5, 2, 3, 4)
    assert nn.Flatten()(x).shape == (5, 24)
    assert nn.Flatten(2)(x).shape == (5, 2, 12)
    assert nn.Flatten(0, 1)(x).shape == (10, 3, 4)
    y = nn.Unflatten(1, (2, 3, 4))(nn.Flatten()(x))
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    assert nn.Unflatten(-1, (2, -1))(x).shape == (5, 2, 3, 2, 2)
    with pytest.raises(ValueError, match="unflatten"):
        nn.Unflatten(1, (5,))(x)


def test_identity_takes_the_place_of_any_layer():
    x = mg.ones(2)
    assert nn.Identity(3, kernel_size=5)(x) is x


# ---------------------------------------------------------------------------------- convolution
def naive_conv2d(x, w, b, stride, padding, dilation, groups):
    n, c, h, wd = x.shape
    o, cg, kh, kw = w.shape
    x = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    oh = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, o, oh, ow))
    for j in range(o):
        start = j // (o // groups) * cg
        for i in range(oh):
            for k in range(ow):
                rows = i * stride[0] + dilation[0] * np.arange(kh)
                columns = k * stride[1] + dilation[1] * np.arange(kw)
                window = x[:, start : start + cg][:, :, rows[:, None], columns]
                y[:, j, i, k] = (window * w[j]).sum((1, 2, 3)) + (0 if b is None else b[j])
    return y


@given(
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 1)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
def test_conv2d(stride, padding, dilation, groups, bias):
    layer = nn.Conv2d(4, 6, (3, 2), stride, padding, dilation, groups, bias, dtype=mg.float64)
    x = np.random.default_rng(0).normal(size=(2, 4, 7, 6))
    b = layer.bias.data if bias else None
    expected = naive_conv2d(x, layer.weight.data, b, stride, padding, dilation, groups)
    np.testing.assert_allclose(layer(mg.tensor(x)).detach().numpy(), expected, atol=1e-12)


@given(
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
)
def test_transposed_convolutions_are_transposes(stride, padding, dilation, groups):
    # <conv(x), y> = <x, conv_transpose(y)> for the same weight.
    rng = np.random.default_rng(0)
    for conv, transposed, shape in [
        (nn.Conv1d, nn.ConvTranspose1d, (9,)),
        (nn.Conv2d, nn.ConvTranspose2d, (9, 7)),
    ]:
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        down = conv(4, 6, 3, bias=False, dtype=mg.float64, **options)
        x = rng.normal(size=(2, 4, *shape))
        y_shape = down(mg.tensor(x)).shape
        # How much the transposed shape falls short of x's.
        back = [(n - 1) * stride - 2 * padding + dilation * 2 + 1 for n in y_shape[2:]]
        extra = tuple(n - m for n, m in zip(shape, back))
        if any(e >= max(stride, dilation) for e in extra):
            continue
        up = transposed(6, 4, 3, output_padding=extra, bias=False, dtype=mg.float64, **options)
        assert up.weight.shape == down.weight.shape
        up.load_state_dict(down.state_dict())
        y = rng.normal(size=y_shape)
        left = (down(mg.tensor(x)).detach().numpy() * y).sum()
        right = (up(mg.tensor(y)).detach().numpy() * x).sum()
        np.testing.assert_allclose(left, right, rtol=1e-10)


def test_same_padding_keeps_the_size():
    for kernel in (1, 2, 3, 4):
        assert nn.Conv2d(1, 1, kernel, padding="same")(mg.zeros(1, 1, 6, 5)).shape == (1, 1, 6, 5)
        assert nn.Conv1d(1, 1, kernel, padding="same")(mg.zeros(1, 1, 6)).shape == (1, 1, 6)
    assert nn.Conv2d(1, 1, 3, padding="valid")(mg.zeros(1, 1, 6, 5)).shape == (1, 1, 4, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups to divide in_channels"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "groups to divide out_channels"),
        (lambda: nn.Conv2d(0, 3, 3), "in_channels"),
        (lambda: nn.Conv2d(1, 1, 0), "kernel_size"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), "kernel_size"),
        (lambda: nn.Conv1d(1, 1, (3, 3)), "kernel_size"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), "stride"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), "padding"),
        (lambda: nn.Conv2d(1, 1, 3, dilation=1.5), "dilation"),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), "stride 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding="reflect"), "padding"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding="same"), "padding"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, output_padding=-1), "output_padding"),
        (lambda: nn.Conv2d(1, 1, 5)(mg.zeros(1, 1, 3, 3)), "conv2d"),
        (lambda: nn.Conv2d(2, 1, 3)(mg.zeros(1, 1, 9, 9)), "conv2d"),
        (lambda: nn.Linear(-1, 2), "in_features"),
        (lambda: nn.BatchNorm2d(0), "num_features"),
        (lambda: nn.BatchNorm2d(2)(mg.zeros(3, 2)), "BatchNorm2d: expected a 4-d input"),
        (lambda: nn.BatchNorm1d(2)(mg.zeros(3, 2, 1, 1)), "BatchNorm1d: expected a 2-d or 3-d"),
        (lambda: nn.BatchNorm1d(2)(mg.zeros(3, 4)), "batch_norm"),
        (lambda: nn.BatchNorm1d(2)(mg.zeros(1, 2)), "more than 1 value"),
        (lambda: nn.Dropout(1.5), "Dropout: expected 0 <= p <= 1"),
        (lambda: nn.GELU("fast"), "GELU"),
        (lambda: nn.Hardtanh(1, 0), "Hardtanh"),
        (lambda: nn.MSELoss("average"), "MSELoss: expected reduction"),
        (lambda: nn.HuberLoss(delta=0), "delta"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), "label_smoothing"),
        (lambda: nn.MSELoss()(mg.zeros(3, 1), mg.zeros(3)), "mse_loss"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_label_outside_the_classes():
    with pytest.raises(IndexError, match="cross_entropy"):
        nn.CrossEntropyLoss()(mg.zeros(2, 3), mg.tensor([0, 3]))


# -------------------------------------------------------------------------------- normalisation
@given(
    shape=st.sampled_from([(6, 3), (4, 3, 5)]),
    momentum=st.sampled_from([0.1, 0.9, None]),
    affine=st.booleans(),
)
def test_batch_norm_by_hand(shape, momentum, affine):
    layer = nn.BatchNorm1d(3, momentum=momentum, affine=affine, dtype=mg.float64)
    rng = np.random.default_rng(0)
    gamma, beta = np.ones(3), np.zeros(3)
    if affine:
        gamma, beta = layer.weight.data, layer.bias.data
        gamma[:], beta[:] = rng.normal(size=3), rng.normal(size=3)
    axes = (0, *range(2, len(shape)))
    tail = (1,) * (len(shape) - 2)
    mean, var = np.zeros(3), np.ones(3)

    def normalise(x, m, v):
        m, v, g, b = (a.reshape(3, *tail) for a in (m, v, gamma, beta))
        return (x - m) / np.sqrt(v + 1e-5) * g + b

    for step in range(1, 4):
        x = rng.normal(2.0, 3.0, shape)
        rate = 1 / step if momentum is None else momentum
        mean = (1 - rate) * mean + rate * x.mean(axes)
        var = (1 - rate) * var + rate * x.var(axes, ddof=1)
        y = layer(mg.tensor(x)).detach().numpy()
        np.testing.assert_allclose(y, normalise(x, x.mean(axes), x.var(axes)), atol=1e-10)
        np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-10)
        np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-10)
        assert layer.num_batches_tracked.item() == step
    layer.eval()
    y = layer(mg.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y, normalise(x, mean, var), atol=1e-10)
    assert layer.num_batches_tracked.item() == 3

    layer.reset_parameters()
    assert layer.running_mean.tolist() == [0.0] * 3 and layer.running_var.tolist() == [1.0] * 3
    assert layer.num_batches_tracked.item() == 0
    assert not affine or layer.weight.tolist() == [1.0] * 3


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_on_a_device_never_waits(momentum):
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32)
    here, there = (nn.BatchNorm2d(3, momentum=momentum) for _ in range(2))
    there.to("strict")
    there(mg.Tensor(strict.asarray(x)))  # makes what is kept between steps
    with strict.count() as count:
        there(mg.Tensor(strict.asarray(x))).sum().backward()
    assert count.synchronisations == 0
    for _ in range(2):
        here(mg.tensor(x))
    np.testing.assert_allclose(there.cpu().running_var.data, here.running_var.data, rtol=1e-6)


def test_batch_norm_without_running_statistics():
    layer = nn.BatchNorm2d(3, track_running_stats=False).eval()
    assert list(layer.state_dict()) == ["weight", "bias"]
    y = layer(mg.randn(8, 3, 4, 4) * 5 + 1).detach().numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var((0, 2, 3)), 1, atol=1e-4)


# --------------------------------------------------------------------------------------- random
def test_dropout():
    x = mg.ones(100, 100)
    layer = nn.Dropout(0.25, generator=mg.Generator(1))
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    # Binomial: 10^4 draws, so the share of zeros has standard deviation 0.0043.
    assert abs((y == 0).mean() - 0.25) < 5 * 0.0043
    assert not np.array_equal(layer(x).numpy(), y)
    again = nn.Dropout(0.25, generator=mg.Generator(1))
    np.testing.assert_array_equal(again(x).numpy(), y)
    assert layer.eval()(x) is x
    assert not nn.Dropout(1.0)(x).numpy().any()


def test_channel_dropout_drops_whole_channels():
    for layer, shape in [(nn.Dropout2d(0.5), (20, 30, 4, 4)), (nn.Dropout1d(0.5), (20, 30, 16))]:
        y = layer(mg.ones(*shape)).numpy().reshape(600, 16)
        assert set(y.sum(1)) == {0.0, 32.0}


def test_gaussian_sample():
    layer = nn.GaussianSample(mg.Generator(0))
    mean = mg.full((100, 200), 3.0).requires_grad_()
    log_var = mg.full((100, 200), float(np.log(4.0))).requires_grad_()
    z = layer.eval()(mean, log_var)  # evaluation samples too
    # 20,000 draws of N(3, 2^2).
    assert abs(z.detach().numpy().mean() - 3) < 5 * 2 / np.sqrt(20000)
    assert abs(z.detach().numpy().std() - 2) < 5 * 2 / np.sqrt(2 * 20000)
    z.sum().backward()
    assert (mean.grad.numpy() == 1).all()
    # dz / d(log_var) = (z - mean) / 2
    expected = (z.detach().numpy() - 3) / 2
    np.testing.assert_allclose(log_var.grad.numpy(), expected, atol=1e-5)
    assert layer(mean, log_var, sample=False) is mean


# ---------------------------------------------------------------------- activations and losses
ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    (nn.Hardtanh(-2, 3), lambda x: np.clip(x, -2, 3)),
    (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.ELU(0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    (nn.GELU("tanh"), lambda x: x / 2 * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (nn.Tanh(), np.tanh),
    (nn.Softplus(2.0), lambda x: np.log1p(np.exp(2 * x)) / 2),
    (nn.LogSigmoid(), lambda x: -np.log1p(np.exp(-x))),
    (nn.Softmax(1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    (nn.LogSoftmax(1), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
]


@pytest.mark.parametrize(("layer", "formula"), ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_activations(layer, formula):
    x = np.random.default_rng(0).normal(0, 3, (4, 5))
    np.testing.assert_allclose(layer(mg.tensor(x)).numpy(), formula(x), rtol=1e-9, atol=1e-12)


def test_losses_by_hand():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    p, q = (np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in (x, t))
    labels = np.array([0, 2, 1, 1])
    bits = rng.integers(0, 2, (4, 3)).astype(float)
    weight = np.array([1.0, 2.0, 5.0])
    d = abs(x - t)
    nll = -np.log(p)[np.arange(4), labels]
    bce = -(bits * np.log(1 / (1 + np.exp(-x))) + (1 - bits) * np.log(1 / (1 + np.exp(x))))
    T = mg.tensor
    for loss, arguments, expected in [
        (nn.MSELoss(), (x, t), (d**2).mean()),
        (nn.MSELoss("sum"), (x, t), (d**2).sum()),
        (nn.MSELoss("none"), (x, t), d**2),
        (nn.L1Loss(), (x, t), d.mean()),
        (nn.SmoothL1Loss(beta=0.5), (x, t), np.where(d < 0.5, d**2, d - 0.25).mean()),
        (nn.HuberLoss(delta=0.5), (x, t), np.where(d < 0.5, d**2 / 2, d / 2 - 0.125).mean()),
        (nn.CrossEntropyLoss(), (x, labels), nll.mean()),
        (
            nn.CrossEntropyLoss(T(weight)),
            (x, labels),
            (nll * weight[labels]).sum() / weight[labels].sum(),
        ),
        (nn.CrossEntropyLoss(ignore_index=1), (x, labels), nll[:2].mean()),
        (
            nn.CrossEntropyLoss(label_smoothing=0.1),
            (x, labels),
            (0.9 * nll - 0.1 * np.log(p).mean(1)).mean(),
        ),
        (nn.NLLLoss(), (np.log(p), labels), nll.mean()),
        (nn.BCEWithLogitsLoss(), (x, bits), bce.mean()),
        (
            nn.BCEWithLogitsLoss(pos_weight=T(weight)),
            (x, bits),
            (bce * np.where(bits == 1, weight, 1)).mean(),
        ),
        (nn.BCELoss(), (1 / (1 + np.exp(-x)), bits), bce.mean()),
        (nn.KLDivLoss("batchmean"), (np.log(p), q), (q * np.log(q / p)).sum() / 4),
        (nn.KLDivLoss("sum", log_target=True), (np.log(p), np.log(q)), (q * np.log(q / p)).sum()),
    ]:
        result = loss(*[T(a) for a in arguments])
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9)


def test_normalize_and_cosine_similarity():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 3))
    unit = functional.normalize(mg.tensor(x)).numpy()
    np.testing.assert_allclose(unit, x / np.sqrt((x * x).sum(1, keepdims=True)), rtol=1e-12)
    cosine = functional.cosine_similarity(mg.tensor(x), mg.tensor(y)).numpy()
    lengths = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    np.testing.assert_allclose(cosine, (x * y).sum(1) / lengths, rtol=1e-12)
    assert functional.normalize(mg.zeros(2, 3)).tolist() == [[0.0] * 3] * 2
