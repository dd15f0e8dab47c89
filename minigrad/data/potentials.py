r"""Densities in the plane that are known but for a factor: the test energies U1 to U4.

Belongs here: functions of a point. Does not belong here: drawing points (``synthetic.py``).

Rezende and Mohamed, Variational inference with normalizing flows, ICML 2015, arXiv:1505.05770,
table 1. Each is an energy :math:`U(z)`; the density is :math:`p(z) = e^{-U(z)} / Z`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops

__all__ = ["POTENTIALS", "log_partition", "potential"]

#: names of the potentials
POTENTIALS = ("U1", "U2", "U3", "U4")


def potential(z: Any, name: str, limit: float | None = None) -> Any:
    r"""The energy of points ``z`` ``(N, 2)``, an array or a Tensor: ``(N,)``, differentiable.

    With :math:`w_1 = \sin(\pi z_1 / 2)`, :math:`w_2 = 3 e^{-\frac12 ((z_1 - 1) / 0.6)^2}` and
    :math:`w_3 = 3 \sigma((z_1 - 1) / 0.3)`:

    .. math::
        U_1 &= \tfrac12 \left(\tfrac{|z| - 2}{0.4}\right)^2
               - \ln\left(e^{-\frac12 ((z_1 - 2) / 0.6)^2}
               + e^{-\frac12 ((z_1 + 2) / 0.6)^2}\right) \\
        U_2 &= \tfrac12 \left(\tfrac{z_2 - w_1}{0.4}\right)^2 \\
        U_3 &= -\ln\left(e^{-\frac12 ((z_2 - w_1) / 0.35)^2}
               + e^{-\frac12 ((z_2 - w_1 + w_2) / 0.35)^2}\right) \\
        U_4 &= -\ln\left(e^{-\frac12 ((z_2 - w_1) / 0.4)^2}
               + e^{-\frac12 ((z_2 - w_1 + w_3) / 0.35)^2}\right)

    U1 is a ring that is dense at two ends, the others are bands along a wave: one, one that splits
    and joins again, one that forks.

    Args:
        name: ``"U1"`` to ``"U4"``.
        limit: adds :math:`\tfrac12 ((|z_1| - \text{limit})_+ / 0.4)^2`, a wall on either side. As
            printed, the waves of U2 to U4 go on for ever: they have no finite integral, and an
            approximation gains without end by growing longer. The paper shows them on
            :math:`[-4, 4]^2` and says nothing of it.

    >>> potential(np.array([[2.0, 1.0], [0.0, 0.0]]), "U1").round(2)
    array([ 0.17, 17.36])
    """
    if np.ndim(z) != 2 or z.shape[1] != 2:
        raise ValueError(f"potential: expected points (N, 2), got {tuple(np.shape(z))}")
    if name not in POTENTIALS:
        raise ValueError(f"potential: expected one of {', '.join(POTENTIALS)}, got {name!r}")
    z1, z2 = z[:, 0], z[:, 1]
    energy = {"U1": _ring, "U2": _wave, "U3": _split, "U4": _fork}[name](z1, z2)
    if limit is not None:
        energy = energy + 0.5 * (ops.relu(ops.abs(z1) - limit) / 0.4) ** 2
    return energy


def _ring(z1: Any, z2: Any) -> Any:
    # The radius has no derivative at 0; 1e-24 makes it 0 there and changes nothing else.
    radius = ops.sqrt(z1**2 + z2**2 + 1e-24)
    return 0.5 * ((radius - 2.0) / 0.4) ** 2 + _either((z1 - 2.0) / 0.6, (z1 + 2.0) / 0.6)


def _wave(z1: Any, z2: Any) -> Any:
    return 0.5 * ((z2 - _w1(z1)) / 0.4) ** 2


def _split(z1: Any, z2: Any) -> Any:
    w2 = 3.0 * ops.exp(-0.5 * ((z1 - 1.0) / 0.6) ** 2)
    return _either((z2 - _w1(z1)) / 0.35, (z2 - _w1(z1) + w2) / 0.35)


def _fork(z1: Any, z2: Any) -> Any:
    w3 = 3.0 * ops.sigmoid((z1 - 1.0) / 0.3)
    return _either((z2 - _w1(z1)) / 0.4, (z2 - _w1(z1) + w3) / 0.35)


def _w1(z1: Any) -> Any:
    return ops.sin(z1 * (math.pi / 2))


def _either(a: Any, b: Any) -> Any:
    r"""-ln(exp(-a^2/2) + exp(-b^2/2)), which far away does not become ln 0."""
    return -ops.logsumexp(ops.stack([-0.5 * a**2, -0.5 * b**2]), 0)


def log_partition(name: str, limit: float | None = 4.0, points: int = 1000) -> float:
    r"""The logarithm of :math:`Z = \int e^{-U(z)} dz`, by the midpoint rule with ``points`` times
    ``points`` places; no free energy of an approximation is below :math:`-\ln Z`.

    ``limit`` is that of :func:`potential`; without it only U1 has a finite integral.

    >>> round(log_partition("U2"), 4) == round(
    ...     math.log((8 + math.sqrt(2 * math.pi) * 0.4) * math.sqrt(2 * math.pi) * 0.4), 4
    ... )
    True
    """
    if limit is None and name != "U1":
        raise ValueError(f"log_partition: expected a limit, without it {name} has no integral")
    half1, half2 = 4.0 + (limit or 2.0), 9.0  # beyond, less than 1e-10 of the mass
    z1 = (np.arange(points) + 0.5) / points * 2 * half1 - half1
    z2 = (np.arange(points) + 0.5) / points * 2 * half2 - half2
    plane = np.stack(np.meshgrid(z1, z2, indexing="ij"), axis=-1).reshape(-1, 2)
    energy = potential(plane, name, limit)
    cell = (z1[1] - z1[0]) * (z2[1] - z2[0])
    top = -energy.min()
    return float(top + math.log(np.exp(-energy - top).sum() * cell))
