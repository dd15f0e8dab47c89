r"""``python -m tests.ops.mutate``: every gradient rule changed in every small way; who notices?

Belongs here: the mutants and the count. Does not belong here: the checks themselves; they are the
table's (``test_table.py``), and ``test_mutations.py`` runs one mutant of each rule with every test
run.

The mutants of a rule, one at a time: each gradient that it returns negated, and scaled by 1.01; in
each sum or difference either term dropped, and the sign between them flipped; each minus sign
removed; each ``+=`` or ``-=`` dropped, and flipped. A mutant is killed if a row of the table that
runs the rule fails; an exception counts. A survivor is a hole in the table, unless the change
changes nothing: those are named in ``EQUIVALENT``, with the reason.
"""

from __future__ import annotations

import argparse
import ast
import copy
import inspect
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

from minigrad.autograd import Function
from minigrad.testing import gradcheck, strict  # noqa: F401  (rows move tensors to "strict")
from tests.ops.row import Draw, Row
from tests.ops.table import ROWS
from tests.ops.test_completeness import differentiate, functions_of_minigrad, recorded
from tests.ops.test_table import placed, try_examples

ROWS_TRIED = 8  # of the rows that run a rule

#: (rule, mutant as it is printed): why it computes the same
EQUIVALENT: dict[tuple[str, str], str] = {
    ("Prod.backward", "len(order) - len(self.axes) -> -len(self.axes)"): "counts from the end",
}


def rows_by_function(rows: list[Row] = ROWS) -> dict[type[Function], list[Row]]:
    r"""Which rows run which Function, in the op or in its gradients; the most direct row first."""
    found: dict[type[Function], list[Row]] = {}
    for row in rows:
        if row.order:
            with recorded() as seen:
                try_examples(lambda d, row=row: differentiate(row, d), 0.6)
            for cls in seen:
                found.setdefault(cls, []).append(row)
    for cls, mine in found.items():
        mine.sort(key=lambda row, cls=cls: row.name.replace("_", "") != cls.__name__.lower())
    return found


def differs(row: Row, share: float = 0.7) -> bool:
    r"""True if the row's gradients disagree with its values, or cannot be computed."""

    def test(d: Draw) -> None:
        case = row.draw(d)
        tensors, _ = placed(d, case, "cpu", np.float64, differentiable=True)
        if all(t is None or not t.data.size for t in tensors):
            return
        gradcheck(lambda *x: row.fn(*x, **case.params), tensors, order=row.order)

    try:
        try_examples(test, share, shrink=False)
    except Exception:  # whatever it is, somebody noticed
        return True
    return False


# ------------------------------------------------------------------------------------- mutants
def _spoil(value: Any, factor: float) -> Any:
    if value is None:
        return None
    if isinstance(value, (tuple, list)):
        return type(value)(_spoil(part, factor) for part in value)
    return value * factor


