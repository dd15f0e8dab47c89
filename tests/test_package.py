r"""The package as a whole: what importing it costs, what it may import, and what is shipped.

These are promises of the README that no single module can keep.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(p for folder in ("minigrad", "models") for p in ROOT.glob(f"{folder}/**/*.py"))

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.cfg").is_file(), reason="needs the source tree, not an installed package"
)


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints that runs ``code`` in the source tree."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -------------------------------------------------------------------------- what importing does
def test_import_loads_numpy_and_threadpoolctl_alone():
    code = """
import sys
import numpy, numpy.random, threadpoolctl  # (numpy.random registers modules of Cython's own)
before = set(sys.modules)
import minigrad
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(roots - set(sys.stdlib_module_names) - {"minigrad", "numpy", "threadpoolctl"}))
"""
    assert python(code).split() == []


def test_import_reads_no_data():
    code = """
import sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
import minigrad, minigrad.data
print(*[path for path in opened if "files" in path and path.endswith(".gz")])
"""
    assert python(code).split() == []


def test_import_time(tmp_path):
    """At most 0.3 s above ``import numpy``, in processor time: other work on the machine must not
    fail the test. Of compiled files, as users have them, whatever the environment says."""
    code = """
import time
import numpy
start = time.process_time()
import minigrad
print(time.process_time() - start)
"""
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    python(code, **bytecode)  # compile the bytecode
    seconds = [float(python(code, **bytecode)) for _ in range(5)]
    assert statistics.median(seconds) <= 0.3, seconds


def test_import_starts_no_threads():
    code = "import numpy, threading, minigrad; print(threading.active_count())"
    assert python(code).strip() == "1"


# ----------------------------------------------------------------------- what may import what
@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports, by statement or by ``import_module``."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in IMPORT_CALLS
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            found.add(node.args[0].value.partition(".")[0])
    return found


IMPORT_CALLS = ("import_module", "__import__", "importorskip")


def importers(names: set[str], paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths if imports(path) & names]


def test_imports_are_seen(tmp_path):
    """The other tests here would pass in silence if this did not work."""
    file = tmp_path / "file.py"
    file.write_text("import a.b\nfrom c.d import e\nfrom . import f\ndef g():\n    import h as i\n")
    assert imports(file) == {"a", "c", "h"}
    file = tmp_path / "other.py"
    file.write_text("import importlib\nimportlib.import_module('j.k')\n__import__('l')\n")
    assert imports(file) == {"importlib", "j", "l"}
    assert len(SOURCES) > 10


def test_one_file_imports_cupy():
    assert importers({"cupy", "cupyx", "cupy_backends"}, SOURCES) == ["minigrad/backend.py"]


def test_nothing_unpickles():
    """Reading a pickle runs what is in it; data and checkpoints must be plain."""
    unsafe = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert importers(unsafe, SOURCES) == []
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert getattr(node.value, "value", None) is False, path


def test_torch_is_a_tool_of_benchmarks_alone():
    tests = [p for p in ROOT.glob("tests/**/*.py") if not p.name.endswith("_torch.py")]
    frameworks = {"torch", "torchvision", "tensorflow", "jax", "dezero", "autograd"}
    assert importers(frameworks, SOURCES + sorted(tests)) == []


# Arrows point one way: a room imports from its own floor and the floors below. The engine is on
# floor 2: the files at the top of minigrad, and the ops.
FLOORS = {
    **{p.stem: 2 for p in ROOT.glob("minigrad/*.py")},
    "ops": 2,
    "backend": 0,
    "kernels": 1,
    **dict.fromkeys(("nn", "optim", "distributions", "interchange"), 3),
    **dict.fromkeys(("data", "evaluation", "rl", "testing", "train", "vision", "visualize"), 4),
}


def rooms(path: Path) -> set[str]:
    """The rooms of minigrad (``ops``, ``nn``, ...) that a file of minigrad imports from."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "minigrad" and len(name) > 1}
    return found


