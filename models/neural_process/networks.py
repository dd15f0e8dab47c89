r"""The networks of the neural processes: a set of points goes in, a prediction anywhere comes out.

Belongs here: what curves and images have in common. Does not belong here: the likelihood, the
objective and the training, which are in each model's own file.

A context is a set of n points (x_i, y_i) of one function. Its representation is a mean over the
points, so their order cannot matter, and their number may be any:

    r = mean_i h(x_i, y_i)                                          x: (B, n, X), y: (B, n, Y)

Conditional (CNP): r itself is all that the decoder g knows of the function. Latent (NP): r gives
the distribution of a code z, which stands for the *whole* function, so that one z gives a coherent
curve or image, and several of them several:

    conditional   p(y|x, C) given by g(x, r)
    latent        q(z|C) = N(z; mean(r), diag exp(log_var(r))),   p(y|x, z) given by g(x, z)
"""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn


class Bumps(nn.Module):
    r"""Places as heights of Gaussian bumps around ``side`` centres in each of ``dims`` directions,
    from ``low`` to ``high``: (..., dims) to (..., side^dims). A bump is as wide as 0.7 of the
    distance to the next one.

    A network of plain coordinates is smooth and slow to become sharp; of bumps, one linear layer
    makes every function that is about as fine as they are. Over the range they have variance 1.
    """

    centres: Tensor

    def __init__(self, side: int, dims: int, low: float, high: float) -> None:
        super().__init__()
        self.side = side
        ticks = np.linspace(low, high, side)
        self.factor = -0.5 / (0.7 * (high - low) / (side - 1)) ** 2
        self.register_buffer("centres", mg.tensor(ticks.astype(np.float32)), persistent=False)
        line = np.exp(self.factor * (np.linspace(low, high, 20 * side)[:, None] - ticks) ** 2)
        square, mean = (line**2).mean() ** dims, line.mean() ** dims
        self.scale = float((square - mean**2) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        each = ((x.unsqueeze(-1) - self.centres) ** 2 * self.factor).exp()  # (..., dims, side)
        heights = each[..., 0, :]
        for d in range(1, x.shape[-1]):
            product = heights.unsqueeze(-1) * each[..., d, :].unsqueeze(-2)
            heights = product.reshape(*x.shape[:-1], -1)
        return heights * self.scale


class JoinedLinear(nn.Module):
    r"""A linear layer of several inputs side by side, which never puts them side by side:
    W [a; b] + c = W_a a + W_b b + c. What is the same for many points is multiplied once."""

    def __init__(self, inputs: tuple[int, ...], out: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(n, out, bias=i == 0) for i, n in enumerate(inputs))
        # Each part begins as a layer of its own would: a value y is one number beside many bumps,
        # and must not be drowned by them.

    def forward(self, *inputs: Tensor) -> Tensor:
        r"""Inputs (..., n_k), whose leading axes are broadcast, to (..., out)."""
        first, *rest = (part(value) for part, value in zip(self.parts, inputs, strict=True))
        for value in rest:
            first = first + value
        return first


class NeuralProcess(nn.Module):
    r"""The networks of the papers: h is (X + Y)-hidden-hidden-hidden, g (X + hidden)-hidden-hidden-
    out, with ReLUs between.

    Args:
        x_dim, y_dim: numbers in a place and in a value.
        out: numbers that the decoder says of a value: its mean and deviation, or a logit.
        latent: a code z between the two (NP), or none (CNP).
        bumps: what both networks see of a place, instead of its coordinates.
    """

    def __init__(
        self,
        x_dim: int,
        y_dim: int,
        out: int,
        hidden: int,
        latent: bool,
        bumps: Bumps | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.bumps = bumps
        if bumps is not None:
            x_dim = bumps.side**x_dim
        self.h_first = JoinedLinear((x_dim, y_dim), hidden)
        self.h_second = nn.Linear(hidden, hidden)
        self.h_last = nn.Linear(hidden, hidden)
        if latent:
            self.posterior = Posterior(hidden, hidden)
        self.g_first = JoinedLinear((x_dim, hidden), hidden)
        self.g = nn.Sequential(
            nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out)
        )

    def represent(self, x: Tensor, y: Tensor) -> Tensor:
        r"""r (B, hidden) of sets with places x (B, n, X), or (n, X) for all, and values y
        (B, n, Y).

        The last layer of h is linear, so it may as well come after the mean, once instead of for
        every point: mean_i (W h_i + b) = W mean_i h_i + b.
        """
        points = self.h_second(self.h_first(self.see(x), y).relu()).relu()  # (B, n, hidden)
        return self.h_last(points.mean(1))

    def decode(self, x: Tensor, z: Tensor) -> Tensor:
        r"""What is said of the values at x (B, m, X) or (m, X), given z or r (B, hidden):
        (B, m, out)."""
        return self.g(self.g_first(self.see(x), z.unsqueeze(1)))

    def see(self, x: Tensor) -> Tensor:
        r"""What the networks are told of places: bumps or coordinates."""
        return x if self.bumps is None else self.bumps(x)


class Posterior(nn.Module):
    r"""The representation r (B, features) of a set to the mean and log-*variance* (B, latent) of
    q(z|set)."""

    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, latent)
        self.log_var = nn.Linear(features, latent)
        nn.init.constant_(self.log_var.bias, -3.0)  # little noise, so that z is heard at first

    def forward(self, r: Tensor) -> tuple[Tensor, Tensor]:
        r = r.relu()
        return self.mean(r), self.log_var(r)


def kl_divergence(p: tuple[Tensor, Tensor], q: tuple[Tensor, Tensor]) -> Tensor:
    r"""KL(p || q) of two Gaussians given by mean and log-*variance*, summed over the dimensions:

        1/2 sum_j (exp(log_var_p - log_var_q) + (mean_p - mean_q)^2 / exp(log_var_q) - 1
                   + log_var_q - log_var_p)

    (B, D) -> (B,).
    """
    (mean_p, log_var_p), (mean_q, log_var_q) = p, q
    ratio = (log_var_p - log_var_q).exp()
    shift = (mean_p - mean_q) ** 2 * (-log_var_q).exp()
    return 0.5 * (ratio + shift - 1.0 + log_var_q - log_var_p).sum(1)
