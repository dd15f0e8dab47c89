r"""Checkpoints: what goes in comes out, in full or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import nn, optim
from minigrad.train import (
    CheckpointError,
    checkpoint,
    load_checkpoint,
    load_safetensors,
    save_checkpoint,
    save_safetensors,
)


def same(a: Any, b: Any) -> bool:
    """Equal in structure, types and bits."""
    if isinstance(a, mg.Tensor) or isinstance(a, np.ndarray):
        x, y = (v.numpy() if isinstance(v, mg.Tensor) else v for v in (a, b))
        return type(a) is type(b) and x.dtype == y.dtype and x.tobytes() == y.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


# ----------------------------------------------------------------------------------- weights
DTYPES = [np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_]
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    )
)


@given(array=arrays, data=st.data())
def test_weights_come_back_whatever_their_layout(
    array: np.ndarray, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if array.ndim:
        array = array.transpose(data.draw(st.permutations(range(array.ndim))))
        array = array[:: data.draw(st.sampled_from([1, 2, -1]))]
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_safetensors(path, {"w": array})
    loaded = load_safetensors(path)["w"].numpy()
    assert loaded.dtype == array.dtype and loaded.shape == array.shape
    np.testing.assert_array_equal(loaded, array)


def test_the_library_alone_would_mix_up_a_transposed_array() -> None:
    """Why the array is copied to row-major first. If this fails, the library has been mended."""
    array = np.arange(6.0).reshape(2, 3).T
    mixed = safetensors.numpy.load(safetensors.numpy.save({"w": array}))["w"]
    if np.array_equal(mixed, array):
        pytest.skip("this version of safetensors copies by itself")


def test_other_byte_order(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "w.safetensors", {"w": np.array([1.5, 2.5], ">f4")})
    assert load_safetensors(tmp_path / "w.safetensors")["w"].tolist() == [1.5, 2.5]


def test_unsuitable_values_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="complex128 at 'c'"):
        save_safetensors(tmp_path / "w.safetensors", {"c": np.ones(2, complex)})
    with pytest.raises(TypeError, match="got list at 'l'"):
        save_safetensors(tmp_path / "w.safetensors", {"l": [1.0]})
    with pytest.raises(TypeError, match="cannot store function at 'a/0'"):
        save_checkpoint(tmp_path / "c.safetensors", {"a": [same]})
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------- states
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**130), 2**130), st.floats(), st.text(max_size=5)
)
tensors = arrays.map(mg.Tensor)
keys = st.one_of(st.text(max_size=4), st.integers(0, 9))
trees = st.recursive(
    st.one_of(scalars, arrays, tensors),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(st.sampled_from(["$tensor", "$tuple", "a/b", "a"]), inner, max_size=2),
    ),
    max_leaves=8,
)


@given(state=st.dictionaries(st.text("abc/'", min_size=1, max_size=3), trees, max_size=3))
def test_any_state_comes_back(
    state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("state") / "c.safetensors"
    save_checkpoint(path, state)
    assert same(load_checkpoint(path), state)


def network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 1))


def trained(width: int = 3) -> tuple[nn.Module, optim.Optimizer]:
    model = network(width)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(mg.randn(8, 2)).sum().backward()
        optimizer.step()
    return model, optimizer


def frozen(*objects: Any) -> list[Any]:
    """A copy of the states of ``objects``."""
    return [checkpoint._copied(o.state_dict()) for o in objects]


def test_objects_come_back(tmp_path: Path) -> None:
    model, optimizer = trained()
    schedule = optim.lr_scheduler.StepLR(optimizer, 2)
    generator = mg.Generator(5)
    state = {"model": model, "optimizer": optimizer, "schedule": schedule, "generator": generator}
    save_checkpoint(tmp_path / "c.safetensors", {**state, "epoch": 7})
    before, draw = frozen(model, optimizer, schedule), generator.numpy.random()

    model2, optimizer2 = trained()
    schedule2, generator2 = optim.lr_scheduler.StepLR(optimizer2, 2), mg.Generator(6)
    into = {
        "model": model2,
        "optimizer": optimizer2,
        "schedule": schedule2,
        "generator": generator2,
    }
    assert load_checkpoint(tmp_path / "c.safetensors", into)["epoch"] == 7
    assert same(frozen(model2, optimizer2, schedule2), before)
    assert generator2.numpy.random() == draw


# ----------------------------------------------------------------------- what is not our file
def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected the file"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 0.5, -1])
def test_truncated_file(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "c.safetensors"
    model, optimizer = trained()
    save_checkpoint(path, {"model": model, "optimizer": optimizer})
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else int(keep)])
    before = frozen(model, optimizer)
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        load_checkpoint(path, {"model": model, "optimizer": optimizer})
    assert same(frozen(model, optimizer), before)


def test_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"PK\x03\x04 something else entirely, longer than a header")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(path)
    save_safetensors(path, {"weight": mg.ones(2)})
    with pytest.raises(CheckpointError, match="not a checkpoint of minigrad.*weight"):
        load_checkpoint(path)


def test_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    metadata = {"format": checkpoint.FORMAT, "version": "99", "state": "{}"}
    save_safetensors(path, {}, metadata)
    with pytest.raises(CheckpointError, match="expected format version <= 1, got '99'"):
        load_checkpoint(path)


def test_damaged_state(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    for state in ("{", json.dumps({"a": {"$tensor": "nowhere"}}), "[1]"):
        metadata = {"format": checkpoint.FORMAT, "version": "1", "state": state}
        save_safetensors(path, {}, metadata)
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_checkpoint(path)


def test_another_architecture_lists_the_differences_and_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    model, optimizer = trained(width=4)
    save_checkpoint(path, {"optimizer": optimizer, "model": model})
    model2, optimizer2 = trained(width=3)
    before = frozen(model2, optimizer2)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path, {"optimizer": optimizer2, "model": model2})
    assert "0.weight: expected (3, 2), got (4, 2)" in str(error.value)
    assert same(frozen(model2, optimizer2), before)

    deeper = nn.Sequential(*network(4), nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match=r"4.weight: expected \(1, 1\), got nothing"):
        load_checkpoint(path, {"model": deeper})
    with pytest.raises(CheckpointError, match=r"3.weight: expected nothing, got \(1, 4\)"):
        load_checkpoint(path, {"model": nn.Sequential(*list(network(4))[:3])})


def test_a_late_misfit_takes_back_what_was_loaded(tmp_path: Path) -> None:
    """The model fits; the optimiser, loaded after it, does not."""
    path = tmp_path / "c.safetensors"
    model, _ = trained()
    other = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    save_checkpoint(path, {"model": model, "optimizer": other})
    model2, optimizer2 = trained()
    before = frozen(model2, optimizer2)
    with pytest.raises(CheckpointError, match="the state of 'optimizer' does not fit Adam"):
        load_checkpoint(path, {"model": model2, "optimizer": optimizer2})
    assert same(frozen(model2, optimizer2), before)


def test_a_state_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"epoch": 1})
    with pytest.raises(CheckpointError, match=r"expected the states \['model'\], got \['epoch'\]"):
        load_checkpoint(path, {"model": network()})
    with pytest.raises(TypeError, match="expected objects with load_state_dict"):
        load_checkpoint(path, {"epoch": 3})


# ---------------------------------------------------------------------------------- full disk
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"epoch": 1})

    def fail(*args: Any, **kwargs: Any) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        if where == "write":
            real = open

            class Full:
                def __init__(self, file: Any) -> None:
                    self.file = file

                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *_: object) -> None:
                    self.file.close()

                def write(self, content: bytes) -> None:
                    self.file.write(content[: len(content) // 2])
                    raise FULL

            patch.setattr("builtins.open", lambda *a, **k: Full(real(*a, **k)))
        else:
            patch.setattr(os, where, fail)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