def test_arrows_point_one_way():
    wrong = []
    for path in SOURCES:
        room = path.relative_to(ROOT).with_suffix("").parts[1]
        if path.is_relative_to(ROOT / "models") or room == "__init__":
            continue
        assert room in FLOORS, f"{room} has no floor: where does it belong?"
        wrong += [
            f"{path.relative_to(ROOT)} imports from {other}"
            for other in sorted(rooms(path))
            if FLOORS.get(other, 0) > FLOORS[room]
        ]
    assert wrong == []


def test_nothing_in_minigrad_imports_models():
    assert importers({"models"}, [p for p in SOURCES if p.is_relative_to(ROOT / "minigrad")]) == []


OPTIONAL = {"gymnasium", "matplotlib", "PIL", "safetensors", "scipy", "tqdm"}


def test_optional_packages_are_imported_where_they_are_used():
    """Not at the top of a file of minigrad: ``import minigrad.train`` must work without them."""
    found = []
    for path in SOURCES:
        if path.is_relative_to(ROOT / "models"):
            continue
        for node in parsed(path).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            if {name.partition(".")[0] for name in names} & OPTIONAL:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_every_file_says_what_it_is():
    bare = [p.relative_to(ROOT).as_posix() for p in SOURCES if not ast.get_docstring(parsed(p))]
    assert bare == []


# ---------------------------------------------------------------------------- what is shipped
@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with a wheel and a source distribution, built from a copy of the tree."""
    pytest.importorskip("setuptools")
    tree = tmp_path_factory.mktemp("tree") / "minigrad"
    shutil.copytree(
        ROOT,
        tree,
        ignore=shutil.ignore_patterns(
            ".*cache", ".git", ".hypothesis", ".venv", "runs", "build", "dist", "__pycache__",
            "*.egg-info", "shared",
        ),
    )  # fmt: skip
    out = tmp_path_factory.mktemp("dist")
    code = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # the build replaces it
build_meta.build_sdist(out)
build_meta.build_wheel(out)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=tree, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


SHIPPED_DATA = sorted(
    p.relative_to(ROOT).as_posix() for p in (ROOT / "minigrad/data/files").glob("*/*")
)


def test_wheel(built):
    (path,) = built.glob("minigrad-*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        assert len(SHIPPED_DATA) >= 5
        for name in [*SHIPPED_DATA, "minigrad/py.typed"]:
            assert name in names
            expected = hashlib.sha256((ROOT / name).read_bytes()).digest()
            assert hashlib.sha256(wheel.read(name)).digest() == expected
        assert {p.relative_to(ROOT).as_posix() for p in SOURCES} <= names
        assert {name.split("/")[0].partition("-")[0] for name in names} <= {"minigrad", "models"}
        (metadata,) = (n for n in names if n.endswith(".dist-info/METADATA"))
        text = wheel.read(metadata).decode()
    required = [s for s in text.splitlines() if s.startswith("Requires-Dist") and "extra" not in s]
    assert sorted(s.split()[1].partition("<")[0].partition(">")[0] for s in required) == [
        "numpy",
        "threadpoolctl",
    ]
    assert "License: MIT" in text or "License-Expression: MIT" in text


def test_source_distribution(built):
    (path,) = built.glob("minigrad-*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    expected = {"setup.cfg", "pyproject.toml", "LICENSE", "Makefile", "minigrad/py.typed"}
    expected |= {"tests/conftest.py", *SHIPPED_DATA}
    assert expected <= names


# ------------------------------------------------------------------------------ the commands
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "setup.cfg").touch()
    (folder / "pyproject.toml").touch()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@needs_make
def test_make_without_a_suitable_python(tmp_path):
    done = make(tmp_path, "test", "PYTHON=/nonexistent/python3")
    assert done.returncode != 0
    message = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(message) == 1
    assert message[0].startswith("minigrad needs Python 3.11 or newer")
    assert not (tmp_path / ".venv").exists()


@needs_make
def test_make_help_lists_the_commands(tmp_path):
    done = make(tmp_path)
    assert done.returncode == 0
    for command in ("train", "test", "tutorials", "bench", "lint", "clean"):
        assert f"make {command} " in done.stdout


def test_ci_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
