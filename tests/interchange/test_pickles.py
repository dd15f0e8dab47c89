"""The stack machine that reads pickles: nothing in them is ever run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.interchange.files import CheckpointError
from minigrad.interchange.pickles import Call, read_pickle
from tests.interchange.torch_files import Program

ALLOWED = {
    "collections.OrderedDict": Call("OrderedDict", lambda items=(): dict(items)),
    "torch.marker": "a marker",
}


def read(content: bytes, **options: Any) -> Any:
    return read_pickle(io.BytesIO(content), ALLOWED, **options)


# --------------------------------------------------------------------------------- plain values
plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4),
    ),
    max_leaves=10,
)  # fmt: skip


@given(value=plain, protocol=st.integers(3, 5))
def test_plain_values_come_back(value, protocol):
    result = read(pickle.dumps(value, protocol))
    assert repr(result) == repr(value)


def test_shared_and_recursive_values():
    inner: list[Any] = [1]
    result = read(pickle.dumps([inner, inner, {"a": inner}], 2))
    assert result[0] is result[1] is result[2]["a"]
    loop: list[Any] = []
    loop.append(loop)
    result = read(pickle.dumps(loop, 2))
    assert result[0] is result


def test_ordered_dictionaries():
    original = collections.OrderedDict([("b", 1), ("a", (2, 3))])
    for protocol in (2, 4):
        result = read(pickle.dumps(original, protocol))
        assert list(result.items()) == [("b", 1), ("a", (2, 3))]


# ------------------------------------------------------------------------------- nothing is run
@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """What the programs below would run, if they could."""
    done: list[str] = []
    for module, name in [(os, "system"), (os, "popen"), (subprocess, "Popen"), (np, "load")]:
        monkeypatch.setattr(module, name, lambda *_, name=name, **__: done.append(name))
    return done


class Reduces:
    def __reduce__(self) -> Any:
        return os.system, ("echo run",)


class Sets:
    def __init__(self) -> None:
        self.x = 1

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("this ran")


WICKED = {
    "os.system": Program().call("os", "system", "echo run"),
    "posix.system": Program().call("posix", "system", "echo run"),
    "builtins.eval": Program().call("builtins", "eval", "print('run')"),
    "__builtin__.eval": Program().call("__builtin__", "eval", "1"),
    "builtins.getattr": Program().call(
        "builtins", "getattr", Program().name("builtins", "__import__"), "__call__"
    ),
    "importlib.import_module": Program().call("importlib", "import_module", "antigravity"),
    "subprocess.Popen": Program().call("subprocess", "Popen", ["echo", "run"]),
    "torch.hub.load": Program().call("torch.hub", "load", "somebody/something"),
    "torch._utils.os.system": Program().call("torch._utils", "os.system", "echo run"),
    "collections.namedtuple": Program().call("collections", "namedtuple", "x", "y"),
    "functools.partial": Program().call("functools", "partial", "x"),
    "numpy.load": Program().call("numpy", "load", "x", None, True),
    "collections.OrderedDict.fromkeys": Program().call("collections", "OrderedDict.fromkeys", "x"),
}


@pytest.mark.parametrize("name", WICKED)
@pytest.mark.parametrize("nested", [False, True])
def test_globals_that_are_not_allowed(name, nested, ran):
    before = set(sys.modules)
    program = Program().value({"weight": [1, (WICKED[name],)]}) if nested else WICKED[name]
    with pytest.raises(CheckpointError, match=f"asks for {name}, which is not a part of weights"):
        read(program.end())
    assert ran == [] and "antigravity" not in set(sys.modules) - before


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_pickle_itself_writes(protocol):
    with pytest.raises(CheckpointError, match=r"asks for (posix|nt)\.system"):
        read(pickle.dumps(Reduces(), protocol))
    with pytest.raises(CheckpointError, match=r"asks for .*\.Sets|asks for copyreg"):
        read(pickle.dumps(Sets(), protocol))
    with pytest.raises(CheckpointError, match="asks for"):
        read(pickle.dumps(read, protocol))


def test_a_name_on_the_stack():
    program = Program(4).value("os").value("system").raw(b"\x93")
    with pytest.raises(CheckpointError, match=r"asks for os\.system"):
        read(program.value(("x",)).raw(b"R").end())
    with pytest.raises(CheckpointError, match="damaged"):
        read(Program(4).value(1).value("system").raw(b"\x93").end())


@pytest.mark.parametrize("callee", ["torch.marker", "text", ["list"], {"a": 1}, 3, None, ()])
def test_only_stand_ins_are_called(callee):
    program = Program()
    program = program.name("torch", "marker") if callee == "torch.marker" else program.value(callee)
    with pytest.raises(CheckpointError, match="its pickle calls a .*nothing was run"):
        read(program.value(()).raw(b"R").end())


def test_states_are_set_on_dictionaries_alone():
    for target in ([1], "text", 3, (1,)):
        with pytest.raises(CheckpointError, match="sets the state of a"):
            read(Program().value(target).value({"x": 1}).raw(b"b").end())
    with pytest.raises(CheckpointError, match="sets the state of OrderedDict"):
        # attributes of the stand-in itself
        named = Program().name("collections", "OrderedDict")
        read(named.value({"function": 1}).raw(b"b").end())
    with pytest.raises(CheckpointError, match="sets the state"):
        read(Program().value({}).value((None, {"__class__": 1})).raw(b"b").end())
    result = read(Program().value({"a": 1}).value({"_metadata": 2}).raw(b"b").end())
    assert result == {"a": 1}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NEWOBJ", b"ccollections\nOrderedDict\n)\x81."),
        ("NEWOBJ_EX", b"ccollections\nOrderedDict\n)}\x92."),
        ("INST", b"(ios\nsystem\n."),
        ("OBJ", b"(ccollections\nOrderedDict\no."),
        ("EXT1", b"\x82\x01."),
        ("EXT4", b"\x84\x01\x00\x00\x00."),
        ("PERSID", b"Pstorage\n."),
        ("NEXT_BUFFER", b"\x97."),
        ("EMPTY_SET", b"\x8f."),
        ("UNICODE", b"Vtext\n."),
        ("DUP", b"N2."),
    ],
)
def test_other_instructions_are_refused(name, code):
    with pytest.raises(CheckpointError, match=f"the instruction {name}, which"):
        read(b"\x80\x02" + code)


def test_persistent_ids_need_somebody_who_knows_them():
    content = Program().value("x").raw(b"Q").end()
    with pytest.raises(CheckpointError, match="outside of it"):
        read(content)
    assert read(content, persistent=lambda identity: identity + "!") == "x!"


def test_errors_of_stand_ins_are_named():
    with pytest.raises(CheckpointError, match="its OrderedDict does not fit"):
        read(Program().call("collections", "OrderedDict", 3).end())
    with pytest.raises(CheckpointError, match="its OrderedDict does not fit"):
        read(Program().call("collections", "OrderedDict", [], 2, 3).end())


# ------------------------------------------------------------------------------ damage and bombs
@pytest.mark.parametrize(
    "code",
    [
        b"", b".", b"N", b"NN.", b"R.", b"(.", b"(R.", b"t.", b"a.", b"]a.", b"Na.", b"(e.",
        b"}(Nu.", b"}](NNNu.", b"}]Ns.", b"}}Ns.", b"h\x07.", b"j\xff\xff\xff\xff.", b"\x86.",
        b"(\x85.", b"0.", b"1.", b"cos\n", b"X\xff\xff\xff\xffx.", b"X\x01\x00\x00\x00\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.", b"\x8b\xff\xff\xff\x7f.", b"T\xff\xff\xff\x7fx.",
        b"G\x00.", b"\xff.", b"Q.", b"b.",
    ],
)  # fmt: skip
def test_damaged_pickles(code):
    with pytest.raises(CheckpointError, match="damaged"):
        read(b"\x80\x02" + code)


@given(content=st.binary(max_size=60))
def test_random_bytes_never_do_anything_else(content):
    for start in (b"", b"\x80\x02", b"\x80\x02}("):
        try:
            read(start + content)
        except CheckpointError:
            pass


def a_pickle_with_everything() -> bytes:
    program = Program().call("collections", "OrderedDict").raw(b"q\x01(")
    program.value("a").value([1, 2.5, (3, None), {"b": True}]).value("m").name("torch", "marker")
    return program.raw(b"u").value({"_metadata": {}}).raw(b"b").end()


@given(data=st.data())
def test_flipped_and_cut_pickles_never_do_anything_else(data):
    content = bytearray(a_pickle_with_everything())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        read(bytes(content))
    except CheckpointError:
        pass


def test_calls_cannot_repeat_the_same_work():
    # A long list in the memo, and then a call on it for every three bytes.
    items = Program().value([["k", 1]] * 2000).raw(b"q\x00").name("collections", "OrderedDict")
    items.raw(b"q\x01" + b"h\x01h\x00\x85R" * 100_000)
    start = time.process_time()
    with pytest.raises(CheckpointError, match="repeats itself"):
        read(items.raw(b"\x85").end())
    assert time.process_time() - start < 2


def test_deep_nesting_is_no_recursion():
    result = read(Program().raw(b"]" * 100_000 + b"a" * 99_999).end())
    depth = 0
    while result:
        (result,) = result
        depth += 1
    assert depth == 99_999
    with pytest.raises(CheckpointError, match="keys"):  # hashing a deep tuple would recurse
        read(Program().raw(b"})" + b"\x85" * 100_000 + b"Ns").end())


def test_every_instruction_of_the_standard_library_is_known_or_refused():
    """A new protocol cannot bring something in by surprise."""
    from minigrad.interchange import pickles

    methods = {m.removeprefix("do_").upper() for m in dir(pickles._Machine) if m.startswith("do_")}
    known = (
        methods | pickles._ARGUMENT | set(pickles._CONSTANT) | set(pickles._TUPLES)
        | pickles._IGNORED | {"STOP"}
    )  # fmt: skip
    names = {code.name for code in pickletools.opcodes}
    assert known <= names
    assert {"NEWOBJ", "NEWOBJ_EX", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID"} <= names - known
