"""Sequential, lists and dictionaries of modules, lists of parameters."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad import nn


def kinds(modules) -> list[str]:
    return [type(m).__name__ for m in modules]


def row() -> list[nn.Module]:
    return [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Tanh()]


def test_sequential_computes_in_order():
    layers = row()
    net = nn.Sequential(*layers)
    x = mg.randn(5, 2)
    expected = layers[3](layers[2](layers[1](layers[0](x))))
    assert net(x).tolist() == expected.tolist()
    assert nn.Sequential()(x) is x


def test_sequential_with_names():
    net = nn.Sequential({"first": nn.Linear(2, 3), "act": nn.ReLU()})
    assert list(net.state_dict()) == ["first.weight", "first.bias"]
    assert net.act is net[1]


@pytest.mark.parametrize("make", [lambda m: nn.Sequential(*m), nn.ModuleList])
def test_rows(make):
    layers = row()
    net = make(layers)
    assert len(net) == 4 and list(net) == layers
    assert net[0] is layers[0] and net[-1] is layers[3]
    assert kinds(net[1:3]) == ["ReLU", "Linear"] and type(net[1:3]) is type(net)
    net[1] = nn.Sigmoid()
    assert kinds(net) == ["Linear", "Sigmoid", "Linear", "Tanh"]
    del net[1]
    assert kinds(net) == ["Linear", "Linear", "Tanh"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    net.insert(1, nn.ReLU())
    assert net.append(nn.GELU()) is net
    net.extend([nn.SiLU(), nn.ELU()])
    assert kinds(net) == ["Linear", "ReLU", "Linear", "Tanh", "GELU", "SiLU", "ELU"]
    assert kinds([net.pop(-1)]) == ["ELU"]
    del net[1:3]
    assert kinds(net) == ["Linear", "Tanh", "GELU", "SiLU"]
    for index in (4, -5):
        with pytest.raises(IndexError, match="out of range for 4 entries"):
            net[index]
    for call in (lambda: net.append(3), lambda: net.insert(0, None), lambda: net.extend([3])):
        with pytest.raises(TypeError, match="Module"):
            call()
    assert len(net) == 4


def test_module_list_has_no_forward():
    with pytest.raises(NotImplementedError):
        nn.ModuleList([nn.ReLU()])(1)


def test_module_dict():
    net = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ReLU()})
    net["c"] = nn.Tanh()
    net.update({"a": nn.Linear(2, 2)})
    assert list(net) == list(net.keys()) == ["a", "b", "c"] and len(net) == 3
    assert "b" in net and "z" not in net
    assert net["a"].in_features == 2 and kinds(net.values()) == ["Linear", "ReLU", "Tanh"]
    assert kinds([net.pop("b")]) == ["ReLU"]
    assert [k for k, _ in net.items()] == ["a", "c"]
    with pytest.raises(KeyError):
        net["training"]
    with pytest.raises(KeyError, match="exists already"):
        net["keys"] = nn.ReLU()


def test_parameter_list():
    group = nn.ParameterList([mg.ones(2), nn.Parameter(mg.zeros(3))])
    group.append(mg.ones(1))
    assert len(group) == 3 and group[-1].shape == (1,)
    assert list(group.state_dict()) == ["0", "1", "2"]
    group[0] = mg.zeros(4)
    assert [p.shape for p in group] == [(4,), (3,), (1,)]
    assert all(p.requires_grad for p in group.parameters())
    with pytest.raises(IndexError, match="out of range"):
        group[3]
