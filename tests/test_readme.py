r"""The README's examples run and print what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\nIt prints\n\n```\n(.*?)```)?", README, re.S)


@pytest.mark.parametrize("code, printed", BLOCKS, ids=[f"block{i}" for i in range(len(BLOCKS))])
def test_example(code: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples may write files
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    if printed:
        # The accuracy's last digit may differ between BLAS libraries.
        numbers = re.compile(r"0\.\d{3}\b")
        assert numbers.sub("#", out.getvalue()) == numbers.sub("#", printed)
        for got, said in zip(numbers.findall(out.getvalue()), numbers.findall(printed)):
            assert abs(float(got) - float(said)) <= 0.01


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 2


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    missing = [link for link in links if not (Path(__file__).parent.parent / link).exists()]
    assert not missing
