"""Modules: registration, enumeration, state, moving, hooks, printing."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.testing.strict import strict


class Block(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(2, width)
        self.scale = nn.Parameter(mg.ones(width))
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("seen", mg.zeros(2))
        self.register_buffer("scratch", mg.ones(1), persistent=False)
        self.register_parameter("shift", None)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(width, 1, bias=False))

    def forward(self, x):
        return self.last(self.norm(self.first(x)) * self.scale)


def snapshot(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: t.numpy().copy() for name, t in module.state_dict().items()}


def assert_same(a: dict, b: dict) -> None:
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


# ---------------------------------------------------------------------------------- registration
def test_names_in_order():
    block = Block()
    assert [n for n, _ in block.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "norm.weight",
        "norm.bias",
        "last.1.weight",
    ]
    assert [n for n, _ in block.named_buffers()] == [
        "seen",
        "scratch",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]
    assert list(block.state_dict()) == [
        "scale",
        "seen",
        "first.weight",
        "first.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
        "last.1.weight",
    ]
    assert [n for n, _ in block.named_modules()] == [
        "",
        "first",
        "norm",
        "last",
        "last.0",
        "last.1",
    ]
    assert [n for n, _ in block.named_children()] == ["first", "norm", "last"]
    assert [n for n, _ in block.named_parameters(recurse=False)] == ["scale"]
    assert [n for n, _ in block.named_parameters("net", recurse=False)] == ["net.scale"]


def test_shared_parameters_are_listed_once_and_saved_twice():
    net = nn.Module()
    net.a = nn.Linear(2, 2)
    net.b = nn.Linear(2, 2)
    net.b.weight = net.a.weight
    net.again = net.a
    assert [n for n, _ in net.named_parameters()] == ["a.weight", "a.bias", "b.bias"]
    assert [n for n, _ in net.named_children()] == ["a", "b"]
    assert list(net.state_dict()) == [
        f"{m}.{p}" for m in ("a", "b", "again") for p in ("weight", "bias")
    ]
    everything = [n for n, _ in net.named_parameters(remove_duplicate=False)]
    assert everything == list(net.state_dict())


def test_assignment_moves_a_name_between_kinds():
    m = nn.Module()
    m.x = 3
    m.x = nn.Parameter(mg.ones(2))
    assert len(list(m.parameters())) == 1
    m.x = None
    assert list(m.parameters()) == [] and m.x is None
    m.x = nn.Parameter(mg.ones(2))
    m.x = nn.Linear(1, 1)
    assert [n for n, _ in m.named_parameters()] == ["x.weight", "x.bias"]
    m.x = nn.ReLU()
    assert list(m.parameters()) == []
    del m.x
    assert list(m.children()) == [] and not hasattr(m, "x")
    m.x = "anything again"


def test_a_replaced_parameter_keeps_its_place():
    block = Block()
    before = list(block.state_dict())
    block.scale = nn.Parameter(mg.zeros(3))
    block.first = nn.Linear(2, 3)
    block.seen = mg.ones(2)
    assert list(block.state_dict()) == before
    assert block.state_dict()["seen"].tolist() == [1.0, 1.0]


def test_wrong_assignments():
    block = Block()
    before = snapshot(block)
    for name, value, message in [
        ("scale", mg.ones(3), "cannot assign Tensor as parameter 'scale'"),
        ("first", 3, "cannot assign int as child module 'first'"),
        ("seen", [1.0], "cannot assign list as buffer 'seen'"),
    ]:
        with pytest.raises(TypeError, match=message):
            setattr(block, name, value)
    assert_same(snapshot(block), before)


def test_wrong_registrations():
    m = Block()
    for call, error, message in [
        (lambda: m.register_parameter("a.b", None), KeyError, "without dots"),
        (lambda: m.register_parameter("", None), KeyError, "without dots"),
        (lambda: m.register_parameter(3, None), TypeError, "string"),
        (lambda: m.register_parameter("forward", None), KeyError, "exists already"),
        (lambda: m.register_parameter("seen", None), KeyError, "exists already"),
        (lambda: m.register_parameter("w", mg.ones(1)), TypeError, "Parameter or None"),
        (lambda: m.register_buffer("b", [1.0]), TypeError, "Tensor or None"),
        (lambda: m.add_module("m", mg.ones(1)), TypeError, "Module or None"),
        (lambda: m.add_module("training", nn.ReLU()), KeyError, "exists already"),
    ]:
        with pytest.raises(error, match=message):
            call()
    assert list(m.state_dict()) == list(Block().state_dict())


def test_forgotten_super_init():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    class Later(nn.Module):
        def __init__(self):
            self.width = 3  # harmless

    with pytest.raises(AttributeError, match=r"Forgetful: call super\(\).__init__\(\) before"):
        Forgetful()
    with pytest.raises(AttributeError, match=r"was super\(\).__init__\(\) called"):
        Later()(1)


def test_a_missing_attribute_is_told_with_a_guess():
    with pytest.raises(AttributeError, match="'Block' object has no attribute 'frist'.*'first'"):
        Block().frist  # noqa: B018
    assert getattr(Block(), "zzz", None) is None


def test_get_by_dotted_name():
    block = Block()
    assert block.get_submodule("last.1") is block.last[1]
    assert block.get_submodule("") is block
    assert block.get_parameter("last.1.weight") is block.last[1].weight
    with pytest.raises(AttributeError, match="no child '7'"):
        block.get_submodule("last.7")
    with pytest.raises(AttributeError, match="no parameter 'w'"):
        block.get_parameter("first.w")


# ---------------------------------------------------------------------------------- all at once
def test_train_and_eval_reach_everything():
    block = Block()
    assert all(m.training for m in block.modules())
    assert block.eval() is block
    assert not any(m.training for m in block.modules())
    assert block.train() is block and block.last[0].training
    with pytest.raises(TypeError, match="train"):
        block.train("yes")


def test_apply_goes_from_the_leaves_up():
    seen = []
    block = Block()
    assert block.apply(lambda m: seen.append(type(m).__name__)) is block
    assert seen == ["Linear", "BatchNorm1d", "ReLU", "Linear", "Sequential", "Block"]


def test_freeze_and_zero_grad():
    block = Block()
    block.first.requires_grad_(False)
    block(mg.randn(4, 2)).sum().backward()
    assert block.first.weight.grad is None and block.scale.grad is not None
    held = block.scale.grad
    kept = held.numpy().copy()
    block.zero_grad(set_to_none=False)
    assert not block.scale.grad.numpy().any() and block.first.weight.grad is None
    np.testing.assert_array_equal(held.numpy(), kept)
    block.zero_grad()
    assert all(p.grad is None for p in block.parameters())


def test_to_dtype_leaves_integers_alone():
    block = Block()
    block(mg.randn(4, 2)).sum().backward()
    parameter = block.scale
    assert block.double() is block
    assert block.scale is parameter and parameter.dtype == mg.float64
    assert parameter.grad.dtype == mg.float64
    assert block.norm.running_mean.dtype == mg.float64
    assert block.norm.num_batches_tracked.dtype == mg.int64
    assert block(mg.zeros(4, 2, dtype=mg.float64)).dtype == mg.float64
    assert block.to("float32").scale.dtype == mg.float32
    assert block.to(mg.zeros(1, dtype=mg.float64)).scale.dtype == mg.float64
    with pytest.raises(TypeError, match="floating dtype"):
        block.to(mg.int64)


def test_to_device_and_back():
    block = Block().eval()
    x = mg.randn(4, 2)
    expected = block(x).detach().numpy()
    assert block.to("strict").first.weight.device == "strict"
    result = block(mg.Tensor(strict.asarray(x.data)))
    assert result.device == "strict"
    np.testing.assert_allclose(result.detach().data.get(), expected, rtol=1e-6)
    assert block.cpu().norm.num_batches_tracked.device == "cpu"


def test_to_a_missing_device_moves_nothing():
    if mg.cuda_is_available():
        pytest.skip("there is a GPU")
    block = Block()
    arrays = [p.data for p in block.parameters()]
    with pytest.raises(RuntimeError, match="CUDA"):
        block.cuda()
    with pytest.raises(ValueError, match="device"):
        block.to("gpu")
    assert all(p.data is a for p, a in zip(block.parameters(), arrays))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent(clone):
    block = Block()
    mg.optim.SGD(block.parameters())  # its views must not tie the copy
    twin = clone(block)
    assert_same(snapshot(twin), snapshot(block))
    assert [n for n, _ in twin.named_buffers()] == [n for n, _ in block.named_buffers()]
    before = snapshot(block)
    for p in twin.parameters():
        assert type(p) is nn.Parameter and p.requires_grad
        p.data += 1
    twin(mg.randn(4, 2)).sum().backward()
    assert_same(snapshot(block), before)
    assert all(p.grad is None for p in block.parameters())


# ---------------------------------------------------------------------------------------- state
def test_load_copies_into_the_same_tensors():
    a, b = Block(), Block()
    a(mg.randn(8, 2))
    parameters = list(b.parameters())
    result = b.load_state_dict(a.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert_same(snapshot(a), snapshot(b))
    assert all(p is q for p, q in zip(parameters, b.parameters()))
    a.scale.data += 1
    assert not np.array_equal(a.scale.data, b.scale.data)


def test_state_dict_shares_memory_and_is_detached():
    block = Block()
    saved = block.state_dict()
    assert not any(t.requires_grad for t in saved.values())
    block.scale.data += 1
    assert saved["scale"].tolist() == [2.0] * 3


def test_load_arrays_of_another_float():
    a, b = Block().double(), Block()
    b.load_state_dict({name: t.numpy() for name, t in a.state_dict().items()})
    assert b.scale.dtype == mg.float32
    np.testing.assert_allclose(b.first.weight.data, a.first.weight.data, rtol=1e-6)


def test_load_to_the_device_of_the_module():
    block = Block().to("strict")
    block.load_state_dict(Block().state_dict())
    assert block.scale.device == "strict"


def test_errors_list_everything_and_change_nothing():
    block, saved = Block(), dict(Block().state_dict())
    before = snapshot(block)
    del saved["scale"]
    saved["extra"] = mg.ones(1)
    saved["first.weight"] = mg.ones(3, 5)
    saved["norm.num_batches_tracked"] = mg.tensor(1.5)
    saved["seen"] = "text"
    with pytest.raises(ValueError) as info:
        block.load_state_dict(saved)
    message = str(info.value)
    for part in (
        "not a state of Block",
        "missing: scale",
        "unexpected: extra",
        "first.weight: expected shape (3, 2), got (3, 5)",
        "norm.num_batches_tracked: expected dtype int64, got float32",
        "seen: expected a tensor or an array, got str",
    ):
        assert part in message
    assert_same(snapshot(block), before)
    with pytest.raises(ValueError, match="shape"):
        block.load_state_dict(saved, strict=False)
    assert_same(snapshot(block), before)
    with pytest.raises(TypeError, match="dictionary"):
        block.load_state_dict([1, 2])


def test_not_strict_loads_what_is_there():
    block = Block()
    result = block.load_state_dict({"scale": mg.zeros(3), "extra": mg.ones(1)}, strict=False)
    assert result.unexpected_keys == ["extra"]
    given = ("scale", "norm.num_batches_tracked")  # counters may be missing, as in PyTorch
    assert result.missing_keys == [n for n in block.state_dict() if n not in given]
    assert "missing_keys=['seen'" in repr(result)
    assert block.scale.tolist() == [0.0] * 3


def test_loading_invalidates_graphs_that_need_the_old_values():
    layer = nn.Linear(2, 2)
    loss = layer(mg.ones(1, 2, requires_grad=True)).sum()
    layer.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(RuntimeError):
        loss.backward()


# ---------------------------------------------------------------------------------------- hooks
def test_forward_hooks():
    layer = nn.Linear(2, 2)
    calls = []

    def before(module, args):
        calls.append(("before", module is layer, args[0].shape))

    def after(module, args, output):
        calls.append(("after", module is layer, output.shape))

    handles = [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    layer(mg.ones(3, 2))
    assert calls == [("before", True, (3, 2)), ("after", True, (3, 2))]
    for handle in handles:
        handle.remove()
    layer(mg.ones(3, 2))
    assert len(calls) == 2


def test_hooks_can_replace_arguments_and_result():
    layer = nn.Identity()
    layer.register_forward_pre_hook(lambda m, args: args[0] * 2)
    layer.register_forward_hook(lambda m, args, output: output + 1)
    layer.register_forward_hook(lambda m, args, output: output * 10)
    assert layer(mg.tensor([1.0])).tolist() == [30.0]


def test_a_hook_may_remove_itself():
    layer = nn.Identity()
    count = []
    handle = layer.register_forward_hook(lambda m, a, o: (count.append("once"), handle.remove())[1])
    layer.register_forward_hook(lambda m, a, o: count.append("always"))
    layer(mg.ones(1))
    layer(mg.ones(1))
    assert count == ["once", "always", "always"]


def test_no_forward():
    with pytest.raises(NotImplementedError, match=r"Module has no forward\(\)"):
        nn.Module()(1)


# ------------------------------------------------------------------------------------- printing
def test_parameter():
    p = nn.Parameter(mg.tensor([1.0, 2.0]))
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert isinstance(p, mg.Tensor) and type(p * 2) is mg.Tensor
    assert not nn.Parameter(np.arange(3), requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="floating"):
        nn.Parameter(np.arange(3))


def test_extra_lines():
    class Talkative(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    assert repr(Talkative()) == "Talkative(\n  one\n  two\n)"


# -------------------------------------------------------------------------------------- summary
def test_summary():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 2)
    )
    net[0].bias.requires_grad_(False)
    net[2].eval()
    before, hooks = snapshot(net), [len(m._forward_hooks) for m in net.modules()]
    s = nn.summary(net, (7, 1, 4, 4))
    assert [(x.name, x.kind, x.output_shape, x.parameters) for x in s.layers] == [
        ("", "Sequential", (7, 2), 0),
        ("0", "Conv2d", (7, 4, 2, 2), 40),
        ("1", "BatchNorm2d", (7, 4, 2, 2), 8),
        ("2", "Dropout", (7, 4, 2, 2), 0),
        ("3", "Flatten", (7, 16), 0),
        ("4", "Linear", (7, 2), 34),
    ]
    assert (s.total_parameters, s.trainable_parameters) == (82, 78)
    assert "Parameters: 82 (78 trainable, 4 frozen)" in str(s)
    assert_same(snapshot(net), before)
    assert hooks == [len(m._forward_hooks) for m in net.modules()]
    assert [m.training for m in net.modules()] == [True, True, True, False, True, True]


def test_summary_counts_shared_parameters_once_and_restores_after_an_error():
    net = nn.Module()
    net.a = nn.Linear(3, 3, bias=False)
    net.b = nn.Linear(3, 3, bias=False)
    net.b.weight = net.a.weight
    with pytest.raises(NotImplementedError):
        nn.summary(net, (1, 3))
    assert net.training and not net.a._forward_hooks
    net.forward = lambda x, y: (net.a(x), {"b": y})
    s = nn.summary(net, [(2, 3), (5, 3)])
    assert s.total_parameters == 9
    assert [x.output_shape for x in s.layers] == [[(2, 3), {"b": (5, 3)}], (2, 3), None]
