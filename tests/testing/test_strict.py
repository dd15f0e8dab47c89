r"""The strict module refuses what CuPy refuses, does what CuPy does, and counts."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from minigrad.testing import _cupy_names as names
from minigrad.testing.strict import StrictArray, strict


def array(*shape: int) -> StrictArray:
    return strict.asarray(np.arange(float(np.prod(shape))).reshape(shape))


# -------------------------------------------------------------------------------- what it refuses
@pytest.mark.parametrize(
    "conversion",
    [
        float, int, bool, complex, np.asarray, np.array,
        lambda x: [0, 1][x], lambda x: x if x > 0 else 0, lambda x: 0.0 in x,
        lambda x: np.stack([x]), np.exp, np.add.reduce, lambda x: np.sum(x),
        lambda x: range(x), lambda x: np.zeros(3)[x:],
    ],
)  # fmt: skip
def test_implicit_conversions_are_refused(conversion) -> None:
    with pytest.raises(TypeError, match="strict"):
        conversion(strict.asarray(np.array(1)))


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, n: x + n, lambda x, n: n + x, lambda x, n: x @ n, lambda x, n: x == n,
        lambda x, n: strict.add(x, n), lambda x, n: strict.concatenate([x, n]),
        lambda x, n: strict.where(n > 0, x, x), lambda x, n: x[n.astype(int)],
        lambda x, n: x.__setitem__(0, n), lambda x, n: x.__iadd__(n), lambda x, n: np.add(n, x),
        lambda x, n: strict.exp(n), lambda x, n: strict.sum(n), lambda x, n: strict.exp(x, out=n),
        lambda x, n: strict.add.at(x, x.astype(int), n), lambda x, n: np.copyto(n, x),
    ],
)  # fmt: skip
def test_mixed_operands_are_refused(mix) -> None:
    with pytest.raises(TypeError):
        mix(array(3), np.ones(3))


@pytest.mark.parametrize("name", ["errstate", "vecdot", "insert", "block", "einsum_path", "nditer"])
def test_names_that_cupy_lacks_are_absent(name: str) -> None:
    assert hasattr(np, name)
    with pytest.raises(AttributeError, match="CuPy lacks"):
        getattr(strict, name)
    assert not hasattr(strict, name)


def test_arguments_that_cupy_lacks_are_refused() -> None:
    x = array(3)
    for call in (
        lambda: strict.sum(x, where=x > 0),
        lambda: x.max(initial=0.0),
        lambda: strict.exp(x, where=x > 0),
        lambda: strict.var(x, mean=x),
        lambda: strict.clip(x, min=0),
    ):
        with pytest.raises(TypeError, match="no argument"):
            call()
    with pytest.raises(NotImplementedError):
        strict.multiply.at(x, 0, 2.0)
    with pytest.raises(TypeError, match="int64"):
        strict.add.at(strict.zeros(3, np.int64), strict.zeros(1, np.int64), 1)


def test_generator_lacks_what_cupys_lacks() -> None:
    rng = strict.random.default_rng(0)
    assert type(rng.standard_normal(3)) is StrictArray
    for name in ("permutation", "shuffle", "choice", "normal"):
        assert not hasattr(rng, name)


# ------------------------------------------------------------------------------------ what it does
def test_no_numpy_scalars() -> None:
    x = array(2, 3)
    for y in (x.sum(), x[0, 0], strict.max(x), x.mean(), strict.array_equal(x, x)):
        assert type(y) is StrictArray
        assert y.shape == ()


def test_operators_agree_with_numpy() -> None:
    a, b = np.array([5.0, -3.0, 2.0]), np.array([2.0, 4.0, -1.0])
    x, y = strict.asarray(a), strict.asarray(b)
    for f in (
        lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: p / q,
        lambda p, q: p // q, lambda p, q: p % q, lambda p, q: abs(p) ** q, lambda p, q: -p,
        lambda p, q: p < q, lambda p, q: 2 - p, lambda p, q: 2 / q, lambda p, q: p @ q,
        lambda p, q: (p > 0) & (q > 0), lambda p, q: ~(p > 0), lambda p, q: np.float64(3) * p,
        lambda p, q: p[::-1], lambda p, q: p[None, 1:], lambda p, q: p.reshape(3, 1).T,
    ):  # fmt: skip
        np.testing.assert_array_equal(f(x, y).get(), f(a, b))


def test_promotion_is_numpys() -> None:
    x = strict.asarray(np.ones(2, np.float32))
    assert (x * 2.0).dtype == np.float32
    assert (x.sum() * 2).dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64  # NEP 50: a NumPy scalar is no Python scalar


def test_in_place_and_out() -> None:
    x = array(3)
    same = x
    x += 1
    x[0] = 7
    x[x > 5] = 0
    assert same is x
    np.testing.assert_array_equal(x.get(), [0, 2, 3])
    out = strict.empty(3)
    assert strict.multiply(x, 2, out=out) is out
    np.testing.assert_array_equal(out.get(), [0, 4, 6])


def test_views_share_memory() -> None:
    x = array(2, 3)
    assert x.T.base is x
    assert x[0].base is x
    assert x.reshape(6)[1:].base is x
    assert (x + 1).base is None
    x.T[0, 0] = 9
    assert x[0, 0].item() == 9
    windows = strict.lib.stride_tricks.as_strided(x, (2, 2), (24, 8))
    assert strict.may_share_memory(windows, x)


def test_indices_out_of_range_wrap_silently_as_on_a_gpu() -> None:
    x = array(3)
    np.testing.assert_array_equal(x[strict.asarray(np.array([3, -4]))].get(), [0, 2])
    np.testing.assert_array_equal(strict.take(x, strict.asarray(np.array([5]))).get(), [2])
    y = strict.zeros(3)
    strict.add.at(y, strict.asarray(np.array([3, 0])), 1.0)
    np.testing.assert_array_equal(y.get(), [2, 0, 0])
    with pytest.raises(IndexError):
        x[3]  # an integer is checked on the host


def test_copies() -> None:
    host = np.arange(3.0)
    x = strict.asarray(host)
    x += 1
    np.testing.assert_array_equal(host, [0, 1, 2])
    for clone in (copy.copy(x), copy.deepcopy(x), x.copy(), strict.array(x)):
        clone += 1
    np.testing.assert_array_equal(x.get(), [1, 2, 3])
    assert strict.asarray(x) is x


def test_unhashable_and_readable() -> None:
    with pytest.raises(TypeError):
        hash(array(2))
    assert repr(array(2)).startswith("strict.array")


# -------------------------------------------------------------------------------- what it counts
def test_counts() -> None:
    x = array(4, 4)
    with strict.count() as c:
        y = (x @ x + 1).T[1:]  # two kernels, two views
        with strict.count() as inner:
            y.sum()
    assert (c.launches, c.synchronisations, c.copies_to_device) == (3, 0, 0)
    assert inner.launches == 1
    with strict.count() as c:
        y.get()
        y.sum().item()
        strict.nonzero(y)
        y[y > 0]
        strict.asarray(np.ones(2))
    assert c.synchronisations == 4
    assert c.copies_to_device == 1


def test_counting_stops_at_the_end_of_the_block() -> None:
    with strict.count() as c:
        array(2)
    array(2)
    assert c.copies_to_device == 1


# ------------------------------------------------------------------------------------- as a device
def test_it_is_a_device() -> None:
    t = mg.ones(2, 3, device="strict", requires_grad=True)
    assert t.device == "strict"
    assert backend.get_array_module(t.data) is strict
    (t * t).sum().backward()
    assert t.grad is not None
    assert t.grad.device == "strict"
    np.testing.assert_array_equal(t.grad.cpu().numpy(), 2 * np.ones((2, 3), np.float32))
    assert t.to("cpu").device == "cpu"


def test_every_listed_name_works_in_numpy() -> None:
    for group in (names.UFUNCS, names.FUNCTIONS, names.CREATION, names.METADATA, names.CONSTANTS):
        for name in set(group) - {"cumulative_sum"}:  # (new in NumPy 2.1)
            assert hasattr(strict, name)
            assert hasattr(np, name)


def test_names_exist_in_cupy() -> None:
    cupy = pytest.importorskip("cupy")
    for group in (names.UFUNCS, names.FUNCTIONS, names.CREATION, names.METADATA, names.CONSTANTS):
        assert not [name for name in group if not hasattr(cupy, name)]
    assert not [name for name in names.LINALG if not hasattr(cupy.linalg, name)]
    assert not [name for name in names.ARRAY_METHODS if not hasattr(cupy.ndarray, name)]
