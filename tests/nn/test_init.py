"""Initial weights: their distribution, their determinism, what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import init

N = 40_000  # draws in each test; the tolerances below are five standard deviations of them


def filled(fill, *shape: int, **options) -> np.ndarray:
    tensor = mg.empty(*shape, dtype=mg.float64)
    assert fill(tensor, generator=mg.Generator(3), **options) is tensor
    return tensor.numpy()


def assert_uniform(x: np.ndarray, bound: float) -> None:
    assert abs(x).max() <= bound and abs(x).max() > 0.999 * bound
    assert abs(x.mean()) < 5 * bound / math.sqrt(3 * x.size)
    # The variance of x^2 for U(-b, b) is 4 b^4 / 45.
    assert abs((x**2).mean() - bound**2 / 3) < 5 * bound**2 * math.sqrt(4 / 45 / x.size)


def assert_normal(x: np.ndarray, std: float) -> None:
    assert abs(x.mean()) < 5 * std / math.sqrt(x.size)
    assert abs(x.std() - std) < 5 * std / math.sqrt(2 * x.size)
    assert abs(((x / std) ** 4).mean() - 3) < 5 * math.sqrt(96 / x.size)


@pytest.mark.parametrize(
    ("fill", "options", "variance"),
    [
        (init.xavier_uniform_, {"gain": 2.0}, 4 * 2 / (50 * 2 + 100 * 2)),
        (init.glorot_uniform_, {}, 2 / (50 * 2 + 100 * 2)),
        (init.kaiming_uniform_, {"a": 1.0}, 1 / (50 * 2)),
        (init.kaiming_uniform_, {"mode": "fan_out", "nonlinearity": "relu"}, 2 / (100 * 2)),
        (init.he_uniform_, {}, 2 / (50 * 2)),
        (init.lecun_uniform_, {}, 1 / (50 * 2)),
        (init.xavier_normal_, {}, 2 / (50 * 2 + 100 * 2)),
        (init.glorot_normal_, {"gain": 3.0}, 9 * 2 / (50 * 2 + 100 * 2)),
        (init.kaiming_normal_, {"nonlinearity": "tanh"}, 25 / 9 / (50 * 2)),
        (init.he_normal_, {}, 2 / (50 * 2)),
        (init.lecun_normal_, {}, 1 / (50 * 2)),
    ],
)
def test_variance_follows_the_fans(fill, options, variance):
    x = filled(fill, 100, 50, 2, **options)  # (out, in, kernel)
    if "uniform" in fill.__name__:
        assert_uniform(x, math.sqrt(3 * variance))
    else:
        assert_normal(x, math.sqrt(variance))


def test_plain_distributions():
    x = filled(init.uniform_, N, a=-1.0, b=3.0)
    assert_uniform(x - 1.0, 2.0)
    assert_normal(filled(init.normal_, N, mean=2.0, std=0.5) - 2.0, 0.5)
    t = mg.empty(2, 3)
    assert init.constant_(t, 2.5).tolist() == [[2.5] * 3] * 2
    assert init.ones_(t).tolist() == [[1.0] * 3] * 2
    assert init.zeros_(t).tolist() == [[0.0] * 3] * 2
    assert init.eye_(t).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_truncated_normal():
    x = filled(init.trunc_normal_, N, mean=1.0, std=2.0, a=0.0, b=2.0)
    assert x.min() >= 0 and x.max() <= 2
    assert abs(x.mean() - 1) < 5 * x.std() / math.sqrt(N)
    # The variance of a standard normal cut to [-c, c] is 1 - 2 c phi(c) / (2 Phi(c) - 1).
    c = 0.5
    mass = math.erf(c / math.sqrt(2))
    expected = 4 * (1 - 2 * c * math.exp(-(c**2) / 2) / math.sqrt(2 * math.pi) / mass)
    assert abs(x.var() - expected) < 5 * expected * math.sqrt(2 / N)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (4, 3, 2, 2), (3, 3)])
def test_orthogonal(shape):
    x = filled(init.orthogonal_, *shape, gain=2.0).reshape(shape[0], -1) / 2
    small = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)


def test_orthogonal_is_uniform_over_rotations():
    # The sign of the determinant is a fair coin, and so is that of every entry.
    t = mg.empty(2, 2, dtype=mg.float64)
    generator = mg.Generator(0)
    draws = np.array([init.orthogonal_(t, generator=generator).numpy().copy() for _ in range(2000)])
    limit = 5 * 0.5 / math.sqrt(2000)
    assert abs((np.linalg.det(draws) > 0).mean() - 0.5) < limit
    assert (abs((draws > 0).mean(0) - 0.5) < limit).all()


def test_gains():
    gains = {"linear": 1, "conv2d": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": 2**0.5, "selu": 0.75}
    for name, gain in gains.items():
        assert init.calculate_gain(name) == gain
    assert init.calculate_gain("leaky_relu", 1.0) == 1.0
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        init.calculate_gain("swish")


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Linear(100, 400), 100),
        (nn.Conv2d(10, 400, 3, groups=2), 45),
        (nn.Conv1d(20, 400, 5), 100),
        (nn.ConvTranspose2d(40, 100, 3), 900),
        (nn.ConvTranspose1d(400, 100, 1), 100),
    ],
    ids=lambda a: type(a).__name__,
)
def test_layers_start_as_in_pytorch(layer, fan_in):
    assert_uniform(layer.weight.data.astype(float).reshape(-1), 1 / math.sqrt(fan_in))
    bias = layer.bias.data
    assert abs(bias).max() <= 1 / math.sqrt(fan_in) and abs(bias).max() > 0.8 / math.sqrt(fan_in)


def test_a_seed_gives_the_same_network_in_any_dtype_on_any_device():
    import minigrad.testing.strict  # noqa: F401  registers the device

    def weights(**options):
        mg.manual_seed(5)
        return nn.Sequential(nn.Linear(3, 4, **options), nn.Linear(4, 2, **options)).cpu()

    first, double, elsewhere = weights(), weights(dtype=mg.float64), weights(device="strict")
    for p, q, r in zip(first.parameters(), double.parameters(), elsewhere.parameters()):
        np.testing.assert_array_equal(p.data, r.data)
        np.testing.assert_array_equal(p.data, q.data.astype(np.float32))


def test_initialising_a_parameter_needs_no_ceremony_and_is_noticed():
    layer = nn.Linear(2, 2)
    loss = layer(mg.ones(1, 2, requires_grad=True)).sum()
    init.normal_(layer.weight, std=0.01)
    assert layer.weight.requires_grad and layer.weight.is_leaf
    with pytest.raises(RuntimeError):
        loss.backward()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.kaiming_normal_(mg.ones(3)), r"kaiming_normal_: .*\(3,\)"),
        (lambda: init.xavier_uniform_(mg.ones(3)), "xavier_uniform_"),
        (lambda: init.kaiming_uniform_(mg.ones(3, 3), mode="fan"), "fan_in"),
        (lambda: init.orthogonal_(mg.ones(3)), "orthogonal_"),
        (lambda: init.eye_(mg.ones(3)), "eye_"),
        (lambda: init.uniform_(mg.ones(3), 2, 1), "a <= b"),
        (lambda: init.normal_(mg.ones(3), std=-1), "std >= 0"),
        (lambda: init.trunc_normal_(mg.ones(3), std=0), "std > 0"),
        (lambda: init.trunc_normal_(mg.ones(3), a=8, b=9), "some probability"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
