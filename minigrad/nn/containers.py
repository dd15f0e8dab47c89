r"""Modules that hold other modules: :class:`Sequential`, lists and dictionaries.

Belongs here: containers. Does not belong here: anything that computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from .module import Module
from .parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterList", "Sequential"]


def _position(owner: Module, index: int, length: int) -> int:
    r"""A possibly negative ``index`` as a position."""
    position = index.__index__()
    if not -length <= position < length:
        raise IndexError(
            f"{type(owner).__name__}: index {position} is out of range for {length} entries"
        )
    return position % length


class _Row(Module):
    r"""Children called "0", "1", ... (or by given names), in order."""

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[Module]:
        d = self.__dict__
        return iter([d[name] for name in self._module_names])

    def _key(self, index: int) -> str:
        return list(self._module_names)[_position(self, index, len(self))]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._module_names)
        gone = names[index] if isinstance(index, slice) else [self._key(index)]
        self._renumber([self.__dict__[name] for name in names if name not in gone])

    def _renumber(self, modules: list[Module]) -> None:
        for name in list(self._module_names):
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def append(self, module: Module) -> Any:
        r"""Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        r"""Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        r"""Put a module before position ``index``; those behind it are renumbered."""
        if not isinstance(module, Module):
            raise TypeError(f"insert: expected a Module, got {type(module).__name__}")
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int) -> Module:
        r"""Take the module at ``index`` out."""
        module = self.__dict__[self._key(index)]
        del self[index]
        return module


class Sequential(_Row):
    r"""Modules one after the other: each gets what the one before it returned.

    Args:
        modules: modules, or one dictionary of named modules.

    >>> import minigrad as mg
    >>> net = Sequential(mg.nn.Linear(4, 3), mg.nn.Tanh(), mg.nn.Linear(3, 1))
    >>> net(mg.zeros(5, 4)).shape
    (5, 1)
    >>> net[0]
    Linear(in_features=4, out_features=3, bias=True)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(modules):
                self.add_module(str(i), module)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            names = list(self._module_names)[index]
            return type(self)({name: self.__dict__[name] for name in names})
        return self.__dict__[self._key(index)]

    def forward(self, input: Any) -> Any:
        d = self.__dict__
        for name in self._module_names:
            input = d[name](input)
        return input


class ModuleList(_Row):
    r"""A list whose modules are registered. It has no ``forward``."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self.__dict__[self._key(index)]

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __repr__(self) -> str:
        # Neighbours that print alike share a line: "(0-5): 6 x Linear(...)".
        lines: list[str] = []
        texts = [repr(module).replace("\n", "\n  ") for module in self]
        for i, text in enumerate(texts):
            if i == 0 or text != texts[i - 1]:
                first = i
            if i == len(texts) - 1 or text != texts[i + 1]:
                place = f"({first})" if i == first else f"({first}-{i})"
                count = "" if i == first else f"{i - first + 1} x "
                lines.append(f"{place}: {count}{text}")
        if not lines:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    r"""A dictionary whose modules are registered, in order of insertion. It has no ``forward``."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        if key not in self._module_names:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_names)

    def __contains__(self, key: object) -> bool:
        return key in self._module_names

    def keys(self) -> Iterable[str]:
        r"""The names."""
        return self._module_names.keys()

    def values(self) -> list[Module]:
        r"""The modules."""
        return [self.__dict__[name] for name in self._module_names]

    def items(self) -> list[tuple[str, Module]]:
        r"""Names and modules."""
        return [(name, self.__dict__[name]) for name in self._module_names]

    def update(self, modules: Mapping[str, Module]) -> None:
        r"""Add or replace modules."""
        for key, module in modules.items():
            self[key] = module

    def pop(self, key: str) -> Module:
        r"""Take the module ``key`` out."""
        module = self[key]
        del self[key]
        return module


class ParameterList(Module):
    r"""A list whose parameters are registered; a tensor or array becomes a parameter."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def __len__(self) -> int:
        return len(self._parameter_names)

    def __iter__(self) -> Iterator[Parameter]:
        return iter([self.__dict__[name] for name in self._parameter_names])

    def __getitem__(self, index: int) -> Parameter:
        return self.__dict__[str(_position(self, index, len(self)))]

    def __setitem__(self, index: int, value: Any) -> None:
        name = str(_position(self, index, len(self)))
        setattr(self, name, value if isinstance(value, Parameter) else Parameter(value))

    def append(self, value: Any) -> ParameterList:
        r"""Add a parameter at the end."""
        parameter = value if isinstance(value, Parameter) else Parameter(value)
        self.register_parameter(str(len(self)), parameter)
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        r"""Add parameters at the end."""
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return "\n".join(
            f"({i}): Parameter containing: [{p.dtype} of shape {p.shape}]"
            for i, p in enumerate(self)
        )
