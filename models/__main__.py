r"""``python -m models``: the list of models by family, with paper and the figure to expect.

The list is read from the models' docstrings: the first line is the title, the lines that begin
with ``Paper:`` and ``Expect:`` give the rest. No model is imported.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass
class Entry:
    """One model of the list."""

    name: str  # family.name
    title: str
    paper: str
    expect: str


def entries() -> list[Entry]:
    """All models: the files in the families' folders that have a ``Config``."""
    found = []
    for path in sorted(HERE.glob("*/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        if "Config" in classes:
            doc = ast.get_docstring(tree) or ""
            found.append(
                Entry(
                    name=f"{path.parent.name}.{path.stem}",
                    title=doc.partition("\n")[0].rstrip("."),
                    paper=_paragraph(doc, "Paper:"),
                    expect=_paragraph(doc, "Expect:"),
                )
            )
    return found


def _paragraph(doc: str, mark: str) -> str:
    """The text after ``mark`` up to the next empty line, as one line."""
    _, _, rest = doc.partition(f"\n{mark}")
    return " ".join(rest.partition("\n\n")[0].split())


def main() -> None:
    """Print the list."""
    if importlib.util.find_spec("minigrad") is None:
        raise SystemExit("minigrad is not installed: pip install -e '.[models]'")
    family = None
    width = 2 + max(len(entry.name) for entry in entries())
    for entry in entries():
        if entry.name.partition(".")[0] != family:
            family = entry.name.partition(".")[0]
            print(f"\n{family}")
        print(f"  {entry.name:<{width}}{entry.title}")
        print(f"  {'':<{width}}paper:  {entry.paper or '-'}")
        print(f"  {'':<{width}}expect: {entry.expect or '-'}")
    print("\ntrain one:     python -m models.FAMILY.NAME   (--quick to try, --help for options)")
    print("use one:       python -m models.supervised.mobilenet_v2 PHOTO --weights FILE")


if __name__ == "__main__":
    main()
