"""``load_state_dict`` from arrays: which dtypes fit, what is an error, and that errors change
nothing."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def network(dtype=np.float32) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(dtype)


def arrays(model: nn.Module, dtype=None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=t.shape).astype(dtype or t.dtype)
        if t.dtype.kind == "f"
        else np.array(3)
        for name, t in model.state_dict().items()
    }


@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64, np.int64, np.uint8, bool])
@pytest.mark.parametrize("wrap", [dict, OrderedDict, MappingProxyType])
def test_numbers_become_the_modules_own_floats(own, given, wrap):
    model = network(own)
    state = arrays(model, given)
    result = model.load_state_dict(wrap(state))
    assert repr(result) == "<All keys matched successfully>"
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == (own if tensor.ndim else np.int64)
        np.testing.assert_array_equal(tensor.numpy(), state[name].astype(tensor.dtype))


@pytest.mark.parametrize(
    "layout", [lambda a: a.T.copy().T, lambda a: a[::-1, ::-1], lambda a: a.astype(">f4")]
)
def test_any_layout(layout):
    model = network()
    weight = layout(np.arange(6, dtype=np.float32).reshape(2, 3))
    model.load_state_dict({**arrays(model), "0.weight": weight})
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), weight)
    assert model[0].weight.data.dtype.isnative and not np.shares_memory(
        model[0].weight.data, weight
    )


def test_tensors_arrays_and_objects_with_arrays_mix():
    class Wrapped:
        def __array__(self, dtype=None, copy=None):
            return np.ones(2, np.float32)

    model = network()
    state = {**arrays(model), "0.bias": Wrapped(), "1.weight": mg.ones(2, requires_grad=True)}
    model.load_state_dict(state)
    assert model[0].bias.tolist() == [1, 1] and model[1].weight.is_leaf


BAD = {
    "missing: 0.bias": lambda s: s.pop("0.bias"),
    "unexpected: extra": lambda s: s.update(extra=np.ones(1)),
    r"0.weight: expected shape \(2, 3\), got \(3, 2\)": lambda s: s.update(
        {"0.weight": np.ones((3, 2))}
    ),
    r"0.bias: expected shape \(2,\), got \(1,\)": lambda s: s.update({"0.bias": np.ones(1)}),
    "0.bias: expected dtype float32, got complex128": lambda s: s.update(
        {"0.bias": np.ones(2, complex)}
    ),
    "0.bias: expected dtype float32, got <U1": lambda s: s.update({"0.bias": np.array(["a", "b"])}),
    "num_batches_tracked: expected dtype int64, got float32": lambda s: s.update(
        {"1.num_batches_tracked": np.array(1.5, np.float32)}
    ),
    "0.bias: expected a tensor or an array, got list": lambda s: s.update({"0.bias": [1.0, 2.0]}),
}


@pytest.mark.parametrize("message", BAD)
def test_errors_change_nothing(message):
    model = network()
    before = {n: t.numpy().copy() for n, t in model.state_dict().items()}
    state = arrays(model)
    BAD[message](state)
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


def test_all_errors_are_listed():
    model = network()
    state = arrays(model)
    for change in list(BAD.values())[1:4]:
        change(state)
    with pytest.raises(ValueError, match=r"(?s)unexpected: extra.*0\.weight.*0\.bias"):
        model.load_state_dict(state)


def test_counters_of_batch_norm_may_be_missing():
    model = network()
    state = arrays(model)
    del state["1.num_batches_tracked"]
    model[1].num_batches_tracked.data[...] = 5
    assert model.load_state_dict(state).missing_keys == []
    assert model[1].num_batches_tracked.item() == 5
