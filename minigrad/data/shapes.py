r"""Drawn images whose causes are known: sprites with their factors, coloured shapes with masks.

Belongs here: images of shapes, drawn from a formula. Does not belong here: point sets
(``synthetic.py``) and curves (``curves.py``).

A shape is a function of the plane, negative inside; at the border a pixel takes the share of its
area that is inside, so that a small move of the shape is a small change of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..backend import Generator, default_generator

__all__ = ["make_coloured_shapes", "make_sprites"]

_FACTORS = ("x", "y", "scale", "rotation", "shape")
_FINE = 3  # samples of a pixel in each direction


def make_sprites(
    n: int,
    factors: Sequence[str] = ("x", "y"),
    size: int = 32,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""White sprites on black, in the manner of dSprites [1], and the factors that made them.

    Args:
        n: images.
        factors: those that vary, of ``"x"``, ``"y"``, ``"scale"``, ``"rotation"``, ``"shape"``;
            the others stay in the middle (the shape: an ellipse). They are independent.
        size: pixels in each direction.
        generator: of the factors.

    Returns:
        ``images`` ``(n, 1, size, size)`` float32 in [0, 1] and ``values`` ``(n, len(factors))``
        float32: uniform in [0, 1), but for the shape, which is 0 (square), 1 (ellipse) or 2
        (heart). From 0 to 1, x goes right, y down, the scale from a half to all, and the rotation
        once around: 0 and 1 are the same.

    >>> images, values = make_sprites(10, ("x", "y", "scale"))
    >>> images.shape, values.shape
    ((10, 1, 32, 32), (10, 3))

    [1] Matthey, Higgins, Hassabis, Lerchner: dSprites, 2017.
    """
    unknown = [name for name in factors if name not in _FACTORS]
    if unknown or len(set(factors)) != len(factors) or not factors:
        raise ValueError(
            f"make_sprites: expected some of {', '.join(_FACTORS)}, each once, got {factors!r}"
        )
    _check("make_sprites", n, size)
    rng = (generator or default_generator()).numpy
    values = rng.random((n, len(factors)))
    table = dict.fromkeys(_FACTORS, np.full(n, 0.5)) | {
        "shape": np.ones(n),
        "rotation": np.zeros(n),
    }
    for k, name in enumerate(factors):
        if name == "shape":
            values[:, k] = np.floor(values[:, k] * 3)
        table[name] = values[:, k]
    images = np.empty((n, 1, size, size), np.float32)
    for part in np.array_split(np.arange(n), max(1, n * size**2 // 200_000)):
        one = {name: column[part, None, None] for name, column in table.items()}
        # The centre stays within the middle half, so that no sprite is cut off.
        images[part, 0] = _draw(
            one["shape"],
            centre_x=0.25 + 0.5 * one["x"],
            centre_y=0.25 + 0.5 * one["y"],
            radius=0.09 + 0.09 * one["scale"],
            angle=2 * np.pi * one["rotation"],
            size=size,
        )
    return images, values.astype(np.float32)


#: what the numbers in the masks of make_coloured_shapes mean
SHAPES = ("background", "square", "circle", "triangle")
# Hue of each shape as an angle: squares are red, circles green, triangles blue.
_HUES = {1: 0.0, 2: 2 * np.pi / 3, 3: 4 * np.pi / 3}


def make_coloured_shapes(
    n: int,
    size: int = 32,
    shapes: int = 2,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Coloured shapes on grey, and which pixel belongs to what.

    Each image has ``shapes`` squares, circles and triangles of random size, place and brightness; a
    later one may cover a part of an earlier. The *colour* follows from the *form*: squares are
    reddish, circles greenish, triangles bluish, all as bright as their grey level says. So colour
    can be told from the grey image, but only by who recognises the form.

    Returns:
        ``images`` ``(n, 3, size, size)`` float32 in [0, 1] and ``masks`` ``(n, size, size)`` int64:
        0 background, 1 square, 2 circle, 3 triangle.

    >>> images, masks = make_coloured_shapes(4)
    >>> images.shape, masks.shape, bool(masks.max() <= 3)
    ((4, 3, 32, 32), (4, 32, 32), True)
    """
    _check("make_coloured_shapes", n, size)
    if shapes < 1:
        raise ValueError(f"make_coloured_shapes: expected shapes >= 1, got {shapes}")
    rng = (generator or default_generator()).numpy
    background = rng.uniform(0.05, 0.95, (n, 1, 1, 1))
    images = np.broadcast_to(background, (n, 3, size, size)).copy()
    masks = np.zeros((n, size, size), np.int64)
    for _ in range(shapes):
        kind = rng.integers(1, 4, (n, 1, 1))
        cover = np.empty((n, size, size))
        numbers = {
            "centre_x": rng.uniform(0.2, 0.8, (n, 1, 1)),
            "centre_y": rng.uniform(0.2, 0.8, (n, 1, 1)),
            "radius": rng.uniform(0.12, 0.25, (n, 1, 1)),
            "angle": rng.uniform(0, 2 * np.pi, (n, 1, 1)),
        }
        # A shape in between could not be told from the background by its brightness.
        grey = rng.uniform(0.3, 0.7, (n, 1, 1, 1))
        form = np.choose(kind - 1, [0, 3, 4])  # in the terms of _draw
        for part in np.array_split(np.arange(n), max(1, n * size**2 // 200_000)):
            one = {name: column[part] for name, column in numbers.items()}
            cover[part] = _draw(form[part], size=size, **one)
        colour = grey + 0.22 * _chroma(kind[:, 0, 0])[:, :, None, None]  # (n, 3, 1, 1)
        images += cover[:, None] * (colour - images)
        masks = np.where(cover > 0.5, kind, masks)
    return np.clip(images, 0, 1).astype(np.float32), masks


def _chroma(kind: np.ndarray) -> np.ndarray:
    """Colours of no brightness, 0.299 r + 0.587 g + 0.114 b = 0, a hue for each kind: (n, 3)."""
    weights = np.array([0.299, 0.587, 0.114])
    hue = np.array([_HUES[k] for k in (1, 2, 3)])[kind - 1]
    wheel = np.stack([np.cos(hue - 2 * np.pi * c / 3) for c in range(3)], axis=1)  # (n, 3)
    return wheel - (wheel @ weights)[:, None]


def _check(name: str, n: int, size: int) -> None:
    if n < 1 or size < 8:
        raise ValueError(f"{name}: expected n >= 1 and size >= 8, got {n} and {size}")


def _draw(
    shape: np.ndarray,
    centre_x: np.ndarray,
    centre_y: np.ndarray,
    radius: np.ndarray,
    angle: np.ndarray,
    size: int,
) -> np.ndarray:
    r"""The share of each pixel that a shape covers, (n, size, size). All arguments are (n, 1, 1):
    0 square, 1 ellipse, 2 heart, 3 circle, 4 triangle; lengths in widths of the image."""
    places = (np.arange(size * _FINE) + 0.5) / (size * _FINE)
    dx, dy = places[None, None, :] - centre_x, places[None, :, None] - centre_y
    u = (np.cos(angle) * dx + np.sin(angle) * dy) / radius  # in the shape's own axes
    v = (np.cos(angle) * dy - np.sin(angle) * dx) / radius
    inside = np.zeros(u.shape, bool)
    for code in np.unique(shape):
        chosen = (shape == code)[:, 0, 0]
        inside[chosen] = _inside(int(code), u[chosen], v[chosen])
    n = len(inside)
    return inside.reshape(n, size, _FINE, size, _FINE).mean((2, 4))


def _inside(code: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    if code == 0:
        return np.maximum(abs(u), abs(v)) < 0.85
    if code == 1:
        return u**2 + (v / 0.6) ** 2 < 1
    if code == 2:  # (a^2 + b^2 - 1)^3 < a^2 b^3, upright and as large as the others
        a, b = 1.15 * u, 0.1 - 1.15 * v
        return (a**2 + b**2 - 1) ** 3 < a**2 * b**3
    if code == 3:
        return u**2 + v**2 < 0.9
    # an equilateral triangle around its centre
    side = np.sqrt(3) / 2
    return np.maximum(v, np.maximum(side * u - v / 2, -side * u - v / 2)) < 0.6
