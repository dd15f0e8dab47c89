"""Files that PyTorch itself wrote, and files for it."""

from __future__ import annotations

import collections
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from minigrad import nn, optim  # noqa: E402
from minigrad.interchange import CheckpointError  # noqa: E402

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip
formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def expected(tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def save(value, path, zipped, **options):
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)


def same(mine, theirs) -> None:
    if torch.is_tensor(theirs):
        assert mine.dtype == expected(theirs).dtype and mine.shape == tuple(theirs.shape)
        np.testing.assert_array_equal(mine.numpy(), expected(theirs))
    elif isinstance(theirs, dict):
        assert list(mine) == list(theirs)
        for key in theirs:
            same(mine[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        assert type(mine) is (tuple if isinstance(theirs, tuple) else list)
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs):
            same(a, b)
    else:
        assert mine == theirs and type(mine) is type(theirs)


def test_the_oracle_here_can_fail():
    with pytest.raises(AssertionError):
        same(mg.ones(2), torch.zeros(2))


@formats
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes_and_layouts(dtype, zipped, tmp_path):
    if dtype in (torch.uint16, torch.uint32, torch.uint64) and not zipped:
        pytest.skip("the old format does not know it")
    base = (torch.randn(4, 6, generator=torch.Generator().manual_seed(0)) * 9).abs().to(dtype)
    value = {
        "whole": base, "transposed": base.t(), "part": base[1:3, 2:5], "steps": base[::2, ::3],
        "expanded": base[:, :1].expand(4, 5), "scalar": base[2, 3], "empty": base[:0],
        "again": base,
    }  # fmt: skip
    save(value, tmp_path / "x.pt", zipped)
    loaded = mg.load(tmp_path / "x.pt")
    same(loaded, value)
    assert loaded["whole"] is not loaded["part"]
    if dtype == torch.float32:
        assert np.shares_memory(loaded["whole"].numpy(), loaded["part"].numpy())


def networks():
    torch.manual_seed(0)
    mine = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)
    )
    t = torch.nn
    theirs = t.Sequential(
        t.Conv2d(2, 3, 3, bias=False), t.BatchNorm2d(3), t.ReLU(), t.Flatten(), t.Linear(12, 4)
    )
    return mine, theirs


