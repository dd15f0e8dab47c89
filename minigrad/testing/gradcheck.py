r"""Is a gradient rule right? Compare it with finite differences, in all ways that caught bugs.

Belongs here: :func:`gradcheck` and :func:`gradgradcheck`. Does not belong here: how inputs are
drawn (``strategies.py``) and which ops we check ourselves (``tests/ops``).

The measure is one number, :math:`\phi(x) = \langle u, f(x) \rangle`, with a *random* cotangent u: a
cotangent of ones cannot see a softmax without its off-diagonal terms, whose rows sum to 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad import autograd
from minigrad.backend import Generator, device_of, get_array_module, to_device, to_numpy
from minigrad.tensor import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(AssertionError):
    r"""A gradient is wrong; the message says which, where, and by how much."""


def gradcheck(
    fn: Any,
    inputs: Any,
    *,
    order: int = 1,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    cotangent: Any = "random",
    method: str = "central",
    generator: Generator | None = None,
    seed: int = 0,
    raise_exception: bool = True,
) -> bool:
    r"""Check the gradients of ``fn`` at ``inputs``, up to derivatives of the given order.

    With a random cotangent u and a random direction v, for each differentiable input alone and for
    all of them together, :math:`\langle \nabla_x \langle u, f\rangle, v \rangle` is compared with
    the difference quotient; for small inputs also every entry of the gradient, and for small
    outputs the whole Jacobian. Checked besides: gradients have the input's shape, dtype and device;
    they do not depend on which other gradients are wanted, on the memory layout of inputs and
    cotangent, or on whether ``grad`` or ``backward`` made them; nothing that was passed in is
    changed; no gradient shares memory with another, with an input or with the cotangent.

    ``order=2`` checks in the same way the map from inputs and cotangent to the gradient; it also
    compares the differentiable rule with the plain one.

    Args:
        fn: a function of tensors that returns a tensor or several, or a subclass of
            :class:`~minigrad.autograd.Function`. It must give the same result when called again:
            a random op needs a generator with a fixed seed inside.
        inputs: a tensor or a sequence. Float64 tensors that require gradients are checked; other
            tensors and values are passed on.
        order: 1, 2, ...
        eps: the step, relative to the size of an entry if that is above 1.
        rtol, atol: the error allowed, ``atol + rtol * scale``, where scale is the size of what is
            compared, before terms cancel.
        cotangent: "random", "ones", or the cotangent itself (a sequence for several outputs).
        method: "central" differences, or "complex" for :math:`\mathrm{Im} f(x + i h v) / h`, exact
            to rounding but only for analytic functions that accept raw arrays.
        generator, seed: where cotangent and directions come from.
        raise_exception: if False, return False instead of raising.

    Returns:
        True if everything agrees.

    Raises:
        GradcheckError: something does not. The message names the input, the entry with the largest
            error, what the rule gave and what the difference quotient gave.
        TypeError: an input that requires gradients is not float64: differences need the digits.

    >>> import minigrad as mg
    >>> from minigrad.testing.gradcheck import gradcheck
    >>> x = mg.tensor([[0.5, -1.0, 2.0]], dtype=mg.float64, requires_grad=True)
    >>> gradcheck(lambda x: mg.softmax(x, dim=1), x, order=2)
    True
    >>> class WrongCube(mg.autograd.Function):
    ...     def forward(self, x):
    ...         return x**3
    ...
    ...     def backward(self, g, x):
    ...         return g * 2 * x**2  # the factor should be 3
    >>> gradcheck(WrongCube, x, cotangent="ones")
    Traceback (most recent call last):
        ...
    minigrad.testing.gradcheck.GradcheckError: gradcheck: input 0 ('x') of shape (1, 3), order 1:
    the gradient differs most at (0, 2): the rule gave 8, differences 1...
    """
    if isinstance(fn, type) and issubclass(fn, autograd.Function):
        names = list(inspect.signature(fn.forward).parameters)[1:]
        fn = fn.apply
    else:
        names = _parameter_names(fn)
    if isinstance(inputs, Tensor) or not isinstance(inputs, Sequence):
        inputs = (inputs,)
    if order < 1:
        raise ValueError(f"gradcheck: expected an order of at least 1, got {order}")
    if method not in ("central", "complex"):
        raise ValueError(f"gradcheck: expected method 'central' or 'complex', got {method!r}")
    rng = np.random.default_rng(seed) if generator is None else generator.numpy
    try:
        check = _Check(fn, tuple(inputs), names, eps, rtol, atol, method, rng, 1)
        check.run(cotangent)
        for k in range(2, order + 1):
            check = check.derivative(k)
            check.run("random")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(fn: Any, inputs: Any, **options: Any) -> bool:
    r"""``gradcheck(fn, inputs, order=2)``: the second derivatives, and on the way the first.

    >>> import minigrad as mg
    >>> from minigrad.testing.gradcheck import gradgradcheck
    >>> gradgradcheck(mg.exp, mg.tensor([0.3, -2.0], dtype=mg.float64, requires_grad=True))
    True
    """
    return gradcheck(fn, inputs, **{"order": 2, **options})


def _parameter_names(fn: Any) -> list[str]:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in plain]


def _scattered(array: np.ndarray) -> np.ndarray:
    r"""A copy whose memory is reversed, transposed and full of holes."""
    memory = np.zeros([2 * n for n in array.shape[::-1]], array.dtype)
    key: Any = (..., *[slice(None, None, -2)] * array.ndim)
    view = memory[key].T
    view[...] = array
    return view


class _Check:
    r"""One function at one place. Arrays are host arrays unless they are called tensors."""

    # Up to here every entry of the gradient is checked, and every entry of the Jacobian.
    max_entries = 64
    max_outputs = 12

    def __init__(
        self,
        fn: Callable[..., Any],
        inputs: tuple[Any, ...],
        names: list[str],
        eps: float,
        rtol: float,
        atol: float,
        method: str,
        rng: np.random.Generator,
        order: int,
    ) -> None:
        self.fn, self.inputs, self.names = fn, inputs, names
        self.eps, self.rtol, self.atol, self.method = eps, rtol, atol, method
        self.rng, self.order = rng, order
        self.wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
        if not self.wanted:
            raise ValueError("gradcheck: expected an input that requires gradients, found none")
        for i in self.wanted:
            if inputs[i].dtype != np.float64:
                raise TypeError(
                    f"gradcheck: expected float64, got {inputs[i].dtype} in {self.label(i)}; "
                    "finite differences need the digits"
                )
        # The values as they were before anything ran: what all later calls start from.
        self.point = {i: to_numpy(inputs[i].data).copy() for i in self.wanted}

    # ------------------------------------------------------------------------------- plumbing
    def label(self, i: int) -> str:
        name = f" ({self.names[i]!r})" if i < len(self.names) else ""
        return f"input {i}{name} of shape {tuple(self.inputs[i].shape)}"

    def fail(self, i: int, what: str) -> None:
        raise GradcheckError(f"gradcheck: {self.label(i)}, order {self.order}: {what}")

    def tensors(
        self,
        values: dict[int, np.ndarray],
        differentiable: Sequence[int],
        layout: Callable[[np.ndarray], np.ndarray] = np.array,
    ) -> list[Any]:
        r"""The inputs as fresh leaves with the given values."""
        made = list(self.inputs)
        for i in self.wanted:
            array = to_device(layout(values[i]), device_of(self.inputs[i].data))
            made[i] = Tensor(array, requires_grad=i in differentiable)
        return made

    def call(self, tensors: Sequence[Any]) -> list[Tensor]:
        r"""The floating outputs of the function."""
        result = self.fn(*tensors)
        outputs = [result] if isinstance(result, Tensor) else list(result)
        return [y for y in outputs if isinstance(y, Tensor) and y.dtype.kind == "f"]

    def outputs_at(self, values: dict[int, np.ndarray]) -> list[np.ndarray]:
        if self.method == "complex" and self.order == 1:
            arrays = [values.get(i, x) for i, x in enumerate(self.inputs)]
            result = self.fn(*[x.data if isinstance(x, Tensor) else x for x in arrays])
            return [np.asarray(y) for y in (result if isinstance(result, tuple) else (result,))]
        # Copies, since a NumPy op may hand out a view of what will be perturbed next.
        return [to_numpy(y.data).copy() for y in self.call(self.tensors(values, self.wanted))]

    def slope(self, direction: dict[int, np.ndarray]) -> list[np.ndarray]:
        r"""The derivative of every output along ``direction``."""
        if self.method == "complex" and self.order == 1:
            h = 1e-30
            moved = {i: x + 1j * h * direction.get(i, 0.0) for i, x in self.point.items()}
            return [y.imag / h for y in self.outputs_at(moved)]
        largest = max([float(np.abs(self.point[i]).max(initial=0)) for i in direction], default=0)
        h = self.eps * max(1.0, largest)
        ahead = {i: x + h * direction.get(i, 0.0) for i, x in self.point.items()}
        behind = {i: x - h * direction.get(i, 0.0) for i, x in self.point.items()}
        return [
            (a - b) / (2 * h)
            for a, b in zip(self.outputs_at(ahead), self.outputs_at(behind), strict=True)
        ]

    def gradients(
        self, tensors: Sequence[Any], cotangents: Sequence[np.ndarray], check: bool = False
    ) -> dict[int, Any]:
        r"""What the rules give for the leaves among ``tensors``: host arrays, or None."""
        leaves = [i for i in self.wanted if tensors[i].requires_grad]
        outputs = self.call(tensors)
        seeds = [
            Tensor(to_device(u, device_of(y.data)))
            for u, y in zip(cotangents, outputs, strict=True)
        ]
        before = [to_numpy(s.data).copy() for s in seeds]
        pairs = [(y, u) for y, u in zip(outputs, seeds) if y.requires_grad]
        if not pairs:
            return dict.fromkeys(leaves)
        found = autograd.grad(
            [y for y, _ in pairs],
            [tensors[i] for i in leaves],
            [u for _, u in pairs],
            allow_unused=True,
        )
        if check:
            for u, old in zip(seeds, before):
                if not np.array_equal(to_numpy(u.data), old, equal_nan=True):
                    self.fail(leaves[0], "the gradient rule changed the cotangent in place")
            self.check_unchanged(tensors, "the gradient rule")
            self.check_form(tensors, leaves, found, seeds)
        return {
            i: None if g is None else to_numpy(g.data) for i, g in zip(leaves, found, strict=True)
        }

    # --------------------------------------------------------------------------------- checks
    def run(self, cotangent: Any) -> None:
        r"""All checks of this order."""
        tensors = self.tensors(self.point, self.wanted)
        outputs = self.call(tensors)
        self.check_unchanged(tensors, "the forward")
        first = [to_numpy(y.data).copy() for y in outputs]
        again = self.call(self.tensors(self.point, self.wanted))
        for a, b in zip(first, again, strict=True):
            if not np.array_equal(a, to_numpy(b.data), equal_nan=True):
                raise GradcheckError(
                    "gradcheck: the function gave two results for one input; fix its seed inside"
                )
        for y in first:
            if not np.isfinite(y).all():
                raise GradcheckError(f"gradcheck: the function is not finite here: {y}")
        cotangents = self.cotangents(cotangent, first)
        self.used_cotangents = cotangents
        analytic = self.gradients(self.tensors(self.point, self.wanted), cotangents, check=True)
        self.check_entries(analytic, cotangents)
        self.check_directions(analytic, cotangents)
        self.check_jacobian(first)
        self.check_alone(analytic, cotangents)
        self.check_layout(analytic, cotangents)
        self.check_backward(analytic, cotangents)

    def cotangents(self, kind: Any, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        if isinstance(kind, str):
            if kind not in ("random", "ones"):
                raise ValueError(f"gradcheck: expected 'random', 'ones' or arrays, got {kind!r}")
            draw = self.rng.standard_normal if kind == "random" else np.ones
            return [np.asarray(draw(y.shape)).astype(y.dtype) for y in outputs]
        given = kind if isinstance(kind, (list, tuple)) else [kind]
        return [to_numpy(u.data if isinstance(u, Tensor) else u) for u in given]

    def check_unchanged(self, tensors: Sequence[Any], who: str) -> None:
        for i in self.wanted:
            if not np.array_equal(to_numpy(tensors[i].data), self.point[i], equal_nan=True):
                self.fail(i, f"{who} changed the input in place")

    def check_form(
        self, tensors: Sequence[Any], leaves: Sequence[int], found: Any, seeds: Any
    ) -> None:
        r"""Shape, dtype, device, and memory of its own."""
        owners = [(f"the value of {self.label(i)}", tensors[i].data) for i in self.wanted]
        owners += [("the cotangent", u.data) for u in seeds]
        for i, g in zip(leaves, found, strict=True):
            if g is None:
                continue
            x = tensors[i]
            for what in ("shape", "dtype", "device"):
                if getattr(g, what) != getattr(x, what):
                    self.fail(
                        i,
                        f"expected a gradient of {what} {getattr(x, what)}, got {getattr(g, what)}",
                    )
            for owner, array in owners:
                if g.data.size and get_array_module(array).may_share_memory(g.data, array):
                    self.fail(i, f"the gradient shares memory with {owner}")
            owners.append((f"the gradient of {self.label(i)}", g.data))

    def compare(
        self, i: int, analytic: Any, numeric: np.ndarray, scale: np.ndarray | float, what: str
    ) -> None:
        r"""Fail at the entry with the largest error if that is above the tolerance."""
        none = analytic is None
        analytic = np.zeros_like(numeric) if none else np.asarray(analytic)
        if analytic.shape != numeric.shape:
            self.fail(i, f"expected a gradient of shape {numeric.shape}, got {analytic.shape}")
        allowed = self.atol + self.rtol * np.maximum(np.abs(numeric), scale)
        with np.errstate(invalid="ignore"):
            excess = np.abs(analytic - numeric) / allowed
        excess = np.where(np.isfinite(excess), excess, np.inf)
        if not excess.size or excess.max() <= 1:
            return
        worst = np.unravel_index(int(excess.argmax()), excess.shape)
        where = f" at ({', '.join(str(int(k)) for k in worst)})" if worst else ""
        self.fail(
            i,
            f"{what} differs most{where}: the rule gave "
            f"{'no gradient' if none else format(analytic[worst], '.10g')}, differences "
            f"{numeric[worst]:.10g} (error {abs(analytic[worst] - numeric[worst]):.3g}, "
            f"allowed {float(np.broadcast_to(allowed, excess.shape)[worst]):.3g})",
        )

    def units(self, i: int) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        for index in np.ndindex(self.point[i].shape):
            unit = np.zeros_like(self.point[i])
            unit[index] = 1.0
            yield index, unit

    def check_entries(self, analytic: dict[int, Any], cotangents: Sequence[np.ndarray]) -> None:
        r"""Every entry of the gradient of a small input."""
        self.columns: dict[int, list[list[np.ndarray]]] = {}
        for i in self.wanted:
            if self.point[i].size > self.max_entries:
                continue
            numeric = np.zeros_like(self.point[i])
            scale = np.zeros_like(self.point[i])
            self.columns[i] = []
            for index, unit in self.units(i):
                column = self.slope({i: unit})
                self.columns[i].append(column)
                for u, d in zip(cotangents, column, strict=True):
                    numeric[index] += (u * d).sum()
                    scale[index] += np.abs(u * d).sum()
            self.compare(i, analytic[i], numeric, scale, "the gradient")

    def check_directions(self, analytic: dict[int, Any], cotangents: Sequence[np.ndarray]) -> None:
        r"""The slope along a random direction, input by input and for all inputs at once."""
        # A single input that was checked entry by entry is done.
        groups = [[i] for i in self.wanted if i not in self.columns]
        if len(self.wanted) > 1 or groups:
            groups.append(self.wanted)
        for group in groups:
            v = {i: self.rng.standard_normal(self.point[i].shape) for i in group}
            terms = [np.zeros(()) if analytic[i] is None else analytic[i] * v[i] for i in group]
            numeric = np.zeros(())
            scale = sum([float(np.abs(t).sum()) for t in terms])
            for u, d in zip(cotangents, self.slope(v), strict=True):
                numeric = numeric + (u * d).sum()
            total = np.asarray(sum([t.sum() for t in terms]))
            self.compare(
                group[0], total, numeric, scale, f"the slope along a random direction of {group}"
            )

    def check_jacobian(self, outputs: Sequence[np.ndarray]) -> None:
        r"""Every entry of the Jacobian of a function with few outputs."""
        if not 1 < sum([y.size for y in outputs]) <= self.max_outputs:
            return
        for k, y in enumerate(outputs):
            for index in np.ndindex(y.shape):
                cotangents = [np.zeros_like(y) for y in outputs]
                cotangents[k][index] = 1.0
                row = self.gradients(self.tensors(self.point, self.wanted), cotangents)
                for i, columns in self.columns.items():
                    numeric = np.array([c[k][index] for c in columns]).reshape(self.point[i].shape)
                    scale = max(1.0, float(np.abs(numeric).max(initial=0)))
                    self.compare(
                        i, row[i], numeric, scale, f"the Jacobian of output {k} at {index}"
                    )

    def check_same(self, expected: dict[int, Any], found: dict[int, Any], how: str) -> None:
        r"""Two gradients by the same rules: equal but for the order of sums."""
        for i, g in found.items():
            a = np.zeros_like(self.point[i]) if expected[i] is None else expected[i]
            b = np.zeros_like(self.point[i]) if g is None else g
            scale = float(np.abs(a).max(initial=0))
            if not np.allclose(a, b, rtol=1e-9, atol=1e-11 + 1e-9 * scale, equal_nan=True):
                worst = np.unravel_index(int(np.abs(a - b).argmax()), a.shape)
                at = tuple(int(k) for k in worst)
                self.fail(
                    i, f"the gradient {how} differs at {at}: {b[worst]} instead of {a[worst]}"
                )

    def check_alone(self, analytic: dict[int, Any], cotangents: Sequence[np.ndarray]) -> None:
        if len(self.wanted) > 1:
            for i in self.wanted:
                found = self.gradients(self.tensors(self.point, [i]), cotangents, check=True)
                self.check_same(analytic, found, "wanted on its own")

    def check_layout(self, analytic: dict[int, Any], cotangents: Sequence[np.ndarray]) -> None:
        tensors = self.tensors(self.point, self.wanted, _scattered)
        found = self.gradients(tensors, [_scattered(u) for u in cotangents], check=True)
        self.check_same(analytic, found, "on non-contiguous memory")

    def check_backward(self, analytic: dict[int, Any], cotangents: Sequence[np.ndarray]) -> None:
        r"""``backward`` fills ``grad`` with what ``grad`` gave, in memory of its own."""
        tensors = self.tensors(self.point, self.wanted)
        pairs = [(y, u) for y, u in zip(self.call(tensors), cotangents) if y.requires_grad]
        if not pairs:
            return
        seeds = [Tensor(to_device(u, device_of(y.data))) for y, u in pairs]
        autograd.backward([y for y, _ in pairs], seeds)
        leaves = [tensors[i].grad for i in self.wanted]
        self.check_form(tensors, self.wanted, leaves, seeds)
        found = {i: None if g is None else to_numpy(g.data) for i, g in zip(self.wanted, leaves)}
        self.check_same(analytic, found, "that backward() accumulated")

    # --------------------------------------------------------------------------- higher order
    def derivative(self, order: int) -> _Check:
        r"""The check of the map (inputs, cotangents) -> gradients, differentiable by the engine."""
        inner, n = self, len(self.inputs)
        plain = self.gradients(self.tensors(self.point, self.wanted), self.used_cotangents)

        def with_none(*arguments: Any) -> tuple[Tensor | None, ...]:
            tensors, seeds = list(arguments[:n]), arguments[n:]
            for i in inner.wanted:
                if not tensors[i].requires_grad:  # a constant of the outer check
                    tensors[i] = tensors[i].detach().requires_grad_()
            outputs = inner.call(tensors)
            pairs = [(y, u) for y, u in zip(outputs, seeds, strict=True) if y.requires_grad]
            if not pairs:
                return (None,) * len(inner.wanted)
            return autograd.grad(
                [y for y, _ in pairs],
                [tensors[i] for i in inner.wanted],
                [u for _, u in pairs],
                create_graph=True,
                allow_unused=True,
            )

        def gradient(*arguments: Any) -> tuple[Tensor, ...]:
            return tuple([g for g in with_none(*arguments) if g is not None])

        device = device_of(self.inputs[self.wanted[0]].data)
        seeds = [
            Tensor(to_device(u.astype(np.float64), device), requires_grad=True)
            for u in self.used_cotangents
        ]
        names = list(self.names[:n]) + [""] * (n - len(self.names))
        names = [name or f"argument {k}" for k, name in enumerate(names)]
        names += [f"cotangent of output {k}" for k in range(len(seeds))]
        values = self.tensors(self.point, self.wanted)
        check = _Check(
            gradient, (*values, *seeds), names,
            self.eps, self.rtol, self.atol, self.method, self.rng, order,
        )  # fmt: skip
        rules = {
            i: None if g is None else to_numpy(g.data)
            for i, g in zip(self.wanted, with_none(*values, *seeds), strict=True)
        }
        self.check_same(plain, rules, "with create_graph=True")
        return check
