r"""The gradient's penalty against PyTorch's double backward."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn.adversarial import gradient_penalty
from models.gan.networks import Discriminator

torch = pytest.importorskip("torch")


def test_the_penalty_against_pytorch() -> None:
    """Its gradient in all weights of a convolutional critic, in float64."""
    mg.manual_seed(0)
    ours = Discriminator(0.125).double()
    theirs = torch.nn.Sequential(
        *(
            part
            for a, b, s in ((1, 4, 2), (4, 8, 2), (8, 16, 2), (16, 32, 1))
            for part in (torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(a, b, 5, s, padding=2))
        ),
        torch.nn.Flatten(),
        torch.nn.Linear(512, 1),
    ).double()
    for p, q in zip(ours.parameters(), theirs.parameters()):
        q.data = torch.tensor(p.detach().numpy())
    rng = np.random.default_rng(0)
    real, fake = rng.random((2, 3, 1, 28, 28))
    value = gradient_penalty(ours, mg.tensor(real), mg.tensor(fake), mg.Generator(3))
    value.backward()

    u = mg.rand(3, 1, 1, 1, generator=mg.Generator(3), dtype=mg.float64).numpy()
    between = torch.tensor(u * real + (1 - u) * fake, requires_grad=True)
    (slope,) = torch.autograd.grad(theirs(between).sum(), between, create_graph=True)
    expected = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        if q.grad is None:  # a bias of the last layer tilts nothing
            assert p.grad is None or not p.grad.numpy().any(), name
        else:
            np.testing.assert_allclose(
                p.grad.numpy() if p.grad is not None else 0 * q.grad.numpy(),
                q.grad.numpy(),
                rtol=1e-7,
                atol=1e-10,
                err_msg=name,
            )
