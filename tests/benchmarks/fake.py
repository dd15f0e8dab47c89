r"""A workload whose "networks" are numbers; the side called ``math`` can be told to be wrong."""

import numpy as np

TITLE = "a number"
ROWS = 1


def arrays(rng):
    return {"x": rng.random(3)}


def start(library, arrays, adam):
    return lambda i: np.float64(arrays["x"].sum() + i + adam.get("wrong", 0.0))


SIDES = {"minigrad": start, "math": start, "not_a_library": start}
CANNOT = {"cmath": "knows no numbers"}
