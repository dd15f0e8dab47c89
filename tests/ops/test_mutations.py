r"""The table catches a wrong rule in *any* op: each rule in turn is spoilt, and a row must fail.

Belongs here: the test that the derived tests test. ``mutate.py`` tries every small change of every
rule; wrong rules of other kinds are planted in ``tests/testing/test_gradcheck.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import minigrad as mg
from minigrad.autograd import Function
from tests.ops.mutate import differs, mutants, rows_by_function
from tests.ops.row import Row
from tests.ops.test_completeness import functions_of_minigrad

# A spoilt derivative of these cannot be told from a right one: they have none that is not 0.
WITHOUT_SLOPE = {"_Plain"}


@pytest.fixture(scope="module")
def rows_of() -> dict[type[Function], list[Row]]:
    return rows_by_function()


def _spoilt(rule: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(self: Function, *args: Any) -> Any:
        result = rule(self, *args)
        parts = result if type(result) is tuple else (result,)
        return tuple(None if g is None else g * 1.01 + 0.01 for g in parts)

    return wrong


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
    assert any(differs(row) for row in rows_of[cls][:6]), f"nobody noticed a wrong {cls.__name__}"


FAST = [cls for cls in RULES if cls.backward_array is not None]


@pytest.mark.parametrize("cls", FAST, ids=[cls.__name__ for cls in FAST])
def test_a_spoilt_fast_rule_is_caught(
    cls: type[Function],
    rows_of: dict[type[Function], list[Row]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cls, "backward_array", _spoilt(cls.backward_array))
    assert any(differs(row) for row in rows_of[cls][:6]), f"nobody noticed a wrong {cls.__name__}"


def test_there_are_rules() -> None:
    assert len(RULES) > 50
    assert len(FAST) >= 4
    assert mg.ops.elementwise.Add in RULES


def test_mutants_of_a_rule() -> None:
    texts = [text for text, _ in mutants(mg.ops.elementwise.Sub.backward)]
    assert len(texts) == len(set(texts)) >= 5
    assert any(text.startswith("return -1 * (") for text in texts)
    assert any(text.startswith("return 1.01 * (") for text in texts)
    rule = dict(mutants(mg.ops.elementwise.Sub.backward))["-g -> g"]
    sub = mg.ops.elementwise.Sub()
    sub.needs_input_grad = (True, True)
    assert rule(sub, 1.0) == (1.0, 1.0)
