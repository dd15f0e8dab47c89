"""Fifty steps of every optimiser against the formulas beside the fused kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import optim
from minigrad.kernels import optim as kernels
from minigrad.kernels import optim_adaptive as adaptive
from tests.optim.common import parameters, set_gradients, values


def textbook(name: str, options: dict, start: np.ndarray, gradients: list[np.ndarray]):
    p, n = start, start.shape
    if name == "sgd":
        buffer = None
        for g in gradients:
            p, buffer = kernels.sgd_reference(p, g, buffer, **options)
    elif name == "rmsprop":
        state = [np.zeros(n), np.zeros(n), np.zeros(n)]
        for g in gradients:
            p, *state = kernels.rmsprop_reference(p, g, *state, **options)
    elif name in ADAPTIVE:
        return ADAPTIVE[name](dict(options), p, gradients)
    else:
        options = dict(options)
        state = [np.zeros(n), np.zeros(n), np.zeros(n) if options.pop("amsgrad") else None]
        for k, g in enumerate(gradients):
            p, *state = kernels.adam_reference(
                p, g, *state, k + 1, **options, decoupled=name == "adamw"
            )
    return p


def _steps(step, arrays: int):
    """A trajectory of a textbook step that gets its number and keeps ``arrays`` arrays."""

    def follow(options, p, gradients):
        if "decoupled_weight_decay" in options:
            options["decoupled"] = options.pop("decoupled_weight_decay")
        state = [np.full(p.shape, options.pop("initial_accumulator_value", 0.0))] * arrays
        for k, g in enumerate(gradients):
            p, *state = step(p, g, *state, k + 1, **options)
        return p

    return follow


def _adadelta(options, p, gradients):
    state = [np.zeros(p.shape), np.zeros(p.shape)]
    for g in gradients:
        p, *state = adaptive.adadelta_reference(p, g, *state, **options)
    return p


def _nadam(options, p, gradients):
    psi, beta1 = options.pop("momentum_decay"), options["betas"][0]
    options["decoupled"] = options.pop("decoupled_weight_decay")
    state = [np.zeros(p.shape), np.zeros(p.shape)]
    mu = [beta1 * (1 - 0.5 * 0.96 ** (t * psi)) for t in range(len(gradients) + 2)]
    product = np.float32(1)
    for t, g in enumerate(gradients, 1):
        product *= np.float32(mu[t])  # in the default dtype
        p, *state = adaptive.nadam_reference(
            p, g, *state, t, mu[t], mu[t + 1], float(product), **options
        )
    return p


ADAPTIVE = {
    "adagrad": _steps(adaptive.adagrad_reference, 1),
    "adadelta": _adadelta,
    "adamax": _steps(adaptive.adamax_reference, 2),
    "nadam": _nadam,
    "radam": _steps(adaptive.radam_reference, 2),
}

# With weight decay and a short memory of squares a trajectory amplifies rounding like chaos; from a
# half on it does not.
common = {
    "lr": st.floats(1e-4, 0.3),
    "weight_decay": st.sampled_from([0.0, 0.01, 0.3]),
    "maximize": st.booleans(),
}
adam_options = st.fixed_dictionaries(
    {
        **common,
        "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
        "eps": st.floats(1e-8, 1e-2),
        "amsgrad": st.booleans(),
    }
)
OPTIONS = {
    "sgd": st.fixed_dictionaries(
        {
            **common,
            "momentum": st.sampled_from([0.0, 0.9]),
            "dampening": st.sampled_from([0.0, 0.3]),
        }
    ),
    "rmsprop": st.fixed_dictionaries(
        {
            **common,
            "alpha": st.floats(0.5, 0.999),
            "eps": st.floats(1e-8, 1e-2),
            "momentum": st.sampled_from([0.0, 0.8]),
        }
    ),
    "adam": adam_options,
    "adamw": adam_options,
    "adagrad": st.fixed_dictionaries(
        {
            **common,
            "lr_decay": st.sampled_from([0.0, 0.1]),
            "initial_accumulator_value": st.sampled_from([0.0, 0.5]),
            "eps": st.floats(1e-8, 1e-2),
        }
    ),
    "adadelta": st.fixed_dictionaries(
        {**common, "rho": st.floats(0.5, 1.0), "eps": st.floats(1e-6, 1e-2)}
    ),
    "adamax": st.fixed_dictionaries(
        {
            **common,
            "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
            "eps": st.floats(1e-8, 1e-2),
        }
    ),
    "nadam": st.fixed_dictionaries(
        {
            **common,
            "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
            "eps": st.floats(1e-8, 1e-2),
            "momentum_decay": st.sampled_from([0.0, 4e-3, 0.1]),
            "decoupled_weight_decay": st.booleans(),
        }
    ),
    "radam": st.fixed_dictionaries(
        {
            **common,
            "betas": st.tuples(st.floats(0, 0.99), st.floats(0.5, 0.9999)),
            "eps": st.floats(1e-8, 1e-2),
            "decoupled_weight_decay": st.booleans(),
        }
    ),
}
CLASSES = {
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta,
    "adamax": optim.Adamax,
    "nadam": optim.NAdam,
    "radam": optim.RAdam,
}


@pytest.mark.parametrize("name", CLASSES)
@given(data=st.data())
def test_fifty_steps_of_the_textbook(name, data):
    options = data.draw(OPTIONS[name])
    seed = data.draw(st.integers(0, 2**32 - 1))
    params = parameters(seed)
    starts = values(params)
    optimizer = CLASSES[name](params, **options)
    rng = np.random.default_rng(seed + 1)
    history = []
    for _ in range(50):
        set_gradients(params, rng)
        history.append([p.grad.numpy() for p in params])
        optimizer.step()
    for i, p in enumerate(params):
        book = textbook(name, options, starts[i], [h[i] for h in history])
        np.testing.assert_allclose(p.detach().numpy(), book, rtol=1e-10, atol=1e-10)
