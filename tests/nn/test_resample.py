"""Padding and resizing layers: what they mean beyond numbers, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from minigrad.testing.strict import strict


def image(*shape: int) -> mg.Tensor:
    return mg.tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)


def test_convolution_is_a_product_with_the_windows():
    x, w = image(2, 3, 6, 5), image(4, 3, 3, 2)
    columns = F.unfold(x, (3, 2), padding=1, stride=2)
    y = (w.reshape(4, -1) @ columns).reshape(2, 4, 3, 3)
    expected = F.conv2d(x, w, padding=1, stride=2)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)


def test_folding_counts_how_often_a_pixel_was_seen():
    x = image(1, 2, 5, 4)
    seen = F.fold(F.unfold(mg.ones(1, 2, 5, 4, dtype=mg.float64), 3), (5, 4), 3)
    back = F.fold(F.unfold(x, 3), (5, 4), 3)
    np.testing.assert_allclose((back / seen).detach().numpy(), x.detach().numpy(), atol=1e-12)


def test_pixels_and_channels_come_back():
    x = image(2, 8, 3, 4)
    again = nn.PixelUnshuffle(2)(nn.PixelShuffle(2)(x))
    np.testing.assert_array_equal(again.detach().numpy(), x.detach().numpy())


def test_upsampling_then_pooling_is_the_identity():
    x = image(2, 3, 4, 5)
    y = F.avg_pool2d(nn.UpsamplingNearest2d(scale_factor=2)(x), 2)
    np.testing.assert_allclose(y.detach().numpy(), x.detach().numpy(), atol=1e-14)


def test_interpolation_keeps_a_linear_ramp_between_aligned_corners():
    ramp = mg.tensor(np.linspace(0, 1, 4).reshape(1, 1, 4))
    y = nn.Upsample(13, mode="linear", align_corners=True)(ramp)
    np.testing.assert_allclose(y.numpy()[0, 0], np.linspace(0, 1, 13), atol=1e-15)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_channels_last_memory_stays(mode):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).transpose(0, 3, 1, 2)
    y = F.interpolate(mg.Tensor(x), scale_factor=2, mode=mode).numpy()
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    row_major = F.interpolate(mg.Tensor(np.ascontiguousarray(x)), scale_factor=2, mode=mode)
    np.testing.assert_allclose(y, row_major.numpy(), atol=1e-14)
    assert row_major.numpy().flags.c_contiguous


def test_upsampling_on_a_device_copies_its_tables_once():
    x = mg.Tensor(strict.asarray(np.ones((1, 2, 3, 3), np.float32)), requires_grad=True)
    for _ in range(2):
        with strict.count() as count:
            F.pad(
                F.interpolate(x, scale_factor=2, mode="bilinear"), (1, 1), "reflect"
            ).sum().backward()
    assert count.synchronisations == count.copies_to_device == 0


def test_integer_images_can_be_repeated_but_not_blended():
    x = mg.tensor(np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2))
    assert F.interpolate(x, scale_factor=2).numpy()[0, 0, 3].tolist() == [2, 2, 3, 3]
    assert F.interpolate(x, scale_factor=2).dtype == np.uint8
    with pytest.raises(TypeError, match="interpolate: expected a floating dtype"):
        F.interpolate(x, scale_factor=2, mode="bilinear")


def test_a_wide_border_of_copies():
    x = image(1, 1, 3)
    y = nn.ReplicationPad1d((40, 2))(x)
    y.sum().backward()
    assert x.grad.tolist() == [[[41.0, 1.0, 3.0]]]


IMAGE = (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.ReflectionPad2d(3)(mg.zeros(*IMAGE)), "pad: reflect widths"),
        (lambda: nn.CircularPad1d(5)(mg.zeros(1, 2, 4)), "pad: circular widths"),
        (lambda: nn.CircularPad1d((-1, 4))(mg.zeros(1, 2, 4)), "pad: circular widths"),
        (lambda: nn.ReplicationPad1d(1)(mg.zeros(1, 2, 0)), "pad: replicate widths"),
        (lambda: nn.ReflectionPad1d(1)(mg.zeros(*IMAGE)), "ReflectionPad1d: expected a 2-d or 3"),
        (lambda: nn.ZeroPad2d((1, 2)), "ZeroPad2d: expected an integer or 4"),
        (lambda: F.pad(mg.zeros(*IMAGE), (1, 1), "mirror"), "pad: expected constant, reflect"),
        (lambda: F.pad(mg.zeros(*IMAGE), (-3, -2)), "cut off more"),
        (lambda: F.interpolate(mg.zeros(*IMAGE)), "either size or scale_factor"),
        (lambda: F.interpolate(mg.zeros(*IMAGE), 3, 2.0), "either size or scale_factor"),
        (lambda: F.interpolate(mg.zeros(*IMAGE), (3,)), "expected size for 2 axes"),
        (lambda: F.interpolate(mg.zeros(*IMAGE), 3, mode="linear"), "1 spatial axes for linear"),
        (lambda: F.interpolate(mg.zeros(*IMAGE), 3, mode="spline"), "expected mode to be one of"),
        (lambda: F.interpolate(mg.zeros(*IMAGE), 3, align_corners=True), "align_corners"),
        (lambda: F.interpolate(mg.zeros(*IMAGE), scale_factor=0.1), "axes of at least 1"),
        (lambda: F.interpolate(mg.zeros(1, 2, 0, 4), 3), "axes of at least 1"),
        (
            lambda: F.interpolate(mg.zeros(*IMAGE), 3, recompute_scale_factor=True),
            "recompute_scale_factor",
        ),
        (lambda: nn.PixelShuffle(2)(mg.zeros(*IMAGE)), "pixel_shuffle: expected"),
        (lambda: nn.PixelShuffle(0)(mg.zeros(*IMAGE)), "positive integer as upscale_factor"),
        (lambda: nn.PixelUnshuffle(2)(mg.zeros(*IMAGE)), "pixel_unshuffle: expected"),
        (lambda: nn.ChannelShuffle(3)(mg.zeros(*IMAGE)), "channel_shuffle: expected"),
        (lambda: nn.Unfold(5)(mg.zeros(*IMAGE)), "windows no larger than the padded image"),
        (lambda: nn.Unfold(2)(mg.zeros(2, 3)), "unfold: expected"),
        (lambda: nn.Unfold(2, stride=0)(mg.zeros(*IMAGE)), "stride"),
        (lambda: nn.Fold((3, 3), 2)(mg.zeros(1, 8, 5)), "fold: expected"),
        (lambda: nn.Fold((3, 3), 2)(mg.zeros(1, 7, 4)), "fold: expected"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
