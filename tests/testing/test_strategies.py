r"""The strategies draw what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import find, given, settings
from hypothesis import strategies as hyp

from minigrad.testing import strategies as st


@given(st.arrays(dtype=np.float32))
def test_arrays(x: np.ndarray) -> None:
    assert x.dtype == np.float32
    assert np.all((x >= -2) & (x <= 2))


@given(st.broadcastable_shapes(3))
def test_shapes_broadcast(shapes: tuple[tuple[int, ...], ...]) -> None:
    np.broadcast_shapes(*shapes)


@given(st.layouts(), st.generators(), st.shapes())
def test_layouts_keep_values(layout, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x = rng.random(shape)
    y = layout(x)
    np.testing.assert_array_equal(x, y)
    assert type(y) is np.ndarray
    assert not np.may_share_memory(x, y)
    assert y.flags.writeable


def test_the_unusual_is_drawn() -> None:
    r"""Zero-size, 0-d, negative strides, holes, channels-last, missing axes."""
    find(st.arrays(), lambda x: x.size == 0)
    find(st.arrays(), lambda x: x.ndim == 0)
    find(st.arrays(), lambda x: any(s < 0 for s in x.strides))
    find(st.arrays((2, 3)), lambda x: not x.flags.c_contiguous and not x.flags.f_contiguous)
    find(st.arrays((2, 3, 2, 2)), lambda x: x.strides[1] == x.itemsize)
    find(st.broadcastable_shapes(), lambda s: len(s[0]) != len(s[1]))
    find(st.axes(3), lambda a: isinstance(a, tuple) and any(k < 0 for k in a))
    find(st.conv_cases(), lambda c: c.groups == 2 and 0 in c.padding and max(c.padding) > 0)
    find(st.conv_cases(transposed=True), lambda c: max(c.output_padding) > 0)
    find(st.pool_cases(), lambda c: c.ceil_mode and c.stride is not None)


@given(st.generators())
def test_values_keep_away(rng: np.random.Generator) -> None:
    x = st.values(rng, (50,), -1, 1, avoid=(0.0, 0.5))
    assert np.abs(x).min() >= 0.05
    assert np.abs(x - 0.5).min() >= 0.05
    y = np.sort(st.distinct_values(rng, (20,)))
    assert np.diff(y).min() > 0.1


@settings(max_examples=50)
@given(hyp.data())
def test_axes_are_valid(data: hyp.DataObject) -> None:
    ndim = data.draw(hyp.integers(0, 3))
    axes = data.draw(st.axes(ndim))
    np.zeros((2,) * ndim).sum(axis=axes)  # raises for a repeated or absent axis


@settings(max_examples=50)
@given(st.conv_cases(), st.conv_cases(transposed=True))
def test_conv_cases_fit(c: st.ConvCase, t: st.ConvCase) -> None:
    for n, k, p, d in zip(c.input[2:], c.weight[2:], c.padding, c.dilation):
        assert n >= 1
        assert n + 2 * p >= d * (k - 1) + 1
    for n, k, s, p, d, e in zip(
        t.input[2:], t.weight[2:], t.stride, t.padding, t.dilation, t.output_padding
    ):
        assert e < max(s, d)
        assert (n - 1) * s - 2 * p + d * (k - 1) + e + 1 >= 1


def test_choices_are_even_where_examples_are_few() -> None:
    shapes = [st.Choices(np.random.default_rng(i)).shape() for i in range(200)]
    assert {len(s) for s in shapes} == {0, 1, 2, 3}
    assert 10 < sum(0 in s for s in shapes) < 60
    assert sum(int(np.prod(s)) > 3 for s in shapes) > 60


def test_only_the_strategies_need_hypothesis() -> None:
    root = Path(st.__file__).parent.parent
    users = [
        path.name
        for path in root.rglob("*.py")
        if "import hypothesis" in (text := path.read_text(encoding="utf-8"))
        or "\nfrom hypothesis" in text
    ]
    assert users == ["strategies.py"]
