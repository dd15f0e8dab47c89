"""Memory shared with PyTorch through DLPack, both ways."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool"]
)
def test_round_trip(dtype):
    theirs = torch.arange(12).reshape(3, 4).to(getattr(torch, dtype)).t()[1:, ::2]
    mine = mg.from_dlpack(theirs)
    assert mine.dtype == np.dtype(dtype) and mine.shape == (3, 2)
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    theirs[0, 0] = 1 - theirs[0, 0].int()
    assert mine[0, 0].item() == theirs[0, 0].item()
    back = torch.from_dlpack(mine)
    assert back.data_ptr() == theirs.data_ptr() and back.stride() == theirs.stride()


def test_changes_are_seen_on_both_sides():
    mine = mg.zeros(3)
    theirs = torch.from_dlpack(mine)
    theirs += 2
    mine[1] = 7
    assert mine.tolist() == theirs.tolist() == [2, 7, 2]
    mine = mg.from_dlpack(torch.zeros(2))
    mine += 1
    assert mine.tolist() == [1, 1]


def test_what_would_be_lost_is_refused_on_both_sides():
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(mg.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="detach"):
        mg.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="from_dlpack: "):
        mg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    assert torch.from_dlpack(mg.ones(2, requires_grad=True).detach()).tolist() == [1, 1]


def test_tensors_of_torch_through_arrays():
    theirs = torch.arange(3.0)
    mine = mg.as_tensor(np.asarray(theirs))
    theirs[0] = 5
    assert mine.tolist() == [5, 1, 2]
    assert torch.as_tensor(np.asarray(mine)).tolist() == [5, 1, 2]
