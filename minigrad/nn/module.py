r"""The base of every layer and network.

Belongs here: keeping track of parameters, buffers and child modules, and what follows from that:
moving, saving, loading, printing, hooks. Does not belong here: layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..backend import Device, get_array_module, is_array, to_device
from ..tensor import RemovableHandle, Tensor
from .parameter import Parameter

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")


class IncompatibleKeys(NamedTuple):
    r"""What ``load_state_dict(strict=False)`` left out on either side."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class Module:
    r"""A function with parameters. Subclasses make their parts in ``__init__`` (after
    ``super().__init__()``) and compute in ``forward``.

    Assigning a :class:`Parameter` or a :class:`Module` to an attribute registers it. Names,
    order and layouts in :meth:`state_dict` are PyTorch's.

    Attributes:
        training: True after :meth:`train`, False after :meth:`eval`; dropout and batch norm
            behave accordingly.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.out = nn.Linear(8, 2)
    ...
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x).relu())
    >>> net = Net()
    >>> net(mg.zeros(3, 4)).shape
    (3, 2)
    >>> list(net.state_dict())
    ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']
    """

    training: bool

    # The values live in __dict__ like any attribute, so that reading one costs nothing extra;
    # these say, in order, which of them are what.
    _parameter_names: dict[str, None]
    _buffer_names: dict[str, bool]  # whether it is saved
    _module_names: dict[str, None]
    _forward_pre_hooks: list[Callable[..., Any]]
    _forward_hooks: list[Callable[..., Any]]

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameter_names={},
            _buffer_names={},
            _module_names={},
            _forward_pre_hooks=[],
            _forward_hooks=[],
        )

    # ----------------------------------------------------------------------------------- calling
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        r"""What the module computes. Call the module itself, which also runs the hooks."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._forward_pre_hooks or self._forward_hooks:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in tuple(self._forward_pre_hooks):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks):
            changed = hook(self, args, result)
            if changed is not None:
                result = changed
        return result

    def register_forward_pre_hook(
        self, hook: Callable[[Module, tuple[Any, ...]], Any]
    ) -> RemovableHandle:
        r"""Call ``hook(module, args)`` before ``forward``; what it returns, if anything, takes the
        place of the positional arguments."""
        self._forward_pre_hooks.append(hook)
        return RemovableHandle(self._forward_pre_hooks, hook)

    def register_forward_hook(
        self, hook: Callable[[Module, tuple[Any, ...], Any], Any]
    ) -> RemovableHandle:
        r"""Call ``hook(module, args, output)`` after ``forward``; what it returns, if anything,
        takes the place of the output."""
        self._forward_hooks.append(hook)
        return RemovableHandle(self._forward_hooks, hook)

    # -------------------------------------------------------------------------------- attributes
    def __setattr__(self, name: str, value: Any) -> None:
        d = self.__dict__
        parameters = d.get("_parameter_names")
        if isinstance(value, Parameter | Module):
            if parameters is None:
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before assigning {name!r}"
                )
            names = parameters if isinstance(value, Parameter) else d["_module_names"]
            if name not in names:
                self._forget(name)
                names[name] = None
        elif value is not None and parameters is not None:
            kind = type(value).__name__
            if name in parameters:
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {kind} as parameter {name!r}; expected "
                    "a Parameter or None"
                )
            if name in d["_module_names"]:
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {kind} as child module {name!r}; "
                    "expected a Module or None"
                )
            if name in d["_buffer_names"] and not isinstance(value, Tensor):
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {kind} as buffer {name!r}; expected a "
                    "Tensor or None"
                )
        object.__setattr__(self, name, value)

    def _forget(self, name: str) -> None:
        self._parameter_names.pop(name, None)
        self._buffer_names.pop(name, None)
        self._module_names.pop(name, None)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget(name)

    def __getattr__(self, name: str) -> Any:
        # Only called when the attribute does not exist.
        d = self.__dict__
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        if not name.startswith("__"):
            if "_parameter_names" not in d:
                text += "; was super().__init__() called?"
            else:
                import difflib  # only needed here, and slow to import

                close = difflib.get_close_matches(name, [n for n in d if n[0] != "_"], 1)
                text += f"; did you mean {close[0]!r}?" if close else ""
        raise AttributeError(text)

    def _check_name(self, what: str, name: Any, names: Mapping[str, Any]) -> None:
        if "_parameter_names" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before adding {name!r}"
            )
        if not isinstance(name, str):
            raise TypeError(f"{what}: expected a string as name, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"{what}: expected a name without dots, got {name!r}")
        if name not in names and hasattr(self, name):
            raise KeyError(f"{what}: attribute {name!r} exists already")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        r"""Add a parameter under ``name``. None reserves the place: ``register_parameter("bias",
        None)`` is how a layer says that it has no bias."""
        self._check_name("register_parameter", name, self._parameter_names)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: expected a Parameter or None as {name!r}, "
                f"got {type(param).__name__}"
            )
        self._parameter_names[name] = None
        self.__dict__[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        r"""Add a tensor that is part of the module's state but is not learned, such as running
        statistics. It moves with the module, and is saved if ``persistent``."""
        self._check_name("register_buffer", name, self._buffer_names)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: expected a Tensor or None as {name!r}, "
                f"got {type(tensor).__name__}"
            )
        self._buffer_names[name] = persistent
        self.__dict__[name] = tensor

    def add_module(self, name: str, module: Module | None) -> None:
        r"""Add a child module under ``name``, which need not be an identifier."""
        self._check_name("add_module", name, self._module_names)
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"add_module: expected a Module or None as {name!r}, got {type(module).__name__}"
            )
        self._module_names[name] = None
        self.__dict__[name] = module

    register_module = add_module

    # ------------------------------------------------------------------------------- enumeration
    def named_children(self) -> Iterator[tuple[str, Module]]:
        r"""The direct children with their names, each once."""
        seen: set[int] = set()
        for name in self._module_names:
            child = self.__dict__[name]
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        r"""The direct children."""
        for _, child in self.named_children():
            yield child

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        r"""This module, its children, theirs, and so on, with dotted names."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name in self._module_names:
            child = self.__dict__[name]
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        r"""This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def _named_tensors(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name in module.__dict__[kind]:
                tensor = module.__dict__[name]
                if tensor is None or id(tensor) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        r"""All parameters with dotted names; a shared one once, under its first name."""
        return self._named_tensors("_parameter_names", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        r"""All parameters, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        r"""All buffers, saved or not, with dotted names."""
        return self._named_tensors("_buffer_names", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        r"""All buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        r"""The module with the dotted name ``target``; this one for an empty string."""
        module = self
        for name in target.split(".") if target else ():
            if name not in module._module_names or module.__dict__[name] is None:
                raise AttributeError(
                    f"get_submodule: {type(module).__name__} has no child {name!r} "
                    f"(looking for {target!r})"
                )
            module = module.__dict__[name]
        return module

    def get_parameter(self, target: str) -> Parameter:
        r"""The parameter with the dotted name ``target``."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module._parameter_names:
            raise AttributeError(
                f"get_parameter: {type(module).__name__} has no parameter {name!r} "
                f"(looking for {target!r})"
            )
        return module.__dict__[name]

    # ------------------------------------------------------------------------------ all at once
    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        r"""Call ``fn`` on every module below this one, then on this one.

        >>> from minigrad import nn
        >>> def start_small(module):
        ...     if isinstance(module, nn.Linear):
        ...         nn.init.normal_(module.weight, std=0.01)
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).apply(start_small)
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        r"""Switch this module and all below it to training mode (or, with False, out of it)."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: expected True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        r"""Switch to evaluation mode: dropout off, batch norm by its running statistics."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        r"""Set whether the parameters require gradients; False freezes the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        r"""Forget the gradients of all parameters, or replace them by zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                array = parameter.grad.data
                parameter.grad = Tensor(get_array_module(array).zeros_like(array))

    def to(self: Self, *args: Any, device: Any = None, dtype: Any = None) -> Self:
        r"""Move parameters and buffers to a device, and those of floating dtype to a dtype:
        ``to("cuda")``, ``to(minigrad.float64)``, ``to("cuda", minigrad.float16)``.

        The tensors stay the same objects, so an optimiser that holds them goes on. If anything
        cannot be moved, nothing is.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, str | Device) and not _names_dtype(arg):
                device = arg
            elif arg is not None:
                dtype = arg
        if device is not None:
            device = Device(device)
        if dtype is not None:
            dtype = np.dtype(dtype)
            if dtype.kind != "f":
                raise TypeError(f"to: expected a floating dtype for a module, got {dtype}")
        tensors: dict[int, Tensor] = {}
        for tensor in (*self.parameters(), *self.buffers()):
            tensors[id(tensor)] = tensor
            if tensor.grad is not None:
                tensors[id(tensor.grad)] = tensor.grad
        moved = []
        for tensor in tensors.values():
            array = tensor.data
            if dtype is not None and array.dtype.kind == "f" and array.dtype != dtype:
                array = array.astype(dtype)
            if device is not None:
                array = to_device(array, device)
            moved.append(array)
        for tensor, array in zip(tensors.values(), moved):
            if array is not tensor.data:
                tensor.data = array
        return self

    def cpu(self: Self) -> Self:
        r"""Move to the host."""
        return self.to("cpu")

    def cuda(self: Self, index: int | None = None) -> Self:
        r"""Move to the GPU, or to GPU ``index``."""
        return self.to("cuda" if index is None else f"cuda:{index}")

    def float(self: Self) -> Self:
        return self.to(np.float32)

    def double(self: Self) -> Self:
        return self.to(np.float64)

    def half(self: Self) -> Self:
        return self.to(np.float16)

    # ------------------------------------------------------------------------------------- state
    def _state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        r"""Parameters, then saved buffers, then the children's: PyTorch's order. A shared tensor
        comes under every one of its names."""
        d = self.__dict__
        for name in self._parameter_names:
            if d[name] is not None:
                yield prefix + name, d[name]
        for name, persistent in self._buffer_names.items():
            if persistent and d[name] is not None:
                yield prefix + name, d[name]
        for name in self._module_names:
            if d[name] is not None:
                yield from d[name]._state(f"{prefix}{name}.")

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        r"""All parameters and persistent buffers by dotted name, detached. They share the
        module's memory; ``clone()`` them to keep them while training goes on."""
        return {name: tensor.detach() for name, tensor in self._state(prefix)}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        r"""Copy values into the parameters and buffers, in place.

        Args:
            state_dict: tensors or arrays by dotted name; PyTorch's fits. Values are converted to
                this module's floating dtypes and devices.
            strict: whether the names must be the same. Shapes must fit in any case.

        Returns:
            The names that only one side has (both lists are empty if ``strict``).

        Raises:
            ValueError: names are missing or unexpected, or shapes or kinds of dtype differ. The
                message lists all of them, and nothing has been changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: expected a dictionary, got {type(state_dict).__name__}"
            )
        own = dict(self._state())
        # Batch norm's counters may be missing, as in PyTorch: states from before it had them fit.
        missing = [
            name
            for name in own
            if name not in state_dict and not name.endswith("num_batches_tracked")
        ]
        unexpected = [name for name in state_dict if name not in own]
        errors = []
        if strict and missing:
            errors.append("missing: " + ", ".join(missing))
        if strict and unexpected:
            errors.append("unexpected: " + ", ".join(map(str, unexpected)))
        arrays: dict[str, Any] = {}
        for name, tensor in own.items():
            if name not in state_dict:
                continue
            value = state_dict[name]
            array = value.data if isinstance(value, Tensor) else value
            if not is_array(array) and hasattr(array, "__array__"):
                array = np.asarray(array)  # a tensor of PyTorch, say
            if not is_array(array):
                errors.append(f"{name}: expected a tensor or an array, got {type(value).__name__}")
            elif tuple(array.shape) != tensor.shape:
                errors.append(f"{name}: expected shape {tensor.shape}, got {tuple(array.shape)}")
            elif not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
                errors.append(f"{name}: expected dtype {tensor.dtype}, got {array.dtype}")
            else:
                arrays[name] = to_device(array, tensor.device)
        if errors:
            raise ValueError(
                f"load_state_dict: this is not a state of {type(self).__name__}:\n  "
                + "\n  ".join(errors)
            )
        for name, array in arrays.items():
            own[name].data[...] = array
            own[name]._version[0] += 1
        return IncompatibleKeys(missing, unexpected)

    # ---------------------------------------------------------------------------------- printing
    def extra_repr(self) -> str:
        r"""What stands between the parentheses when the module is printed."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr().splitlines()
        lines = []
        for name in self._module_names:
            text = repr(self.__dict__[name]).replace("\n", "\n  ")
            lines.append(f"({name}): {text}")
        if not lines and len(extra) <= 1:
            return f"{self._get_name()}({''.join(extra)})"
        return f"{self._get_name()}(\n  " + "\n  ".join([*extra, *lines]) + "\n)"


def _names_dtype(name: Any) -> bool:
    try:
        return isinstance(name, str) and np.dtype(name).kind == "f"
    except TypeError:
        return False
