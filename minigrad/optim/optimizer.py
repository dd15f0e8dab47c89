r"""The base of every optimiser: parameter groups, state dictionaries and the order of a step.

Belongs here: what all optimisers share. Does not belong here: formulas (``kernels/optim.py``),
flat memory (``flat.py``), schedules (``lr_scheduler.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..autograd import enable_grad
from ..backend import get_array_module, is_array, to_device
from ..tensor import Tensor
from .flat import FlatParameters, Run, flatten

__all__ = ["Optimizer"]


class Optimizer:
    r"""Changes parameters by the gradients in their ``grad``.

    Names and behaviour are PyTorch's, with one addition: the parameters of a group live in one
    flat buffer (see :class:`~minigrad.optim.flat.FlatParameters`), so a step costs a handful of
    vector operations however many parameters there are. When the ``data`` of a parameter is
    replaced (``module.to("cuda")``), the next step flattens again, and its state moves along.

    A parameter without a gradient is left as it is, its state and step count too.

    To write one: name the state arrays, check the hyperparameters, and update a flat slice.

    Args:
        params: tensors, or dictionaries ``{"params": tensors, "lr": ...}`` with their own
            hyperparameters, one for each group.
        defaults: the hyperparameters of groups that do not give their own.

    Raises:
        ValueError: no parameters, one of them twice, or a hyperparameter out of range.
        TypeError: something that is not a tensor, or not of floating dtype.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    counts_steps: ClassVar[bool] = True  # whether the state dictionary has "step"
    later_names: ClassVar[tuple[str, ...]] = ()  # hyperparameters that older states do not have

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self._flat: list[list[FlatParameters]] = []
        if isinstance(params, Tensor) or is_array(params):
            raise TypeError(f"{self._name}: expected an iterable of tensors, got a single tensor")
        groups = list(params)
        if not groups:
            raise ValueError(f"{self._name}: expected parameters, got an empty list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        prepared: list[dict[str, Any]] = []
        for group in groups:
            prepared.append(self._prepare(group, prepared))
        for group in prepared:
            self._add(group)

    # ------------------------------------------------------------------ what a subclass supplies
    def check(self, group: dict[str, Any]) -> None:
        r"""Raise if a hyperparameter of ``group`` is out of range."""
        raise NotImplementedError

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        r"""Change ``flat.flat[run.part]`` by ``flat.grad[run.part]``; the state of these parameters
        has seen ``run.age`` steps."""
        raise NotImplementedError

    def fills(self) -> dict[str, float]:
        r"""What state arrays hold before the first step, where that is not 0. If there are any,
        parameters have a state from the beginning."""
        return {}

    def numbers(self) -> dict[str, float]:
        r"""The numbers (besides the step) in the state of a parameter, and their first values."""
        return {}

    def ages(self, group: dict[str, Any]) -> bool:
        r"""Whether a step with these hyperparameters leaves state behind."""
        return True

    # ------------------------------------------------------------------------------------ groups
    @property
    def _name(self) -> str:
        return type(self).__name__

    def _nonnegative(self, group: dict[str, Any], *names: str) -> None:
        for name in names:
            value = group[name]
            if not isinstance(value, float | int | np.number) or isinstance(value, bool):
                raise TypeError(f"{self._name}: expected a number as {name}, got {value!r}")
            if not 0 <= value < float("inf"):
                raise ValueError(f"{self._name}: expected {name} >= 0, got {value!r}")

    def _fractions(self, group: dict[str, Any]) -> None:
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"{self._name}: expected two numbers as betas, got {betas!r}")
        for beta in betas:
            if not 0 <= beta < 1:
                raise ValueError(f"{self._name}: expected 0 <= beta < 1, got betas={betas!r}")

    def _prepare(self, group: Any, others: list[dict[str, Any]]) -> dict[str, Any]:
        r"""A checked copy of ``group`` with all hyperparameters. ``others`` exist already."""
        if not isinstance(group, dict) or "params" not in group:
            kind = type(group).__name__
            raise TypeError(
                f"{self._name}: expected dictionaries with 'params' as groups, got {kind}"
            )
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        seen = {id(p) for other in others for p in other["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{self._name}: expected tensors as parameters, got {type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"{self._name}: expected leaf tensors, got the result of an op, "
                    f"of shape {p.shape}"
                )
            if p.dtype.kind != "f":
                raise TypeError(
                    f"{self._name}: expected parameters of floating dtype, got {p.dtype}"
                )
            if id(p) in seen:
                raise ValueError(
                    f"{self._name}: a parameter of shape {p.shape} was given more than once"
                )
            seen.add(id(p))
        if not params:
            raise ValueError(f"{self._name}: expected parameters, got an empty list")
        result = {**self.defaults, **group, "params": params}
        self.check(result)
        return result

    def _add(self, group: dict[str, Any]) -> None:
        self.param_groups.append(group)
        self._flat.append(self._flatten(group))

    def _flatten(
        self, group: dict[str, Any], old: Sequence[FlatParameters] = ()
    ) -> list[FlatParameters]:
        return flatten(self._name, group["params"], old, self.fills(), self.numbers())

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        r"""Optimise more parameters: a dictionary with ``params`` and, where they differ from the
        defaults, hyperparameters."""
        self._add(self._prepare(param_group, self.param_groups))

    # -------------------------------------------------------------------------------------- step
    def zero_grad(self, set_to_none: bool = True) -> None:
        r"""Forget the gradients of all parameters, or overwrite them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = Tensor(get_array_module(p.grad.data).zeros_like(p.grad.data))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        r"""Change every parameter that has a gradient, once.

        Args:
            closure: computes the loss and its gradients anew; called first, its value returned.

        Raises:
            ValueError, TypeError, RuntimeError: a gradient does not fit its parameter in shape,
                dtype or device; then no parameter has been changed.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        work = []
        for k, group in enumerate(self.param_groups):
            for flat in self._flat[k]:
                if not flat.in_place():
                    self._flat[k] = self._flatten(group, self._flat[k])
                    break
            for flat in self._flat[k]:
                work.append((group, flat, flat.gather(self._name)))
        for group, flat, runs in work:
            aged = self.ages(group)
            for run in runs:
                self.update(group, flat, run)
                for p in flat.params[run.first : run.stop]:
                    # A graph that still needs the old values must notice that they are gone.
                    p._version[0] += 1
                if aged:
                    flat.aged(run)
        return loss

    # ------------------------------------------------------------------------------------- state
    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        r"""The state of every parameter that has some. Its tensors are the optimiser's own
        memory: writing into them changes what the next step does."""
        state = {}
        fills = self.fills()
        for flats in self._flat:
            for flat in flats:
                for name in fills:
                    flat.buffer(name)
                for i, p in enumerate(flat.params):
                    if flat.ages[i] > 0 or fills:
                        entry: dict[str, Any] = {"step": flat.ages[i]} if self.counts_steps else {}
                        for name, column in flat.numbers.items():
                            entry[name] = column[i]
                        for name, array in flat.state.items():
                            entry[name] = Tensor(flat.view(array, i))
                        state[p] = entry
        return state

    def state_dict(self) -> dict[str, Any]:
        r"""State and hyperparameters in PyTorch's structure.

        ``{"state": {i: {"step": number, name: tensor}}, "param_groups": [{..., "params": [i]}]}``,
        where ``i`` numbers the parameters over all groups. The tensors share the optimiser's
        memory; copy them to keep them.
        """
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            positions = [index.setdefault(id(p), len(index)) for p in group["params"]]
            groups.append({**group, "params": positions})
        state = {index[id(p)]: entry for p, entry in self.state.items()}
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        r"""Continue from a :meth:`state_dict`, ours or PyTorch's (with arrays for its tensors).

        Raises:
            ValueError: it is not one, or is of another optimiser, or of other parameters. The
                message lists everything that is wrong, and nothing has been changed.
        """
        errors: list[str] = []
        try:
            groups, state = list(state_dict["param_groups"]), dict(state_dict["state"])
            sizes = [len(group["params"]) for group in groups]
            positions = [i for group in groups for i in group["params"]]
        except (TypeError, KeyError, ValueError):
            raise ValueError(
                f"{self._name}: load_state_dict: expected 'state' and 'param_groups' as "
                "state_dict() returns them"
            ) from None
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise ValueError(
                f"{self._name}: load_state_dict: expected groups of {expected} parameters, "
                f"got {sizes}"
            )
        params = [p for group in self.param_groups for p in group["params"]]
        by_number = dict(zip(positions, params))
        new_groups = []
        for k, (ours, theirs) in enumerate(zip(self.param_groups, groups)):
            later = {name: ours[name] for name in self.later_names if name not in theirs}
            theirs = {**theirs, **later}
            missing = [name for name in ours if name not in theirs and name in self.defaults]
            if missing:
                errors.append(f"group {k}: missing {', '.join(missing)}")
                continue
            merged = {**theirs, "params": ours["params"]}
            for name, value in self.defaults.items():
                if isinstance(value, tuple) and isinstance(merged[name], list):
                    merged[name] = tuple(merged[name])  # JSON has no tuples
            try:
                self.check(merged)
            except (ValueError, TypeError) as error:
                errors.append(f"group {k}: {error}")
            new_groups.append(merged)
        loaded: list[tuple[Tensor, int, dict[str, Any], dict[str, float]]] = []
        for number, entry in state.items():
            if number not in by_number:
                errors.append(f"state of parameter {number!r}: there is no such parameter")
                continue
            self._read_state(number, entry, by_number[number], loaded, errors)
        if errors:
            raise ValueError(f"{self._name}: load_state_dict: " + "; ".join(errors))

        for ours, merged in zip(self.param_groups, new_groups):
            ours.clear()
            ours.update(merged)
        self._flat = [self._flatten(group) for group in self.param_groups]
        place = {
            id(p): (flat, i)
            for flats in self._flat
            for flat in flats
            for i, p in enumerate(flat.params)
        }
        for p, age, arrays, numbers in loaded:
            flat, i = place[id(p)]
            flat.ages[i] = age
            for name, value in numbers.items():
                flat.numbers[name][i] = value
            for name, array in arrays.items():
                flat.view(flat.buffer(name), i)[...] = array

    def _read_state(
        self,
        number: Any,
        entry: Any,
        p: Tensor,
        loaded: list[tuple[Tensor, int, dict[str, Any], dict[str, float]]],
        errors: list[str],
    ) -> None:
        r"""Check the saved state of one parameter; append to ``loaded``, or to ``errors``."""
        scalars = self.numbers()
        known = {*self.state_names, *scalars, *(("step",) if self.counts_steps else ())}
        if not isinstance(entry, dict) or not set(entry) <= known:
            got = sorted(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
            errors.append(f"state of parameter {number}: expected {sorted(known)}, got {got}")
            return
        arrays: dict[str, Any] = {}
        for name, value in entry.items():
            if name == "step" or name in scalars or value is None:
                continue
            array = value.data if isinstance(value, Tensor) else value
            if not is_array(array):
                array = np.asarray(array)
            if tuple(array.shape) != p.shape or array.dtype.kind != "f":
                errors.append(
                    f"state of parameter {number}: expected {name} of shape {p.shape} and floating "
                    f"dtype, got {tuple(array.shape)} and {array.dtype}"
                )
                return
            arrays[name] = to_device(array, p.device)
        age = 1 if arrays else 0
        if self.counts_steps and entry:
            try:
                age = int(entry["step"])
                if age < 0 or age != float(entry["step"]):
                    raise ValueError
            except (KeyError, TypeError, ValueError):
                errors.append(
                    f"state of parameter {number}: expected a whole number as step, "
                    f"got {entry.get('step')!r}"
                )
                return
        numbers: dict[str, float] = {}
        for name in scalars if entry else ():
            try:
                numbers[name] = float(entry[name])
            except (KeyError, TypeError, ValueError):
                errors.append(
                    f"state of parameter {number}: expected a number as {name}, "
                    f"got {entry.get(name)!r}"
                )
                return
        loaded.append((p, age, arrays, numbers))

    # ------------------------------------------------------------------------------------- misc
    def __getstate__(self) -> dict[str, Any]:
        # Views do not survive copying: a copy flattens its own parameters again.
        return {
            "defaults": self.defaults,
            "param_groups": self.param_groups,
            "saved": self.state_dict(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.defaults = state["defaults"]
        self.param_groups = state["param_groups"]
        self._flat = []
        self.load_state_dict(state["saved"])

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])
