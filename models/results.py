r"""``python -m models.results``: write ``models/RESULTS.md`` and the README's table of models from
the records of runs.

    python -m models.results runs/supervised.mlp/001 ...    keep these runs' records, then write
    python -m models.results                                write

A record is the ``result.json`` of a run at full size, kept in ``models/results/``. The tables say
nothing that is not in a record or in the model's own docstring.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from models.__main__ import entries

HERE = Path(__file__).parent
RECORDS, TABLE, README = HERE / "results", HERE / "RESULTS.md", HERE.parent / "README.md"
BEGIN, END = "<!-- models: written by python -m models.results -->\n", "<!-- end of models -->\n"
FIELDS = ("model", "command", "seed", "quick", "epochs", "metrics", "seconds", "hardware")

HEAD = """\
# What the models reached

Written by `python -m models.results` from the runs' own result files; do not edit. Each row is one
run with the command beside it. Accuracies and bounds are of test images that nothing was chosen
by. *Expect* is what the model's docstring says, with what a wrong or trivial method would get.
Times are by the clock, some of them of a machine that had other work.
"""


def keep(path: Path) -> Path:
    """Copy the record of the run at ``path`` to ``models/results/``."""
    source = path / "result.json" if path.is_dir() else path
    try:
        record = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"models.results: {source} cannot be read: {error}") from None
    missing = [field for field in FIELDS if field not in record]
    if missing:
        raise SystemExit(f"models.results: {source} is no result of a run: no {missing[0]!r} in it")
    if record["quick"]:
        raise SystemExit(f"models.results: {source} is of a quick run, which shows nothing")
    options = record["command"].split()[3:]
    if options[:1] == ["--seed"]:
        options = options[2:]
    words = [word.lstrip("-").replace("/", "_") for word in options]
    name = "-".join([record["model"], *words, f"seed{record['seed']}"])
    RECORDS.mkdir(exist_ok=True)
    target = RECORDS / f"{name}.json"
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return target


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


NOT_RUN = "not run at full size yet"

CAPITALS = {
    "bce": "BCE",
    "cifar": "CIFAR-10",
    "elbo": "ELBO",
    "fashion": "Fashion-MNIST",
    "gp": "GP",
    "iwae": "IWAE",
    "kl": "KL",
    "knn": "k-NN",
    "l1": "L1",
    "mnist": "MNIST",
    "mse": "MSE",
    "nll": "NLL",
    "pca": "PCA",
    "r2": "R²",
    "ssim": "SSIM",
}


def words(name: str) -> str:
    """``test_kl`` as people write it: test KL."""
    return " ".join(CAPITALS.get(word, word) for word in name.split("_"))


def number(name: str, value: Any) -> str:
    """Accuracies in per cent, other numbers with four digits."""
    if "accuracy" in name:
        return f"{100 * value:.2f} %"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def all_records() -> list[dict[str, Any]]:
    """The records that are kept, by model, options and seed."""
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(RECORDS.glob("*.json"))]


def overview() -> str:
    """The README's table: for each model the first figure of the runs with default options."""
    lines = ["| model | | measured |", "|---|---|---|"]
    records = all_records()
    for entry in entries():
        rows = [
            r
            for r in records
            if r["command"] == f"python -m models.{entry.name} --seed {r['seed']}"
        ]
        measured = NOT_RUN
        if rows:
            name = next(iter(rows[0]["metrics"]))
            values = sorted(r["metrics"][name] for r in rows)
            measured = f"{words(name)}: {number(name, values[0])}"
            if len(values) > 1:
                measured += f" to {number(name, values[-1])} ({len(values)} seeds)"
        place = f"models/{entry.name.replace('.', '/')}.py"
        lines.append(f"| [{entry.name}]({place}) | {entry.title} | {measured} |")
    return "\n".join(lines) + "\n"


def with_overview(readme: str) -> str:
    """The README with its table brought up to date."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"models.results: {README.name} lacks the line {BEGIN.strip()}")
    return f"{before}{BEGIN}{overview()}{END}{after}"


def table() -> str:
    """The text of ``RESULTS.md``."""
    known = {entry.name: entry for entry in entries()}
    records = all_records()
    parts = [HEAD]
    for name, entry in known.items():
        rows = [r for r in records if r["model"] == name]
        parts.append(f"\n## {name}: {entry.title}\n")
        parts.append(f"Paper: {entry.paper}\n")
        if not rows:
            parts.append(f"{NOT_RUN.capitalize()}.")
            continue
        parts.append(f"Expect: {entry.expect}\n")
        parts.append("| command | measured | epochs | time | hardware |")
        parts.append("|---|---|---|---|---|")
        for r in rows:
            metrics = ", ".join(
                f"{words(key)} {number(key, value)}" for key, value in r["metrics"].items()
            )
            parts.append(
                f"| `{r['command']}` | {metrics} | {r['epochs']} | {duration(r['seconds'])} "
                f"| {r['hardware']} |"
            )
    unknown = sorted({r["model"] for r in records} - set(known))
    if unknown:
        raise SystemExit(f"models.results: records of models that do not exist: {unknown}")
    return "\n".join(parts) + "\n"


def main(arguments: list[str]) -> None:
    """Keep the records that are named, and write the tables."""
    for argument in arguments:
        print(f"kept {keep(Path(argument)).relative_to(HERE.parent)}")
    TABLE.write_text(table(), encoding="utf-8")
    README.write_text(with_overview(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {TABLE.relative_to(HERE.parent)} and {README.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
