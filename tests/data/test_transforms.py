r"""Transforms: one image and a batch of images go through the same formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.backend import manual_seed
from minigrad.data.transforms import (
    BernoulliBinarize,
    Binarize,
    Compose,
    Normalize,
    Pad,
    ToTensor,
    Transform,
    batch_stream,
    current_generator,
    is_batched,
)

levels = hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(3), *[st.integers(1, 5)] * 2))


@given(images=levels)
@pytest.mark.parametrize(
    "transform",
    [
        ToTensor(),
        Compose([ToTensor(), Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))]),
        Compose([ToTensor(), Normalize(0.5, 0.25), Binarize(0)]),
        Pad((1, 2, 3, 0), fill=7),
    ],
    ids=repr,
)
def test_a_batch_is_its_images(transform, images):
    before = images.copy()
    batch = transform(images)
    np.testing.assert_array_equal(batch, np.stack([transform(image) for image in images]))
    np.testing.assert_array_equal(images, before)
    assert is_batched(transform)


@given(images=levels)
def test_to_tensor_scales(images):
    x = ToTensor()(images)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, images / 255.0, rtol=1e-6)
    assert ToTensor()(x) is x


@given(images=levels)
def test_normalize_formula(images):
    x = ToTensor()(images)
    got = Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))(x)
    for c in range(3):
        expected = (x[:, c] - (0.1, 0.2, 0.3)[c]) / (0.5, 0.6, 0.7)[c]
        np.testing.assert_allclose(got[:, c], expected, rtol=1e-5, atol=1e-6)
    assert got.dtype == np.float32


def test_normalize_of_a_matrix():
    np.testing.assert_allclose(Normalize(1, 2)(np.array([[3.0]])), [[1.0]])


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (0, 0, "expected std > 0"),
        (0, -1, "expected std > 0"),
        (0, np.inf, "expected std > 0"),
        ((0, 0, 0), (1, 1), "as many means"),
    ],
)
def test_normalize_refuses(mean, std, message):
    with pytest.raises(ValueError, match=f"Normalize: .*{message}"):
        Normalize(mean, std)


def test_normalize_checks_channels():
    with pytest.raises(ValueError, match=r"Normalize: expected images \(3, H, W\).* got shape"):
        Normalize((0, 0, 0), (1, 1, 1))(np.zeros((2, 1, 4, 4), np.float32))


@pytest.mark.parametrize("transform", [Normalize(0, 1), Binarize(), BernoulliBinarize()])
def test_levels_need_scaling_first(transform):
    with pytest.raises(TypeError, match=r"expected floating images, got uint8; put ToTensor\(\)"):
        transform(np.zeros((1, 4, 4), np.uint8))


def test_to_tensor_refuses_other_integers():
    with pytest.raises(TypeError, match="ToTensor: expected uint8 or floating images, got int64"):
        ToTensor()(np.zeros((1, 4, 4), np.int64))


def test_binarize():
    x = np.array([0.0, 0.5, 0.500001, 1.0], np.float32)
    assert Binarize()(x).tolist() == [0, 0, 1, 1]
    assert Binarize()(x).dtype == np.float32


def test_bernoulli_binarize_has_the_right_mean():
    p = np.tile(np.array([0.0, 0.25, 0.9, 1.0], np.float32), (20_000, 1))
    draws = BernoulliBinarize()(p)
    assert set(np.unique(draws)) == {0, 1}
    mean = draws.mean(0)
    assert mean[0] == 0
    assert mean[3] == 1
    # five standard deviations of a mean of 20,000 coin flips
    assert abs(mean[1] - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 20_000)
    assert abs(mean[2] - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 20_000)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize(
    ("padding", "widths"),
    [(2, ((2, 2), (2, 2))), ((1, 2), ((2, 2), (1, 1))), ((0, 1, 2, 3), ((1, 3), (0, 2)))],
)
def test_pad(mode, padding, widths):
    x = np.arange(40).reshape(2, 4, 5)
    fill = {"constant_values": 9} if mode == "constant" else {}
    expected = np.pad(x, ((0, 0), *widths), mode=mode, **fill)
    np.testing.assert_array_equal(Pad(padding, fill=9, padding_mode=mode)(x), expected)


@pytest.mark.parametrize("padding", [-1, (1, 2, 3), (1, 1, 1, -1), ()])
def test_pad_refuses(padding):
    with pytest.raises(ValueError, match="Pad: expected 1, 2 or 4 numbers >= 0"):
        Pad(padding)


def test_pad_refuses_modes_and_vectors():
    with pytest.raises(ValueError, match="Pad: expected padding_mode"):
        Pad(1, padding_mode="wrap around")
    with pytest.raises(ValueError, match="Pad: expected images"):
        Pad(1)(np.zeros(3))


def test_compose_is_batched_only_if_all_are():
    assert is_batched(Compose([ToTensor(), Binarize()]))
    assert not is_batched(Compose([ToTensor(), lambda image: image]))


def test_base_class():
    with pytest.raises(NotImplementedError, match="Transform does not define __call__"):
        Transform()(np.zeros(3))


def test_streams_of_batches():
    default = manual_seed(0)
    assert current_generator() is default

    def draw(seed, batch):
        with batch_stream(seed, batch):
            return current_generator().numpy.random(), current_generator().numpy.random()

    state = default.get_state()
    assert draw(1, 2) == draw(1, 2)
    assert len({draw(1, 2)[0], draw(1, 2)[1], draw(1, 3)[0], draw(2, 2)[0]}) == 4
    assert default.get_state() == state
    assert current_generator() is default


@pytest.mark.parametrize(
    "transform",
    [ToTensor(), Normalize(0.2, 0.3), Normalize((0.1, 0.2), (1, 2)), Binarize(), Pad(1, fill=2)],
    ids=repr,
)
def test_transforms_stay_on_the_device(transform):
    from minigrad.testing.strict import StrictArray, strict

    images = np.random.default_rng(0).random((3, 2, 4, 4), dtype=np.float32)
    with strict.count() as count:
        got = transform(strict.asarray(images))
    assert isinstance(got, StrictArray)
    assert count.synchronisations == 0
    np.testing.assert_array_equal(got.get(), transform(images))


def test_random_binarisation_is_drawn_on_the_host_for_every_device():
    from minigrad.testing.strict import strict

    images = np.random.default_rng(0).random((3, 2, 4, 4), dtype=np.float32)
    manual_seed(3)
    expected = BernoulliBinarize()(images)
    manual_seed(3)
    np.testing.assert_array_equal(BernoulliBinarize()(strict.asarray(images)).get(), expected)
