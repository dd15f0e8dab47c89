r"""The table catches a wrong rule in *any* op: each rule in turn is spoilt, and a row must fail.

Belongs here: the test that the derived tests test. Wrong rules of other kinds are planted in
``tests/testing/test_gradcheck.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import Function
from minigrad.testing import GradcheckError, gradcheck
from tests.ops.row import Draw, Row
from tests.ops.table import ROWS
from tests.ops.test_completeness import differentiate, functions_of_minigrad, recorded
from tests.ops.test_table import placed, try_examples

# A spoilt derivative of these cannot be told from a right one: they have none that is not 0.
WITHOUT_SLOPE = {"_Plain"}


@pytest.fixture(scope="module")
def rows_of() -> dict[type[Function], list[Row]]:
    r"""Which rows run which Function, in the op or in its gradients; the most direct row first."""
    found: dict[type[Function], list[Row]] = {}
    for row in ROWS:
        if row.order:
            with recorded() as seen:
                try_examples(lambda d, row=row: differentiate(row, d), 0.6)
            for cls in seen:
                found.setdefault(cls, []).append(row)
    for cls, rows in found.items():
        rows.sort(key=lambda row, cls=cls: row.name.replace("_", "") != cls.__name__.lower())
    return found


def _spoilt(rule: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(self: Function, *args: Any) -> Any:
        result = rule(self, *args)
        parts = result if type(result) is tuple else (result,)
        return tuple(None if g is None else g * 1.01 + 0.01 for g in parts)

    return wrong


def _fails(row: Row) -> bool:
    def test(d: Draw) -> None:
        case = row.draw(d)
        tensors, _ = placed(d, case, "cpu", np.float64, differentiable=True)
        if all(t is None or not t.data.size for t in tensors):
            return
        gradcheck(lambda *x: row.fn(*x, **case.params), tensors, order=row.order)

    try:
        try_examples(test, 0.7, shrink=False)
    except (GradcheckError, ExceptionGroup):
        return True
    return False


RULES = sorted(
    (
        cls
        for cls in functions_of_minigrad()
        if cls.backward is not Function.backward and cls.__name__ not in WITHOUT_SLOPE
    ),
    key=lambda cls: cls.__qualname__,
)


@pytest.mark.parametrize("cls", RULES, ids=[cls.__name__ for cls in RULES])
def test_a_spoilt_rule_is_caught(
    cls: type[Function],
    rows_of: dict[type[Function], list[Row]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The names of saved values were read when the class was made: they stay.
    monkeypatch.setattr(cls, "backward", _spoilt(cls.backward))
    assert any(_fails(row) for row in rows_of[cls][:6]), f"nobody noticed a wrong {cls.__name__}"


FAST = [cls for cls in RULES if cls.backward_array is not None]


@pytest.mark.parametrize("cls", FAST, ids=[cls.__name__ for cls in FAST])
def test_a_spoilt_fast_rule_is_caught(
    cls: type[Function],
    rows_of: dict[type[Function], list[Row]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cls, "backward_array", _spoilt(cls.backward_array))
    assert any(_fails(row) for row in rows_of[cls][:6]), f"nobody noticed a wrong {cls.__name__}"


def test_there_are_rules() -> None:
    assert len(RULES) > 50
    assert len(FAST) >= 4
    assert mg.ops.elementwise.Add in RULES