def _returned(tree: ast.AST) -> list[tuple[ast.AST, str, int | None]]:
    r"""Every place that holds a returned gradient: (node, field, index in a list field)."""
    places: list[tuple[ast.AST, str, int | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            if isinstance(node.value, ast.Tuple):
                places += [(node.value, "elts", i) for i in range(len(node.value.elts))]
            else:
                places.append((node, "value", None))
    return places


def _put(node: ast.AST, field: str, index: int | None, new: ast.AST) -> None:
    if index is None:
        setattr(node, field, new)
    else:
        getattr(node, field)[index] = new


def _get(node: ast.AST, field: str, index: int | None) -> Any:
    return getattr(node, field) if index is None else getattr(node, field)[index]


def _expressions(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    r"""Every place in the tree that holds a node."""
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.AST):
                yield node, field, None
            elif isinstance(value, list):
                for i, part in enumerate(value):
                    if isinstance(part, ast.AST):
                        yield node, field, i


def _changes(old: ast.AST) -> list[ast.AST]:
    r"""The nodes that may stand where ``old`` stands."""
    if isinstance(old, ast.BinOp) and isinstance(old.op, (ast.Add, ast.Sub)):
        other = ast.Sub() if isinstance(old.op, ast.Add) else ast.Add()
        right = old.right if isinstance(old.op, ast.Add) else ast.UnaryOp(ast.USub(), old.right)
        return [old.left, right, ast.BinOp(old.left, other, old.right)]
    if isinstance(old, ast.UnaryOp) and isinstance(old.op, ast.USub):
        if not isinstance(old.operand, ast.Constant):  # -1 is a number, as in an axis
            return [old.operand]
    if isinstance(old, ast.AugAssign) and isinstance(old.op, (ast.Add, ast.Sub)):
        other = ast.Sub() if isinstance(old.op, ast.Add) else ast.Add()
        return [ast.Pass(), ast.AugAssign(old.target, other, old.value)]
    return []


def mutants(rule: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    r"""(description, changed function) for every small change of a gradient rule."""
    source = textwrap.dedent(inspect.getsource(rule))
    original = ast.parse(source)
    n_returned = len(_returned(original))
    for i in range(n_returned):
        for factor in (-1.0, 1.01):
            tree = copy.deepcopy(original)
            place = _returned(tree)[i]
            value = _get(*place)
            if isinstance(value, ast.Constant) and value.value is None:
                continue
            text = ast.unparse(value)
            call = ast.Call(ast.Name("__spoil__", ast.Load()), [value, ast.Constant(factor)], [])
            _put(*place, call)
            yield f"return {factor:g} * ({text})", _compiled(tree, rule)
    for i, place in enumerate(_expressions(original)):
        for j in range(len(_changes(_get(*place)))):
            tree = copy.deepcopy(original)
            here = list(_expressions(tree))[i]
            old = _get(*here)
            new = _changes(old)[j]
            text = f"{ast.unparse(old)} -> {ast.unparse(new)}"
            _put(*here, new)
            yield text, _compiled(tree, rule)


def _compiled(tree: ast.AST, rule: Callable[..., Any]) -> Callable[..., Any]:
    code = compile(ast.fix_missing_locations(tree), inspect.getfile(rule), "exec")
    names = {**rule.__globals__, "__spoil__": _spoil}
    exec(code, names)
    return names[rule.__name__]


# --------------------------------------------------------------------------------------- the count
def rules(cls: type[Function]) -> list[str]:
    r"""The names of the rules that the class itself defines."""
    return [
        name for name in ("backward", "backward_array") if callable(cls.__dict__.get(name, None))
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ops.mutate", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of Functions; all of them by default")
    options = parser.parse_args(arguments)
    settings.register_profile(
        "mutate",
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutate")
    warnings.simplefilter("ignore")  # of overflow and the like in mutants
    start = time.perf_counter()
    rows_of = rows_by_function()
    classes = sorted(functions_of_minigrad(), key=lambda cls: cls.__qualname__)
    if options.only:
        classes = [cls for cls in classes if cls.__name__ in options.only]
    made = killed = equal = n_rules = 0
    survivors: list[str] = []
    for cls in classes:
        for name in rules(cls):
            rule = cls.__dict__[name]
            n_rules += 1
            for text, mutant in mutants(rule):
                made += 1
                setattr(cls, name, mutant)
                try:
                    noticed = any(differs(row) for row in rows_of.get(cls, [])[:ROWS_TRIED])
                finally:
                    setattr(cls, name, rule)
                if noticed:
                    killed += 1
                elif (f"{cls.__name__}.{name}", text) in EQUIVALENT:
                    equal += 1
                else:
                    survivors.append(f"{cls.__name__}.{name}: {text}")
                    print("SURVIVED", survivors[-1], flush=True)
    print(
        f"{n_rules} rules, {made} mutants: {killed} killed, {equal} equivalent, "
        f"{len(survivors)} survived ({time.perf_counter() - start:.0f} s)"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
