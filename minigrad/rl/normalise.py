r"""Running statistics, by which observations and rewards are brought to a common scale.

Belongs here: mean and variance of a stream, and what divides by them. Does not belong here: batch
norm (``minigrad.nn``), whose statistics are those of the batch and take part in the gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..backend import to_device, to_numpy
from ..creation import ones, zeros
from ..nn import Module
from ..tensor import Tensor

__all__ = ["RewardScale", "RunningNorm"]


class RunningNorm(Module):
    r"""Numbers less their mean, divided by their standard deviation, both of all that was seen.

    .. math:: y = \text{clip}\left(\frac{x - \mu}{\sqrt{v + \epsilon}},\ -c,\ c\right)

    Mean and variance are those of everything that was ever given to :meth:`update`, merged by
    Welford's formula (as of Chan, Golub and LeVeque, 1979, for batches):

    .. math::
        \delta = \mu_b - \mu, \qquad \mu \leftarrow \mu + \delta \frac{n_b}{n + n_b}, \qquad
        v \leftarrow \frac{n v + n_b v_b}{n + n_b} + \delta^2 \frac{n\, n_b}{(n + n_b)^2}

    They are buffers of a module, so they are in the weights of the network that begins with it,
    move with it to a device, and change when :meth:`update` is called *and at no other time*: not
    while a policy plays, nor in its evaluation.

    Args:
        shape: of one observation, without the batch.
        clip: c; an observation that nobody has seen the like of does not upset the network.
        eps: added to the variance.

    >>> import numpy as np
    >>> norm = RunningNorm((1,))
    >>> norm.update(np.array([[1.0], [3.0]]))
    >>> norm.update(np.array([[5.0]]))
    >>> norm.mean.item(), round(norm.var.item(), 4)  # of 1, 3, 5
    (3.0, 2.6667)
    """

    def __init__(self, shape: tuple[int, ...], clip: float = 10.0, eps: float = 1e-8) -> None:
        super().__init__()
        self.clip, self.eps = clip, eps
        self.register_buffer("mean", zeros(*shape))
        self.register_buffer("var", ones(*shape))
        self.register_buffer("count", zeros(dtype=np.dtype(np.float64)))

    def update(self, batch: Any) -> None:
        r"""Take in a batch (N, *shape), an array on the host.

        Raises:
            ValueError: another shape, or no rows.
        """
        x = np.asarray(batch, np.float64)
        if x.ndim < 1 or x.shape[1:] != self.mean.shape or len(x) == 0:
            shape = ", ".join(["N", *map(str, self.mean.shape)])
            raise ValueError(f"RunningNorm.update: expected ({shape}) with N >= 1, got {x.shape}")
        n, mean, var = (
            to_numpy(b.data).astype(np.float64) for b in (self.count, self.mean, self.var)
        )
        share = len(x) / (n + len(x))
        delta = x.mean(0) - mean
        self._put(self.mean, mean + delta * share)
        merged = (1 - share) * var + share * x.var(0) + delta**2 * share * (1 - share)
        self._put(self.var, merged)
        self._put(self.count, n + len(x))

    def _put(self, buffer: Tensor, value: Any) -> None:
        buffer.copy_(Tensor(to_device(np.asarray(value, buffer.dtype), buffer.device)))

    def forward(self, x: Tensor) -> Tensor:
        return ops.clamp((x - self.mean) / ops.sqrt(self.var + self.eps), -self.clip, self.clip)


class RewardScale:
    r"""Rewards divided by the standard deviation of discounted returns, so that the values to be
    learned are of the size of one whatever the environment pays.

    .. math:: R \leftarrow \gamma R + r, \qquad r' = r / \sqrt{\operatorname{Var} R + \epsilon}

    with a running R for each environment, which begins at 0 with each episode. The mean is left
    alone: a reward that is moved by a constant asks for longer or for shorter episodes.

    Args:
        n: environments.
        gamma: the discount.
        clip: the scaled rewards are cut to [-clip, clip].

    >>> import numpy as np
    >>> scale = RewardScale(1, gamma=0.5)
    >>> for r in (8.0, 0.0, 8.0):
    ...     scaled = scale(np.array([r]), np.array([False]))
    >>> round(float(scaled[0]), 3)  # the returns were 8, 4, 10
    3.207
    """

    def __init__(self, n: int, gamma: float, clip: float = 10.0) -> None:
        self.gamma, self.clip = gamma, clip
        self._running = np.zeros(n)
        self._count = self._mean = self._m2 = 0.0

    def cut(self) -> None:
        r"""All environments begin new episodes."""
        self._running[:] = 0.0

    def __call__(self, rewards: np.ndarray, done: np.ndarray) -> np.ndarray:
        r"""Scaled rewards (N,) of a step with rewards (N,), which ended the episodes ``done``."""
        self._running = self.gamma * self._running + rewards
        n = len(rewards)
        delta = float(self._running.mean()) - self._mean
        share = n / (self._count + n)
        self._m2 += float(self._running.var()) * n + delta**2 * self._count * share
        self._mean += delta * share
        self._count += n
        self._running[done] = 0.0
        scaled = rewards / math.sqrt(self._m2 / self._count + 1e-8)
        return np.clip(scaled, -self.clip, self.clip).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        r"""All of it."""
        return {
            "running": self._running.copy(),
            "statistics": (self._count, self._mean, self._m2),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Put back what :meth:`state_dict` gave."""
        self._running = np.array(state["running"])
        self._count, self._mean, self._m2 = state["statistics"]
