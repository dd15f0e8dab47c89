r"""Render the tutorials: run each script as a notebook and write that beside it, with outputs.

``python -m tutorials`` renders all of them, ``python -m tutorials 02`` those whose name starts so.
The script is the only source. Rendering is repeatable: cells are numbered instead of named at
random, and no time of execution is kept, so that a notebook changes only where its content does.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def scripts(prefix: str = "") -> list[Path]:
    r"""The tutorials' scripts, in order."""
    return sorted(FOLDER.glob(f"{prefix}[0-9][0-9]_*.py" if not prefix else f"{prefix}*.py"))


def cells(source: str) -> list[tuple[str, str]]:
    r"""The ("code" or "markdown", text) cells of a script in percent format."""
    found = []
    for part in re.split(r"^# %%", source, flags=re.M)[1:]:
        header, _, body = part.partition("\n")
        if "[markdown]" in header:
            body = re.sub(r"^# ?", "", body, flags=re.M)
            found.append(("markdown", body.strip()))
        else:
            found.append(("code", body.strip()))
    return found


def render(script: Path) -> Path:
    r"""Execute ``script`` and write its notebook."""
    import jupytext
    from nbclient import NotebookClient

    notebook: Any = jupytext.read(script)
    # The package of this checkout, for the kernel too, and plots as small pictures in the page.
    root = str(FOLDER.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    # Without its own folder in the way, a cell's "import" finds what a script's would.
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=False)
    client.execute(cwd=str(FOLDER))
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    target = script.with_suffix(".ipynb")
    jupytext.write(notebook, target, fmt="ipynb")
    return target


def main() -> None:
    r"""The command line."""
    prefixes = sys.argv[1:] or [""]
    chosen = [script for prefix in prefixes for script in scripts(prefix)]
    if not chosen:
        raise SystemExit(f"tutorials: no tutorial starts with {' or '.join(prefixes)}")
    for script in chosen:
        target = render(script)
        print(f"{target.name}  {target.stat().st_size / 1024:.0f} KiB", flush=True)


if __name__ == "__main__":
    main()
