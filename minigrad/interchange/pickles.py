r"""Reading a pickle without unpickling it.

A pickle is a program for a small stack machine. Two of its instructions make it dangerous: one
imports any name of any module, another calls what was imported. Python's own reader imports first
and can be asked to refuse a name; here there is nothing to refuse, because nothing is imported.

Belongs here: a stack machine of our own, in which

- a *global* is looked up in a dictionary of stand-ins that the caller gives, by its two strings. It
  never touches ``sys.modules``. A name that is not in the dictionary is an error that names it;
- *calling* works on :class:`Call` stand-ins alone, each a function of this package that checks its
  arguments. Whatever else lies on the stack (a type marker, a string, a list) cannot be called;
- *building* (which in Python sets attributes, or calls ``__setstate__``) is allowed on
  dictionaries, where it keeps nothing, and on :class:`Buildable` stand-ins, which check what they
  are given;
- *creating objects*, extension codes, instances and whatever else PyTorch does not write are
  unknown instructions. An error names them;
- lists and dictionaries are the machine's own, and keys are numbers and strings, so no method of
  anything foreign is ever run;
- there is no recursion and no loop but the one over the bytes; no instruction allocates more than
  it takes from the file or from the stack, and calls and builds together may not look at more than
  a few times what was read so far: a pickle cannot take more memory than its own length calls for.

The instructions are decoded by :mod:`pickletools` of the standard library, which only parses.

Does not belong here: what the stand-ins mean (``torch_file.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .files import CheckpointError

__all__ = ["Buildable", "Call", "read_pickle"]

_KEYS = (str, int, float, bytes, type(None))


class Call:
    r"""A stand-in that a pickle may call: ``function(*arguments)``, or an error that names it."""

    __slots__ = ("function", "name")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function


class Buildable:
    r"""A stand-in for an object that a pickle makes first and fills afterwards."""

    name = "an object"

    def build(self, state: tuple[Any, ...]) -> None:
        r"""Take in ``state``, or raise an error."""
        raise NotImplementedError


class _Mark:
    r"""What the instruction MARK puts on the stack."""


_MARK = _Mark()

# Instructions that put their argument, or a constant, on the stack.
_ARGUMENT = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


def read_pickle(
    file: Any,
    allowed: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
    source: str = "the file",
) -> Any:
    r"""The object that a pickle describes.

    Args:
        file: a binary file at the pickle's first byte; read up to its last.
        allowed: full name of a global, such as ``"torch.Size"`` -> what stands for it: a
            :class:`Call`, or a value that is put on the stack.
        persistent: the object with a persistent id; without it they are an error.
        source: what to call the file in errors.

    Raises:
        CheckpointError: a global that is not allowed, an instruction that is not known, or a
            damaged pickle.
    """
    machine = _Machine(allowed, persistent, source)
    try:
        return machine.run(file)
    except CheckpointError:
        raise
    except (ArithmeticError, EOFError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"load: {source} is damaged: its pickle cannot be read ({type(error).__name__}: "
            f"{error})"
        ) from None


class _Machine:
    def __init__(
        self,
        allowed: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None,
        source: str,
    ) -> None:
        self.allowed, self.persistent, self.source = allowed, persistent, source
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.position = 0  # in the file
        self.work = 0  # elements that calls have looked at

    def run(self, file: Any) -> Any:
        import pickletools

        for code, argument, position in pickletools.genops(file):
            name, self.position = code.name, position or 0
            if name in _ARGUMENT:
                self.stack.append(argument)
            elif name in _CONSTANT:
                self.stack.append(_CONSTANT[name])
            elif name in _TUPLES:
                self.stack.append(tuple(self.take(_TUPLES[name])))
            elif name == "STOP":
                (result,) = self.take(1)
                if self.stack:
                    raise IndexError("more than one value at the end")
                return result
            elif name not in _IGNORED:
                method = getattr(self, f"do_{name.lower()}", None)
                if method is None:
                    raise CheckpointError(
                        f"load: {self.source}: its pickle uses the instruction {name}, which files "
                        "of weights do not need; nothing was run"
                    )
                method(argument)
        raise EOFError("no end")  # not reached: genops says so itself

    # -------------------------------------------------------------------------------- the stack
    def take(self, count: int) -> list[Any]:
        r"""The last ``count`` values, off the stack."""
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        taken = self.stack[-count:]
        del self.stack[-count:]
        if any(value is _MARK for value in taken):
            raise IndexError("a mark where a value should be")
        return taken

    def since_mark(self) -> list[Any]:
        r"""The values above the last mark, off the stack, and the mark too."""
        stack, k = self.stack, len(self.stack) - 1
        while k >= 0 and stack[k] is not _MARK:
            k -= 1
        if k < 0:
            raise IndexError("no mark on the stack")
        taken = stack[k + 1 :]
        del stack[k:]
        return taken

    def top(self, kind: type) -> Any:
        value = self.stack[-1]
        if type(value) is not kind:
            raise TypeError(f"expected a {kind.__name__} on the stack, got {type(value).__name__}")
        return value

    def do_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def do_pop(self, _: Any) -> None:
        self.stack.pop()

    def do_pop_mark(self, _: Any) -> None:
        self.since_mark()

    # ------------------------------------------------------------------------------------- memo
    def do_binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    do_long_binput = do_binput

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    do_long_binget = do_binget

    # ------------------------------------------------------------------------------- containers
    def do_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def do_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.since_mark()))

    def do_list(self, _: Any) -> None:
        self.stack.append(self.since_mark())

    def do_dict(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    def do_append(self, _: Any) -> None:
        (value,) = self.take(1)
        self.top(list).append(value)

    def do_appends(self, _: Any) -> None:
        values = self.since_mark()
        self.top(list).extend(values)

    def do_setitem(self, _: Any) -> None:
        self.set_items(self.take(2))

    def do_setitems(self, _: Any) -> None:
        self.set_items(self.since_mark())

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise TypeError(f"expected numbers and strings as keys, got {type(key).__name__}")
            target[key] = value

    # ---------------------------------------------------------------------- names, calls, builds
    def look_up(self, name: str) -> None:
        if name not in self.allowed:
            raise CheckpointError(
                f"load: {self.source} asks for {name}, which is not a part of weights; it was "
                "refused and nothing was run. (A whole model cannot be read, only its "
                "state_dict().)"
            )
        self.stack.append(self.allowed[name])

    def do_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.look_up(f"{module}.{name}")

    def do_stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("expected strings as a global's name")
        self.look_up(f"{module}.{name}")

    def do_reduce(self, _: Any) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, Call) or not isinstance(arguments, tuple):
            raise CheckpointError(
                f"load: {self.source}: its pickle calls {_named(function)}, which is not a part of "
                "weights; it was refused and nothing was run"
            )
        self.look_at(arguments)
        try:
            self.stack.append(function.function(*arguments))
        except CheckpointError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"load: {self.source}: its {function.name} does not fit: {error}"
            ) from None

    def look_at(self, values: tuple[Any, ...]) -> None:
        r"""Count what a call or a build looks at."""
        sized = (str, bytes, list, tuple, dict)
        self.work += sum(len(a) for a in (values, *values) if isinstance(a, sized))
        if self.work > 1000 + 4 * self.position:
            raise CheckpointError(f"load: {self.source}: its pickle repeats itself too often")

    def do_build(self, _: Any) -> None:
        # An ordered dictionary of PyTorch's carries its `_metadata` this way: versions of layers.
        target, state = self.take(2)
        if isinstance(target, Buildable) and isinstance(state, tuple):
            self.look_at(state)
            try:
                target.build(state)
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"load: {self.source}: its {target.name} does not fit: {error}"
                ) from None
        elif type(target) is not dict or type(state) is not dict:
            raise CheckpointError(
                f"load: {self.source}: its pickle sets the state of {_named(target)}, which is not "
                "a part of weights; it was refused and nothing was run"
            )
        self.stack.append(target)

    def do_binpersid(self, _: Any) -> None:
        (identity,) = self.take(1)
        if self.persistent is None:
            raise CheckpointError(
                f"load: {self.source}: its pickle refers to objects outside of it"
            )
        self.stack.append(self.persistent(identity))


def _named(value: Any) -> str:
    return value.name if isinstance(value, (Buildable, Call)) else f"a {type(value).__name__}"
