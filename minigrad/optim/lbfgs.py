r"""L-BFGS: a quasi-Newton method for smooth losses that do not change from call to call.

Belongs here: the optimiser and its line search. Does not belong here: methods that take one
gradient a step (the other files), which is what noisy mini-batch losses need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..autograd import enable_grad
from ..backend import get_array_module, is_array, to_device
from ..tensor import Tensor
from .flat import FlatParameters
from .optimizer import Optimizer

__all__ = ["LBFGS"]

# The state as PyTorch names it: counts, arrays, lists of arrays, lists of numbers, numbers.
_COUNTS = ("func_evals", "n_iter")
_ARRAYS = ("d", "prev_flat_grad")
_HISTORIES = ("old_dirs", "old_stps")
_NUMBERS = ("t", "H_diag", "prev_loss")


class LBFGS(Optimizer):
    r"""Limited-memory BFGS: Newton's method with the inverse Hessian :math:`H` that the last
    ``history_size`` steps :math:`s_k` and changes of gradient :math:`y_k` imply.

    .. math::
        \theta \leftarrow \theta + t d, \qquad d = -H g, \qquad
        H_{k+1} = (I - \rho_k s_k y_k^T) H_k (I - \rho_k y_k s_k^T) + \rho_k s_k s_k^T, \quad
        \rho_k = 1 / y_k^T s_k

    One call of :meth:`step` makes up to ``max_iter`` such iterations, and evaluates the closure
    about as often. The closure must give the same loss for the same parameters: no fresh batch, no
    dropout. The line search looks at numbers, so every iteration waits for the device.

    Args:
        params: tensors of one dtype and device, in one group.
        lr: step length :math:`t`; with a line search, the first one that is tried.
        max_iter: iterations of one call of :meth:`step`.
        max_eval: evaluations of the closure in one call; 5/4 of ``max_iter`` by default.
        tolerance_grad: stop when no element of the gradient is larger.
        tolerance_change: stop when neither parameters nor loss change by more.
        history_size: how many pairs :math:`(s, y)` to keep.
        line_search_fn: None, or ``"strong_wolfe"`` for steps that satisfy the strong Wolfe
            conditions (sufficient decrease with 1e-4, curvature with 0.9).

    Reference: Nocedal and Wright, Numerical optimization, 2006, algorithms 7.4, 7.5, 3.5 and 3.6.

    >>> import minigrad as mg
    >>> x = mg.tensor([-1.0, 2.0], requires_grad=True)
    >>> optimizer = LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     loss = optimizer.step(closure)
    >>> [round(value, 3) for value in x.tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        self._memory: dict[str, Any] = {}
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "tolerance_grad", "tolerance_change")
        for name in ("max_iter", "max_eval", "history_size"):
            value = group[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"LBFGS: expected a positive integer as {name}, got {value!r}")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                "LBFGS: expected None or 'strong_wolfe' as line_search_fn, "
                f"got {group['line_search_fn']!r}"
            )

    def _prepare(self, group: Any, others: list[dict[str, Any]]) -> dict[str, Any]:
        if others:
            raise ValueError("LBFGS: expected one group of parameters, got more")
        result = super()._prepare(group, others)
        kinds = sorted({(str(p.dtype), str(p.device)) for p in result["params"]})
        if len(kinds) > 1:
            raise ValueError(f"LBFGS: expected parameters of one dtype and device, got {kinds}")
        return result

    # -------------------------------------------------------------------------------------- step
    def _flat_now(self) -> FlatParameters:
        r"""The flat buffer, made again if the parameters were replaced; the history moves along."""
        (flat,) = self._flat[0]
        if not flat.in_place():
            flats = self._flatten(self.param_groups[0])
            if len(flats) != 1 or flats[0].shapes != flat.shapes:
                raise ValueError(
                    "LBFGS: the parameters changed their shapes, or are of several dtypes or "
                    "devices now; make a new optimizer"
                )
            self._flat[0] = flats
            (flat,) = flats
            device = flat.params[0].device

            def moved(array: Any) -> Any:
                return to_device(array, device).astype(flat.dtype)

            memory = self._memory
            memory.update({n: moved(memory[n]) for n in _ARRAYS if n in memory})
            memory.update({n: [moved(a) for a in memory[n]] for n in _HISTORIES if n in memory})
        return flat

    def _gradient(self, flat: FlatParameters) -> Any:
        r"""All gradients in a new flat array; zeros for parameters that have none."""
        flat.grad = get_array_module(flat.flat).zeros_like(flat.flat)
        flat.gather("LBFGS")
        gradient, flat.grad = flat.grad, None
        return gradient

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        r"""Minimise for up to ``max_iter`` iterations.

        Args:
            closure: clears the gradients, computes the loss and its gradients, returns the loss.

        Returns:
            The loss before the first iteration.
        """
        if closure is None:
            raise TypeError("LBFGS: step expected a closure that computes the loss, got None")
        group, memory = self.param_groups[0], self._memory
        flat = self._flat_now()
        xp = get_array_module(flat.flat)

        def evaluate() -> tuple[float, Any]:
            with enable_grad():
                loss = float(closure())
            if not flat.in_place():
                raise RuntimeError("LBFGS: the closure replaced the data of a parameter")
            return loss, self._gradient(flat)

        def move(position: Any) -> None:
            flat.flat[...] = position
            for p in flat.params:
                p._version[0] += 1

        def at(t: float) -> tuple[float, Any]:
            r"""Loss and gradient at distance t in the present direction."""
            move(start + t * direction)
            return evaluate()

        with enable_grad():
            original = closure()
        loss = float(original)
        flat = self._flat_now()
        gradient = self._gradient(flat)
        evaluations = 1
        memory["func_evals"] = memory.get("func_evals", 0) + 1
        memory.setdefault("n_iter", 0)
        if not flat.flat.size or float(abs(gradient).max()) <= group["tolerance_grad"]:
            return original
        for iteration in range(1, group["max_iter"] + 1):
            memory["n_iter"] += 1
            if memory["n_iter"] == 1:
                memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0, d=-gradient)
            else:
                _remember(memory, gradient, group["history_size"])
                memory["d"] = _direction(memory, gradient)
            direction = memory["d"]
            memory["prev_flat_grad"] = gradient
            memory["prev_loss"] = previous = loss
            t = group["lr"]
            if memory["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(abs(gradient).sum()))
            slope = float(xp.dot(gradient, direction))
            if slope > -group["tolerance_change"]:
                memory["t"] = t
                break
            start, made = flat.flat.copy(), 0
            if group["line_search_fn"] is not None:
                most = group["max_eval"] - evaluations
                loss, gradient, t, made = _strong_wolfe(
                    at, t, direction, loss, gradient, slope, most
                )
                move(start + t * direction)
            else:
                move(start + t * direction)
                if iteration != group["max_iter"]:
                    loss, gradient = evaluate()
                    made = 1
            memory["t"] = t
            evaluations += made
            memory["func_evals"] += made
            if (
                iteration == group["max_iter"]
                or evaluations >= group["max_eval"]
                or float(abs(gradient).max()) <= group["tolerance_grad"]
                or float(abs(direction * t).max()) <= group["tolerance_change"]
                or abs(loss - previous) < group["tolerance_change"]
            ):
                break
        return original

    # ------------------------------------------------------------------------------------- state
    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        r"""The whole state, under the first parameter."""
        if not self._memory:
            return {}
        entry = dict(self._memory)
        for name in _ARRAYS:
            if name in entry:
                entry[name] = Tensor(entry[name])
        for name in _HISTORIES:
            if name in entry:
                entry[name] = [Tensor(array) for array in entry[name]]
        if "ro" in entry:
            entry["ro"] = list(entry["ro"])
        return {self.param_groups[0]["params"][0]: entry}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = state_dict.get("state") if isinstance(state_dict, dict) else None
        if not isinstance(state, dict) or not set(state) <= {0}:
            raise ValueError("LBFGS: load_state_dict: expected the state under parameter 0")
        memory = self._read_memory(state[0]) if state.get(0) else {}
        super().load_state_dict({**state_dict, "state": {}})
        self._memory = memory

    def _read_memory(self, entry: Any) -> dict[str, Any]:
        r"""A checked copy of the saved state of the optimiser."""
        params = self.param_groups[0]["params"]
        shape, dtype = (sum(p.data.size for p in params),), params[0].dtype
        known = {*_COUNTS, *_ARRAYS, *_HISTORIES, *_NUMBERS, "ro", "al"}  # PyTorch's workspace: al
        if not isinstance(entry, dict) or not set(entry) <= known:
            got = sorted(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
            raise ValueError(f"LBFGS: load_state_dict: expected {sorted(known)}, got {got}")

        def array(value: Any) -> Any:
            value = value.data if isinstance(value, Tensor) else value
            value = value if is_array(value) else np.asarray(value)
            if value.shape != shape or value.dtype.kind != "f":
                raise ValueError(f"expected shape {shape} and floating dtype, got {value.shape}")
            return to_device(value, params[0].device).astype(dtype)  # a copy

        memory: dict[str, Any] = {}
        for name, value in entry.items():
            if value is None or name == "al":
                continue
            try:
                if name in _COUNTS:
                    memory[name] = int(value)
                elif name in _ARRAYS:
                    memory[name] = array(value)
                elif name in _HISTORIES:
                    memory[name] = [array(v) for v in value]
                elif name == "ro":
                    memory[name] = [float(v) for v in value]
                else:
                    memory[name] = float(value)
            except (TypeError, ValueError) as error:
                raise ValueError(f"LBFGS: load_state_dict: cannot read {name}: {error}") from None
        lengths = {len(memory.get(name, [])) for name in (*_HISTORIES, "ro")}
        if len(lengths) > 1:
            raise ValueError(
                "LBFGS: load_state_dict: expected old_dirs, old_stps and ro of one length"
            )
        return memory


def _remember(memory: dict[str, Any], gradient: Any, size: int) -> None:
    r"""Add the latest pair (s, y), unless its curvature y's is not clearly positive."""
    xp = get_array_module(gradient)
    y = gradient - memory["prev_flat_grad"]
    s = memory["d"] * memory["t"]
    curvature = float(xp.dot(y, s))
    if curvature <= 1e-10:
        return
    if len(memory["old_dirs"]) >= size:
        for name in (*_HISTORIES, "ro"):
            memory[name].pop(0)
    memory["old_dirs"].append(y)
    memory["old_stps"].append(s)
    memory["ro"].append(1.0 / curvature)
    memory["H_diag"] = curvature / float(xp.dot(y, y))


def _direction(memory: dict[str, Any], gradient: Any) -> Any:
    r"""-H g by the two-loop recursion."""
    xp = get_array_module(gradient)
    pairs = list(zip(memory["old_dirs"], memory["old_stps"], memory["ro"]))
    q = -gradient
    alphas = []
    for y, s, rho in reversed(pairs):
        alpha = float(xp.dot(s, q)) * rho
        q -= alpha * y
        alphas.append(alpha)
    q *= memory["H_diag"]
    for (y, s, rho), alpha in zip(pairs, reversed(alphas)):
        q += (alpha - float(xp.dot(y, q)) * rho) * s
    return q


# ----------------------------------------------------------------------------------- line search
class _Point:
    r"""A place on the line: its distance t, and the loss, gradient and slope there."""

    __slots__ = ("gradient", "loss", "slope", "t")

    def __init__(self, t: float, loss: float, gradient: Any, slope: float) -> None:
        self.t, self.loss, self.gradient, self.slope = t, loss, gradient, slope


def _cubic_minimum(a: _Point, b: _Point, low: float, high: float) -> float:
    r"""Where the cubic through two points with their slopes has its minimum, held to [low, high];
    the middle if it has none."""
    if a.t > b.t:
        a, b = b, a
    if a.t != b.t:
        d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
        square = d1 * d1 - a.slope * b.slope
        if square >= 0:
            d2 = math.sqrt(square)
            bottom = b.slope - a.slope + 2 * d2
            if bottom != 0:
                place = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / bottom)
                return min(max(place, low), high)
    return (low + high) / 2


def _strong_wolfe(
    at: Callable[[float], tuple[float, Any]],
    t: float,
    direction: Any,
    loss: float,
    gradient: Any,
    slope: float,
    most: int,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
) -> tuple[float, Any, float, int]:
    r"""A step length with :math:`f(t) \le f(0) + c_1 t f'(0)` and :math:`|f'(t)| \le c_2 |f'(0)|`,
    or the best that ``most`` evaluations found.

    Args:
        at: gives loss and gradient at a distance.
        t: the first distance to try.
        direction, loss, gradient, slope: of the line, and at its start.

    Returns:
        Loss, gradient and distance of the place, and how many evaluations it took.
    """
    xp = get_array_module(direction)
    longest = float(abs(direction).max())
    origin = previous = _Point(0.0, loss, gradient, slope)
    count = 0

    def look(distance: float) -> _Point:
        nonlocal count
        count += 1
        value, vector = at(distance)
        return _Point(distance, value, vector, float(xp.dot(vector, direction)))

    def too_high(point: _Point) -> bool:
        return point.loss > loss + c1 * point.t * slope

    # Go on until two points have a good place between them.
    new, tries = look(t), 0
    bracket: list[_Point] | None = None
    while tries < most:
        if too_high(new) or (tries > 1 and new.loss >= previous.loss):
            bracket = [previous, new]
            break
        if abs(new.slope) <= -c2 * slope:
            return new.loss, new.gradient, new.t, count
        if new.slope >= 0:
            bracket = [previous, new]
            break
        nearest, farthest = new.t + 0.01 * (new.t - previous.t), new.t * 10
        t = _cubic_minimum(previous, new, nearest, farthest)
        previous, new = new, look(t)
        tries += 1
    if bracket is None:
        bracket = [origin, new]

    # Narrow the bracket; low and high are its ends by their loss.
    stuck = False
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    while tries < most:
        left, right = sorted((bracket[0].t, bracket[1].t))
        if (right - left) * longest < tolerance_change:
            break
        t = _cubic_minimum(bracket[0], bracket[1], left, right)
        # Too near an end, twice in a row or at the end itself: take a tenth of the way instead.
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = look(t)
        tries += 1
        if too_high(new) or new.loss >= bracket[low].loss:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        done = abs(new.slope) <= -c2 * slope
        if not done and new.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
        if done:
            break
    best = bracket[low]
    return best.loss, best.gradient, best.t, count
