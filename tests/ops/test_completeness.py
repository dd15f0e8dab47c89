r"""No op without a row in the table: a new op, or a new name, fails here until it has one."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import ops
from minigrad.autograd import Function
from tests.ops.row import Draw, Row
from tests.ops.table import ROWS
from tests.ops.test_table import as_tuple, placed, try_examples


def test_every_public_name_has_a_row() -> None:
    covered = {name for row in ROWS for name in row.covers}
    assert not sorted(set(ops.__all__) - covered), "ops without a row in tests/ops/table_*.py"
    assert not sorted(covered - set(ops.__all__)), "rows for ops that do not exist"


def test_names_are_unique() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


def _subclasses(cls: type[Function]) -> Iterator[type[Function]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def functions_of_minigrad() -> set[type[Function]]:
    r"""Every op of the package, wherever it is defined."""
    for module in pkgutil.walk_packages(mg.__path__, "minigrad."):
        with contextlib.suppress(ImportError):  # needs a package that is not installed
            importlib.import_module(module.name)
    return {
        cls
        for cls in _subclasses(Function)
        if cls.__module__.startswith("minigrad.")
        and "<locals>" not in cls.__qualname__
        and cls.forward is not Function.forward
    }


@contextlib.contextmanager
def recorded() -> Iterator[set[type]]:
    r"""The Functions that run inside."""
    seen: set[type] = set()
    original = Function.__dict__["apply"]

    def apply(cls: type[Function], *inputs: Any, **constants: Any) -> Any:
        seen.add(cls)
        return original.__func__(cls, *inputs, **constants)

    Function.apply = classmethod(apply)
    try:
        yield seen
    finally:
        Function.apply = original


def differentiate(row: Row, d: Draw) -> None:
    r"""Run the op, its gradient, and the gradient of that, with constant cotangents or others."""
    linear = d.bool()
    case = row.draw(d)
    tensors, _ = placed(d, case, "cpu", np.float64, differentiable=True)
    outputs = [y for y in as_tuple(row.fn(*tensors, **case.params)) if y.requires_grad]
    leaves = [t for t in tensors if t is not None and t.requires_grad]
    for _ in range(row.order):
        total = sum(
            ((y if linear else y * y).sum() for y in outputs), mg.zeros((), dtype=mg.float64)
        )
        if not total.requires_grad:
            return
        found = mg.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        outputs = [g for g in found if g is not None]


def test_every_function_is_run_by_a_row() -> None:
    r"""Also those that appear only in gradients, such as the adjoint of pooling."""
    with recorded() as seen:
        for row in ROWS:
            try_examples(lambda d, row=row: differentiate(row, d), 0.6)
    missing = sorted(f"{cls.__module__}.{cls.__name__}" for cls in functions_of_minigrad() - seen)
    assert not missing, f"Functions that no row of the table runs: {missing}"
