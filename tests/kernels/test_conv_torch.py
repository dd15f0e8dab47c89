r"""Convolution kernels against PyTorch's, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from minigrad.kernels.conv import conv2d, conv2d_backward, conv2d_input_grad
from minigrad.testing import strategies as mst
from tests.kernels.reference import convolutions

torch = pytest.importorskip("torch")


@given(convolutions(negative=False), mst.generators())
def test_forward_and_gradients(case, rng):
    symmetric = tuple((before, before) for before, _ in case.padding)
    settings = case.stride, symmetric, case.dilation, case.groups
    reach = [d * (k - 1) + 1 for d, k in zip(case.dilation, case.w[2:])]
    if any(n + 2 * p[0] < r for n, p, r in zip(case.x[2:], symmetric, reach)):
        return  # the kernel fits only with the padding that was drawn for the far side
    arrays = [rng.standard_normal(s) for s in (case.x, case.w, case.w[:1])]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = torch.nn.functional.conv2d(
        *tensors, case.stride, [before for before, _ in symmetric], case.dilation, case.groups
    )
    x, w, bias = arrays
    y = conv2d(x, w, *settings, bias=bias)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    g = rng.standard_normal(y.shape)
    theirs = torch.autograd.grad(expected, tensors, torch.tensor(g))
    for a, b in zip(conv2d_backward(g, x, w, *settings), theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-10, atol=1e-10)
    gx = conv2d_input_grad(g, w, case.x, *settings)
    np.testing.assert_allclose(gx, theirs[0].numpy(), rtol=1e-10, atol=1e-10)