@formats
@pytest.mark.parametrize("keep_vars", [False, True])
def test_a_network_moves_here_with_its_weights(zipped, keep_vars, tmp_path):
    mine, theirs = networks()
    theirs(torch.randn(4, 2, 4, 4))  # moves the running statistics
    save(theirs.state_dict(keep_vars=keep_vars), tmp_path / "net.pth", zipped)
    mine.load_state_dict(mg.load(tmp_path / "net.pth"))
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(
        mine.eval()(mg.tensor(x)).detach().numpy(),
        theirs.eval()(torch.tensor(x)).detach().numpy(),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip


def test_a_state_dictionary_without_a_file():
    mine, theirs = networks()
    state = theirs.state_dict()
    mine.load_state_dict(state)
    for name, value in state.items():
        np.testing.assert_array_equal(mine.state_dict()[name].numpy(), value.numpy())
    theirs.load_state_dict({n: torch.from_dlpack(t) for n, t in mine.state_dict().items()})
    without = {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    theirs.load_state_dict(without)
    mine.load_state_dict(without)


@formats
def test_a_whole_training_state(zipped, tmp_path):
    mine, theirs = networks()
    mine, theirs = mine.double(), theirs.double()
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    x = torch.randn(4, 2, 4, 4, dtype=torch.float64)
    for _ in range(3):
        optimizer.zero_grad()
        theirs(x).square().sum().backward()
        optimizer.step()
        schedule.step()
    state = {
        "model": theirs.state_dict(), "optimizer": optimizer.state_dict(),
        "schedule": {k: v for k, v in schedule.state_dict().items() if k != "_last_lr"},
        "epoch": 3, "best": 0.5, "name": "net", "shape": torch.Size([2, 3]),
        "history": [(1, 0.5), (2, 0.25)], "rng": torch.get_rng_state(), "none": None,
    }  # fmt: skip
    save(state, tmp_path / "run.pt", zipped)
    loaded = mg.load(tmp_path / "run.pt")
    same({k: v for k, v in loaded.items() if k != "shape"},
         {k: v for k, v in state.items() if k != "shape"})  # fmt: skip
    assert loaded["shape"] == (2, 3)

    # The run goes on here.
    mine.load_state_dict(loaded["model"])
    ours = optim.AdamW(mine.parameters(), lr=1.0)
    ours.load_state_dict(loaded["optimizer"])
    ours.zero_grad()
    mg.square(mine(mg.tensor(x.numpy()))).sum().backward()
    ours.step()
    optimizer.zero_grad()
    theirs(x).square().sum().backward()
    optimizer.step()
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(mine.state_dict()[name].numpy(), value.numpy(), rtol=1e-9)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**80), 2**80),
              st.floats(allow_nan=False), st.text(max_size=4), st.binary(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip


@example(value=[b"", b"a"], zipped=True, protocol=2)
@given(value=plain, zipped=st.booleans(), protocol=st.integers(2, 5))
def test_any_plain_value(value, zipped, protocol, tmp_path_factory):
    if not zipped:
        protocol = 2  # by the first bytes the old format is recognised
    path = tmp_path_factory.mktemp("plain") / "x.pt"
    save(value, path, zipped, pickle_protocol=protocol)
    same(mg.load(path), value)


@formats
def test_whole_modules_and_arrays_are_refused(zipped, tmp_path):
    path = tmp_path / "x.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(torch.nn.Linear(2, 2), path, zipped)
    with pytest.raises(CheckpointError, match="torch.nn.modules.linear.Linear|outside|id of a"):
        mg.load(path)
    save({"a": np.ones(3)}, path, zipped)
    with pytest.raises(CheckpointError, match="asks for numpy"):
        mg.load(path)
    save({"a": torch.zeros(2, dtype=torch.complex64)}, path, zipped)
    with pytest.raises(CheckpointError, match=r"asks for torch\.ComplexFloatStorage"):
        mg.load(path)
    save(torch.eye(2).to_sparse(), path, zipped)
    with pytest.raises(CheckpointError, match="asks for torch"):
        mg.load(path)
    save(collections.defaultdict(list), path, zipped)
    with pytest.raises(CheckpointError, match=r"asks for collections\.defaultdict"):
        mg.load(path)


@formats
def test_the_state_of_every_schedule(zipped, tmp_path):
    of = torch.optim.lr_scheduler
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.5)
    schedules = [
        of.MultiStepLR(optimizer, [3, 5, 5]), of.OneCycleLR(optimizer, 1.0, 10),
        of.CyclicLR(optimizer, 0.1, 1.0), of.ReduceLROnPlateau(optimizer),
    ]  # fmt: skip
    states = [schedule.state_dict() for schedule in schedules]
    save(states, tmp_path / "x.pt", zipped)
    loaded = mg.load(tmp_path / "x.pt")
    assert loaded[0]["milestones"] == {3: 1, 5: 2}
    assert loaded == [dict(state) for state in states]


def test_safetensors_both_ways(tmp_path):
    st_torch = pytest.importorskip("safetensors.torch")
    mine, theirs = networks()
    mg.save_safetensors(mine, tmp_path / "a.safetensors")
    theirs.load_state_dict(st_torch.load_file(tmp_path / "a.safetensors"))
    st_torch.save_file(
        {n: v.bfloat16() if v.ndim == 4 else v.clone() for n, v in theirs.state_dict().items()},
        tmp_path / "b.safetensors",
    )
    loaded = mg.load(tmp_path / "b.safetensors")
    mine.load_state_dict(loaded)
    for name, value in theirs.state_dict().items():
        value = value.bfloat16().float() if value.ndim == 4 else value
        np.testing.assert_array_equal(loaded[name].numpy(), value.numpy())
