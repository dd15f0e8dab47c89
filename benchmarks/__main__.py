r"""``python -m benchmarks``: time training steps here and in other frameworks; see README.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.harness import LIBRARIES, SIDES, LossMismatch, compare
from benchmarks.report import as_json, machine, table
from benchmarks.workloads import NAMES


def names(known: tuple[str, ...]) -> object:
    r"""A parser of comma-separated names among the known ones."""

    def parse(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name]
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, got {name}")
        return chosen

    return parse


def at_least(least: int) -> object:
    r"""A parser of integers."""

    def parse(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected an integer >= {least}, got {text}")
        return int(text)

    return parse


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--workload", type=names(NAMES), default=list(NAMES), help=f"some of {','.join(NAMES)}"
    )
    parser.add_argument(
        "--peers",
        type=names(LIBRARIES),
        default=list(LIBRARIES),
        help=f"some of {','.join(LIBRARIES)}",
    )
    parser.add_argument("--rounds", type=at_least(1), default=9, help="turns of each side (9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn (0.5)")
    parser.add_argument("--threads", type=at_least(1), help="threads of each side (all cores)")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of weights and data (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args(arguments)

    libraries = {"minigrad", *options.peers}
    sides = [side for side in SIDES if side.library in libraries]
    here = machine()
    comparisons = []
    failed = False
    for name in options.workload:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            comparisons.append(
                compare(
                    f"benchmarks.workloads.{name}",
                    sides,
                    options.rounds,
                    options.seconds,
                    options.seed,
                    options.threads,
                )
            )
        except (LossMismatch, RuntimeError) as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
    print(table(comparisons, here))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(comparisons, here), indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
