"""Modules against PyTorch's: keys, order, shapes, printing, arguments, outputs and gradients."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from minigrad import nn  # noqa: E402

T = torch.nn

# name, arguments, keyword arguments, input shape (float32)
LAYERS = [
    ("Linear", (3, 4), {}, (5, 3)),
    ("Linear", (3, 4), {"bias": False}, (2, 5, 3)),
    ("Identity", (), {}, (2, 3)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, 3)), {}, (4, 6)),
    ("Conv1d", (2, 4, 3), {}, (2, 2, 8)),
    ("Conv1d", (2, 4, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}, (2, 2, 8)),
    ("Conv2d", (2, 4, 3), {}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, (3, 2)), {"stride": (2, 1), "padding": 1, "bias": False}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, 3), {"dilation": 2, "groups": 2}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, 3), {"padding": "same"}, (2, 2, 6, 7)),
    ("Conv2d", (2, 4, 2), {"padding": "valid"}, (2, 2, 6, 7)),
    ("ConvTranspose1d", (2, 4, 3), {"stride": 2}, (2, 2, 5)),
    ("ConvTranspose2d", (2, 4, 3), {}, (2, 2, 4, 5)),
    (
        "ConvTranspose2d",
        (2, 4, 3),
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "bias": False},
        (2, 2, 4, 5),
    ),
    ("ConvTranspose2d", (2, 4, 3), {"dilation": 2}, (2, 2, 4, 5)),
    ("MaxPool1d", (2,), {}, (2, 3, 8)),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 8)),
    ("MaxPool2d", ((3, 2),), {"stride": 2, "padding": 1, "ceil_mode": True}, (2, 3, 6, 8)),
    ("AvgPool1d", (2,), {}, (2, 3, 8)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1}, (2, 3, 6, 8)),
    ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False}, (2, 3, 6, 8)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 8)),
    ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 6, 8)),
    ("AdaptiveAvgPool2d", ((2, 3),), {}, (2, 3, 5, 7)),
    ("AdaptiveMaxPool1d", (3,), {}, (2, 3, 8)),
    ("AdaptiveMaxPool2d", (2,), {}, (2, 3, 5, 7)),
    ("BatchNorm1d", (3,), {}, (5, 3)),
    ("BatchNorm1d", (3,), {"momentum": None}, (5, 3, 4)),
    ("BatchNorm2d", (3,), {}, (5, 3, 2, 2)),
    ("BatchNorm2d", (3,), {"affine": False, "eps": 1e-3, "momentum": 0.3}, (5, 3, 2, 2)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (5, 3, 2, 2)),
    ("LayerNorm", (5,), {}, (4, 5)),
    ("LayerNorm", ((3, 4),), {"eps": 1e-3}, (2, 5, 3, 4)),
    ("LayerNorm", (5,), {"bias": False}, (4, 5)),
    ("LayerNorm", (5,), {"elementwise_affine": False}, (4, 5)),
    ("RMSNorm", (5,), {}, (2, 4, 5)),
    ("RMSNorm", ((4, 5),), {"eps": 1e-3, "elementwise_affine": False}, (2, 4, 5)),
    ("GroupNorm", (2, 4), {}, (3, 4)),
    ("GroupNorm", (2, 4), {"affine": False, "eps": 1e-3}, (3, 4, 2, 5)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm1d", (3,), {"affine": True}, (3, 5)),
    ("InstanceNorm2d", (3,), {"track_running_stats": True}, (2, 3, 4, 5)),
    (
        "InstanceNorm2d",
        (3,),
        {"affine": True, "track_running_stats": True, "momentum": 0.3},
        (3, 4, 5),
    ),
    ("InstanceNorm2d", (3,), {"track_running_stats": True, "momentum": None}, (2, 3, 4, 5)),
    ("LocalResponseNorm", (3,), {}, (2, 5, 3)),
    ("LocalResponseNorm", (2,), {"alpha": 0.1, "beta": 0.5, "k": 2.0}, (2, 5, 3, 4)),
    ("ConstantPad1d", ((1, 2), 3.0), {}, (2, 3, 4)),
    ("ConstantPad2d", (1, 0.5), {}, (2, 3, 4, 5)),
    ("ZeroPad1d", (2,), {}, (2, 3, 4)),
    ("ZeroPad2d", ((0, 1, -1, 2),), {}, (2, 3, 4, 5)),
    ("ReflectionPad1d", ((1, 3),), {}, (3, 4)),
    ("ReflectionPad2d", ((1, 2, 0, 3),), {}, (2, 3, 4, 5)),
    ("ReplicationPad1d", ((0, 5),), {}, (2, 3, 4)),
    ("ReplicationPad2d", (2,), {}, (3, 4, 5)),
    ("CircularPad1d", ((4, 1),), {}, (2, 3, 4)),
    ("CircularPad2d", (1,), {}, (2, 3, 4, 5)),
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 4)),
    ("Upsample", (), {"size": (3, 7)}, (2, 3, 4, 5)),
    ("Upsample", (), {"scale_factor": (2, 1.5), "mode": "bilinear"}, (2, 3, 4, 5)),
    ("Upsample", (9,), {"mode": "linear", "align_corners": True}, (2, 3, 4)),
    ("UpsamplingNearest2d", (), {"scale_factor": 3}, (2, 3, 4, 5)),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, (2, 3, 4, 5)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 4)),
    ("PixelUnshuffle", (2,), {}, (2, 2, 4, 6)),
    ("ChannelShuffle", (2,), {}, (2, 6, 3, 4)),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, (2, 3, 6, 5)),
    ("Fold", ((5, 4), 2), {"dilation": (1, 2), "padding": (1, 0)}, (2, 8, 12)),
    ("ReLU", (), {}, (4, 5)),
    ("ReLU6", (), {}, (4, 5)),
    ("Hardtanh", (), {}, (4, 5)),
    ("LeakyReLU", (0.2,), {}, (4, 5)),
    ("ELU", (), {}, (4, 5)),
    ("SELU", (), {}, (4, 5)),
    ("GELU", (), {}, (4, 5)),
    ("GELU", ("tanh",), {}, (4, 5)),
    ("SiLU", (), {}, (4, 5)),
    ("Sigmoid", (), {}, (4, 5)),
    ("Tanh", (), {}, (4, 5)),
    ("Softplus", (), {}, (4, 5)),
    ("LogSigmoid", (), {}, (4, 5)),
    ("CELU", (0.5,), {}, (4, 5)),
    ("PReLU", (), {}, (4, 5)),
    ("PReLU", (3,), {"init": 0.1}, (2, 3, 4, 5)),
    ("Softsign", (), {}, (4, 5)),
    ("Hardsigmoid", (), {}, (4, 5)),
    ("Hardswish", (), {}, (4, 5)),
    ("Mish", (), {}, (4, 5)),
    ("GLU", (), {}, (4, 6)),
    ("GLU", (1,), {}, (2, 4, 3)),
    ("Threshold", (0.1, 20), {}, (4, 5)),
    ("Tanhshrink", (), {}, (4, 5)),
    ("Softshrink", (), {}, (4, 5)),
    ("Hardshrink", (0.7,), {}, (4, 5)),
    ("Softmin", (1,), {}, (4, 5)),
    ("Softmax2d", (), {}, (2, 3, 4, 5)),
    ("Softmax", (1,), {}, (4, 5)),
    ("LogSoftmax", (0,), {}, (4, 5)),
]


def same_state(ours, theirs):
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert [t.shape for t in mine.values()] == [tuple(t.shape) for t in other.values()]
    assert [str(t.dtype) for t in mine.values()] == [
        str(t.dtype).removeprefix("torch.") for t in other.values()
    ]


def copy_weights(ours, theirs):
    """Ours to theirs and back: both directions must fit."""
    theirs.load_state_dict(
        {k: torch.tensor(v.numpy().copy()) for k, v in ours.state_dict().items()}
    )
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})


def compare(ours, theirs, *inputs, atol=2e-6):
    """Outputs, gradients and buffers of one forward and backward on the same numbers."""
    mine = [mg.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    other = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    y, z = ours(*mine), theirs(*other)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=atol)
    if ours.training:
        g = np.random.default_rng(9).normal(size=y.shape).astype(np.float32)
        y.backward(mg.Tensor(g))
        z.backward(torch.tensor(g))
        pairs = [*zip(mine, other), *zip(ours.parameters(), theirs.parameters(), strict=True)]
        for p, q in pairs:
            if q.requires_grad:
                a, b = p.grad.numpy(), q.grad.numpy()
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=10 * atol)
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=atol)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer(name, args, kwargs, shape):
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(T, name)(*args, **kwargs)
    same_state(ours, theirs)
    copy_weights(ours, theirs)
    rng = np.random.default_rng(0)
    for _ in range(2):
        for m in (ours, theirs):
            m.zero_grad()
        compare(ours, theirs, rng.normal(size=shape).astype(np.float32) * 2)
    compare(ours.eval(), theirs.eval(), rng.normal(size=shape).astype(np.float32))
    # PyTorch 2.13 prints the bias of a norm, earlier ones do not.
    assert repr(ours) == re.sub(r"(affine=\w+), bias=\w+", r"\1", repr(theirs))


RANDOM = {"AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "FeatureAlphaDropout", "RReLU"}
NAMES = sorted({name for name, *_ in LAYERS} | RANDOM)
LOSSES = [
    ("CrossEntropyLoss", {}, "classes"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "reduction": "sum"}, "classes"),
    ("CrossEntropyLoss", {"ignore_index": 1, "weight": True}, "classes"),
    ("NLLLoss", {"weight": True}, "classes"),
    ("MSELoss", {}, "real"),
    ("L1Loss", {"reduction": "sum"}, "real"),
    ("SmoothL1Loss", {"beta": 0.5}, "real"),
    ("HuberLoss", {"delta": 0.7, "reduction": "none"}, "real"),
    ("BCEWithLogitsLoss", {"pos_weight": True}, "unit"),
    ("BCELoss", {}, "unit"),
    ("KLDivLoss", {"reduction": "batchmean"}, "unit"),
    ("SoftMarginLoss", {}, "signs"),
    ("HingeEmbeddingLoss", {"margin": 0.5}, "signs"),
    ("MultiLabelSoftMarginLoss", {"weight": True}, "unit"),
    ("MultiMarginLoss", {}, "classes"),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": True, "reduction": "none"}, "classes"),
    ("MultiLabelMarginLoss", {}, "labels"),
    ("PoissonNLLLoss", {}, "unit"),
    ("PoissonNLLLoss", {"full": True, "reduction": "sum"}, "counts"),
]
# name, keyword arguments, how many inputs (5, 4), whether there is a target of signs (5,)
OF_SEVERAL = [
    ("CosineEmbeddingLoss", {"margin": 0.2}, 2, (5,)),
    ("MarginRankingLoss", {"margin": 0.3, "reduction": "sum"}, 2, (5, 4)),
    ("TripletMarginLoss", {}, 3, None),
    ("TripletMarginLoss", {"p": 3.0, "swap": True, "margin": 2.0, "reduction": "none"}, 3, None),
    ("CosineSimilarity", {}, 2, None),
    ("PairwiseDistance", {"p": 3.0, "keepdim": True}, 2, None),
    ("GaussianNLLLoss", {"full": True}, 3, None),
]


@pytest.mark.parametrize(("name", "kwargs", "n", "signs"), OF_SEVERAL)
def test_loss_of_several_inputs(name, kwargs, n, signs):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(nn, name)(**kwargs), getattr(T, name)(**kwargs)
    assert repr(ours) == repr(theirs)
    arrays = [rng.normal(size=(5, 4)) for _ in range(n)]
    if name == "GaussianNLLLoss":
        arrays[2] = arrays[2] ** 2
        arrays[2][0] = 1e-9  # below eps: counts as eps, and the gradient goes through
    mine = [mg.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    last = [] if signs is None else [np.where(rng.random(signs) < 0.5, 1, -1)]
    y = ours(*mine, *map(mg.tensor, last))
    z = theirs(*other, *map(torch.tensor, last))
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10)
    g = rng.normal(size=y.shape)
    y.backward(mg.tensor(g))
    z.backward(torch.tensor(g))
    for a, b in zip(mine, other):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "kwargs", "target"), LOSSES)
def test_loss(name, kwargs, target):
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2, 5).astype(np.float32)
    mine, other = dict(kwargs), dict(kwargs)
    for key, value in kwargs.items():
        if value is True and key.endswith("weight"):
            mine[key], other[key] = mg.tensor(weight), torch.tensor(weight)
    ours, theirs = getattr(nn, name)(**mine), getattr(T, name)(**other)
    same_state(ours, theirs)
    assert repr(ours) == repr(theirs)
    x = rng.normal(size=(4, 5)).astype(np.float32)
    if name == "BCELoss":
        x = 1 / (1 + np.exp(-x))
    t = {
        "classes": rng.integers(0, 5, 4),
        "real": rng.normal(size=(4, 5)).astype(np.float32),
        "unit": rng.uniform(0.1, 0.9, (4, 5)).astype(np.float32),
        "signs": np.where(rng.random((4, 5)) < 0.5, 1, -1),
        "counts": rng.integers(0, 6, (4, 5)).astype(np.float32),
        "labels": np.array([[1, 4, -1, 0, 0], [-1] * 5, [0, 1, 2, 3, 4], [3, -1, 3, 3, 3]]),
    }[target]
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a, mg.tensor(t)), theirs(b, torch.tensor(t))
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-5, atol=1e-6)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-6)


# Arguments of PyTorch's that say how to compute, are deprecated, or are not there yet.
LEFT_OUT = {"inplace", "padding_mode", "size_average", "reduce", "min_value", "max_value"}
LEFT_OUT |= {"args", "kwargs"}


@pytest.mark.parametrize("name", [*NAMES, *sorted({n for n, *_ in LOSSES + OF_SEVERAL})])
def test_arguments_and_defaults(name):
    ours = inspect.signature(getattr(nn, name).__init__).parameters
    theirs = inspect.signature(getattr(T, name).__init__).parameters
    extra = set(ours) - set(theirs)
    assert extra <= {"generator"}
    missing = set(theirs) - set(ours) - LEFT_OUT
    if name.startswith(("BatchNorm", "GroupNorm", "InstanceNorm")):
        missing.discard("bias")  # newer than what most people have
    assert not missing
    shared = [key for key in ours if key not in extra]
    assert shared == [key for key in theirs if key in ours]
    for key in shared:
        a, b = ours[key].default, theirs[key].default
        # PyTorch's softmax guesses an axis and warns.
        if (name, key) not in {("Softmax", "dim"), ("Softmin", "dim"), ("LogSoftmax", "dim")}:
            assert a == b, (key, a, b)


def network(n):
    class Net(n.Module):
        def __init__(self):
            super().__init__()
            self.features = n.Sequential(
                n.Conv2d(1, 4, 3, padding=1, bias=False),
                n.BatchNorm2d(4),
                n.ReLU(),
                n.MaxPool2d(2),
                n.ConvTranspose2d(4, 2, 2, stride=2),
            )
            self.heads = n.ModuleList([n.Linear(2 * 8 * 8, 3), n.Linear(2 * 8 * 8, 3)])
            self.named = n.ModuleDict({"out": n.Linear(3, 2)})
            self.extra = n.ParameterList([n.Parameter(self.named["out"].weight.detach() * 2)])
            self.gain = n.Parameter(self.named["out"].bias.detach() * 3)
            self.flatten = n.Flatten()

        def forward(self, x):
            x = self.flatten(self.features(x))
            x = self.heads[0](x) * self.heads[1](x).tanh()
            return self.named["out"](x) * self.gain + x @ self.extra[0].T

    return Net()


def test_a_whole_network_trains_alike():
    ours, theirs = network(nn), network(T)
    same_state(ours, theirs)
    copy_weights(ours, theirs)
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    rng = np.random.default_rng(0)
    a = mg.optim.AdamW(ours.parameters(), lr=1e-3)
    b = torch.optim.AdamW(theirs.parameters(), lr=1e-3)
    for _ in range(5):
        x = rng.normal(size=(6, 1, 8, 8)).astype(np.float32)
        t = rng.normal(size=(6, 2)).astype(np.float32)
        a.zero_grad()
        b.zero_grad()
        loss = nn.MSELoss()(ours(mg.tensor(x)), mg.tensor(t))
        other = T.MSELoss()(theirs(torch.tensor(x)), torch.tensor(t))
        np.testing.assert_allclose(loss.item(), other.item(), rtol=1e-4)
        loss.backward()
        other.backward()
        norm = nn.utils.clip_grad_norm_(ours.parameters(), 0.5)
        their_norm = T.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        np.testing.assert_allclose(norm.item(), their_norm.item(), rtol=1e-4)
        a.step()
        b.step()
    compare(ours.eval(), theirs.eval(), rng.normal(size=(6, 1, 8, 8)).astype(np.float32), atol=5e-4)


def test_printing_a_network():
    def build(n):
        return n.Sequential(
            n.Conv2d(1, 2, 3),
            n.Sequential(n.Linear(1, 1), n.Dropout(0.1) if n is nn else n.Identity()),
            n.ModuleList([n.ReLU(), n.ReLU(), n.Tanh()]),
            n.ModuleDict({"a": n.Flatten()}),
            n.Sequential(),
        )

    text = repr(build(T)).replace("Identity()", "Dropout(p=0.1)")
    assert repr(build(nn)) == text


def test_clipping_by_value_and_other_norms():
    for p in (1.0, 2.5, float("inf")):
        rng = np.random.default_rng(0)
        mine, other = [], []
        for shape in [(3, 4), (5,)]:
            g = rng.normal(size=shape)
            a, b = mg.zeros(*shape, dtype=mg.float64), torch.zeros(*shape, dtype=torch.float64)
            a.grad, b.grad = mg.tensor(g), torch.tensor(g)
            mine.append(a)
            other.append(b)
        norms = nn.utils.clip_grad_norm_(mine, 1.0, p), T.utils.clip_grad_norm_(other, 1.0, p)
        np.testing.assert_allclose(norms[0].item(), norms[1].item(), rtol=1e-12)
        nn.utils.clip_grad_value_(mine, 0.2)
        T.utils.clip_grad_value_(other, 0.2)
        for a, b in zip(mine, other):
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)


def test_functional_has_pytorchs_names():
    import torch.nn.functional as theirs

    # tanh and sigmoid are there too, though deprecated; straight_through is ours.
    assert [n for n in nn.functional.__all__ if not hasattr(theirs, n)] == ["straight_through"]


def test_initialisers_have_pytorchs_arguments():
    for name in nn.init.__all__:
        if hasattr(T.init, name):
            ours = inspect.signature(getattr(nn.init, name)).parameters
            theirs = inspect.signature(getattr(T.init, name)).parameters
            assert list(ours) == list(theirs), name
            assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]
